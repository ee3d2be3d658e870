/**
 * What an instance strands that is killed: the largest of one token, 1 % of the quota, and its demand over two sync intervals.
 * Nothing is refilled while a test runs, so what the others cannot have is what it took along.
 */

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { Fleet } from './fleet.ts'
import type { Slice } from './fleet-report.ts'
import type { Load } from './load.ts'
import { redisServer } from './redis.ts'

const ending = { after }
const redis = await redisServer(ending)
const fleet = new Fleet(ending)

const SYNC_INTERVAL = 100
/** A killed process has told all but what it has admitted in so many milliseconds. */
const TOLD_EVERY = 5

const cases = [
  { name: 'its demand, which is more than a hundredth', quota: 20_000, perSecond: 2_000 },
  { name: 'a hundredth, which is more than its demand', quota: 20_000, perSecond: 200 },
  { name: 'one token of a few', quota: 20, perSecond: 5 },
]

for (const { name, quota, perSecond } of cases) {
  test(`an instance that is killed strands no more than ${name}`, async (t) => {
    const policyDefinition = { defaultQuota: quota, burstAllowance: 0, window: '365d' }
    const options = {
      backends: [redis.url],
      namespace: `strands-${quota}-${perSecond}`,
      policyDefinition,
      maxWait: '5s',
    }
    await fleet.with(2, options, async ([killed, other]) => {
      const steady: Load = {
        tenants: ['acme'],
        milliseconds: 10_000,
        way: 'consume',
        inFlight: 1,
        perSecond,
        tellEvery: TOLD_EVERY,
      }
      const loaded = killed!.hammer(steady)
      await setTimeout(1_500)
      await killed!.kill()
      const { admitted, slices } = await loaded
      assert.ok(admitted > 0 && admitted < quota)
      const rest = await other!.hammer({ ...steady, milliseconds: 3_000, inFlight: 8, perSecond: undefined })
      const stranded = quota - admitted - rest.admitted
      // What it has really asked for: on a busy machine that comes in bursts.
      const demand = peak(slices, 2 * SYNC_INTERVAL)
      const most = Math.max(1, quota / 100, demand)
      t.diagnostic(`${stranded} of ${quota} stranded, at most ${most}; ${admitted} had been admitted`)
      assert.ok(stranded >= 0, 'more was admitted than there is')
      assert.ok(stranded <= most + peak(slices, 2 * TOLD_EVERY))
    })
  })
}

/** The most that was admitted in so many milliseconds. */
function peak(slices: readonly Slice[], milliseconds: number): number {
  return Math.max(
    ...slices.map(({ from }) =>
      slices
        .filter((slice) => slice.from >= from && slice.to <= from + milliseconds + TOLD_EVERY)
        .reduce((total, slice) => total + slice.admitted, 0),
    ),
  )
}
