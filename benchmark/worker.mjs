// The thread of workers.ts. JavaScript, because a worker is not given the loader that reads TypeScript.

import { parentPort, workerData } from 'node:worker_threads'
import { enforceRateLimitPolicy } from 'tollgate'

const limiter = await enforceRateLimitPolicy({
  namespace: 'benchmark-workers',
  policyDefinition: { defaultQuota: 1_000_000_000, burstAllowance: 0, window: '1h' },
})
const names = Array.from({ length: workerData.names }, (_, index) =>
  Buffer.from(`tenant-${index}`).toString('latin1'),
)
// Each begins somewhere else.
let next = Math.floor((names.length * workerData.index) / 2)

function run(count) {
  const start = process.hrtime.bigint()
  for (let turn = 0; turn < count; turn += 1) {
    next = next + 1 < names.length ? next + 1 : 0
    limiter.tryConsume(names[next])
  }
  return Number(process.hrtime.bigint() - start) / count
}

run(500_000)
parentPort.on('message', (count) => parentPort.postMessage(run(count)))
parentPort.postMessage(0)
