/** Tenants are onboarded at one instance while all are asked for them: none is decided by a quota that was never its own. */

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { enforceRateLimitPolicy, type RateLimitPolicyOptions } from 'tollgate'
import { Fleet } from './fleet.ts'
import type { Report } from './fleet-report.ts'
import type { Load } from './load.ts'
import { redisServer } from './redis.ts'

const ending = { after }
const redis = await redisServer(ending)
const fleet = new Fleet(ending)

const TENANTS = 1_000
const PER_SECOND = 100
const DEFAULT = 100

test('a thousand tenants at a hundred a second have their own quotas at every instance', async (t) => {
  const names = Array.from({ length: TENANTS }, (_, index) => `tenant-${index}`)
  const own = new Map(names.map((name, index) => [name, 1_000 + index]))
  const options: RateLimitPolicyOptions = {
    backends: [redis.url],
    namespace: 'onboarding',
    policyDefinition: { defaultQuota: DEFAULT, burstAllowance: 0, window: '1h' },
  }
  await fleet.with(3, options, async (instances) => {
    await using limiter = await enforceRateLimitPolicy(options)
    const seconds = TENANTS / PER_SECOND
    const load: Load = {
      tenants: names,
      milliseconds: (seconds + 2) * 1_000,
      way: 'consume',
      inFlight: 4,
      perSecond: 1_000,
      limits: true,
    }
    const loaded = instances.map((instance) => instance.hammer(load))
    const onboarded: Promise<void>[] = []
    for (const [name, quota] of own) {
      onboarded.push(limiter.upsertTenant(name, { quota, burst: 0 }))
      await setTimeout(1_000 / PER_SECOND)
    }
    await Promise.all(onboarded)
    const reports = await Promise.all(loaded)
    const wrong = reports.flatMap((report) =>
      [...limitsOf(report)].filter(([name, limits]) => !isRight(limits, own.get(name)!)),
    )
    assert.deepEqual(wrong, [])
    const decided = reports.map((report) => limitsOf(report).size)
    t.diagnostic(`tenants that were decided, by instance: ${decided}`)
    assert.ok(decided.every((count) => count > TENANTS / 2))
    // From now on nobody is decided by the default.
    const since = await Promise.all(
      instances.map((instance) => instance.hammer({ ...load, milliseconds: 1_500 })),
    )
    for (const report of since)
      for (const [name, limits] of limitsOf(report)) assert.deepEqual(limits, [own.get(name)], name)
    const { entries, intact } = await limiter.history()
    assert.ok(intact && entries.length > 0)
  })
})

/** The limits by which each tenant was decided at one instance, as they changed. */
function limitsOf(report: Report): Map<string, number[]> {
  const limits = new Map<string, number[]>()
  for (const slice of report.slices)
    for (const [name, seen] of Object.entries(slice.limits)) {
      const known = limits.get(name) ?? []
      limits.set(
        name,
        [...known, ...seen].filter((limit, index, all) => limit !== all[index - 1]),
      )
    }
  return limits
}

/** The default until it is onboarded, and its own from then on. */
function isRight(limits: readonly number[], own: number): boolean {
  return limits.every((limit, index) => limit === own || (limit === DEFAULT && index === 0))
}
