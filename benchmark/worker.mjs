// The thread of workers.ts. JavaScript, because a worker is not given the loader that reads TypeScript.

import { parentPort, workerData } from 'node:worker_threads'
import { enforceRateLimitPolicy } from 'tollgate'

const limiter = await enforceRateLimitPolicy({
  namespace: 'benchmark-workers',
  policyDefinition: { defaultQuota: 1_000_000_000, burstAllowance: 0, window: '1h' },
})
const { tenants, shared, seed } = workerData
const prefix = shared ? 'tenant' : `tenant-of-${seed}`
const names = shuffled(
  Array.from({ length: tenants }, (_, index) => Buffer.from(`${prefix}-${index}`).toString('latin1')),
)
let next = 0

function run(count) {
  const start = process.hrtime.bigint()
  for (let turn = 0; turn < count; turn += 1) {
    next = next + 1 < names.length ? next + 1 : 0
    limiter.tryConsume(names[next])
  }
  return Number(process.hrtime.bigint() - start) / count
}

/** Each thread in an order of its own, the same in every run. */
function shuffled(list) {
  let state = seed + 1
  for (let last = list.length - 1; last > 0; last -= 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    const other = state % (last + 1)
    ;[list[last], list[other]] = [list[other], list[last]]
  }
  return list
}

run(500_000)
parentPort.on('message', (count) => parentPort.postMessage(run(count)))
parentPort.postMessage(0)
