// A thread that takes what it can from a bucket that four share; see decisions.test.ts.
import { parentPort } from 'node:worker_threads'
import { enforceRateLimitPolicy } from 'tollgate'

const limiter = await enforceRateLimitPolicy({
  namespace: 'threads',
  policyDefinition: { defaultQuota: 60, burstAllowance: 10 },
  // The other threads' clocks stand still at the same instant.
  clock: () => 1_000_000,
})
let admitted = 0
for (let attempt = 0; attempt < 1000; attempt++) {
  if (limiter.tryConsume('shared').allowed) admitted += 1
}
parentPort.postMessage(admitted)
