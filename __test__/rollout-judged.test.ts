/** What a fleet under load makes of policies, by the requests of its tenants alone. */

import assert from 'node:assert/strict'
import { after, test, type TestContext } from 'node:test'
import {
  enforceRateLimitPolicy,
  type PolicyDefinition,
  type RateLimitPolicyOptions,
  type RolloutResult,
} from 'tollgate'
import { most } from './fleet-bound.ts'
import { Fleet } from './fleet.ts'
import { Report } from './fleet-report.ts'
import type { Load } from './load.ts'
import { redisServer } from './redis.ts'
import { until } from './until.ts'

const ending = { after }
const redis = await redisServer(ending)
const fleet = new Fleet(ending)

/** Fifty a second: the load asks for four times as many. */
const FIFTY = { defaultQuota: 50, burstAllowance: 0, window: 1_000 } as const
const LOAD: Load = {
  tenants: ['busy'],
  milliseconds: 30_000,
  way: 'consume',
  inFlight: 4,
  perSecond: 100,
}

/** Takes a fleet of two, in which one tenant sends more than its quota, to another policy. */
async function applied(
  t: TestContext,
  namespace: string,
  definition: PolicyDefinition,
): Promise<RolloutResult> {
  const options: RateLimitPolicyOptions = {
    backends: [redis.url],
    namespace,
    policyDefinition: FIFTY,
    rollout: { observationWindow: '3s', deadline: '12s', minSamples: 100, steps: [0.5, 1] },
  }
  return fleet.with(2, options, async (instances) => {
    await using limiter = await enforceRateLimitPolicy(options)
    await until('three instances live', () => limiter.status().fleet?.instances.length === 3)
    const loaded = instances.map((instance) => instance.hammer(LOAD))
    const result = await limiter.applyPolicy(definition)
    t.diagnostic(JSON.stringify(result.log.stages.at(-1)))
    await Promise.all(instances.map((instance) => instance.kill()))
    await Promise.all(loaded)
    return result
  })
}

test('a tenant that sends more than its quota is not cut by a policy that grants it the same', async (t) => {
  const { status } = await applied(t, 'same', { ...FIFTY, tenantOverrides: { another: 7 } })
  assert.equal(status, 'locked')
})

test('and it is by one that grants it less', async (t) => {
  const { status, reason } = await applied(t, 'less', { ...FIFTY, defaultQuota: 35 })
  assert.equal(status, 'rolled_back')
  assert.match(reason ?? '', /^decision_flips is/)
})

test('a fleet is held to a limit that a rollout has lowered, also where nobody ever lacks a token', async (t) => {
  const options: RateLimitPolicyOptions = {
    backends: [redis.url],
    namespace: 'lowered',
    policyDefinition: { ...FIFTY, defaultQuota: 1_000 },
  }
  const ten = { ...FIFTY, defaultQuota: 10 }
  await fleet.with(2, options, async (instances) => {
    await using limiter = await enforceRateLimitPolicy(options)
    await until('three instances live', () => limiter.status().fleet?.instances.length === 3)
    // Nothing is looked at for long: what is asked here is whether the limit holds.
    const rollout = { observationWindow: '100ms', minSamples: 1, steps: [1] }
    const seconds = 10
    const loaded = instances.map((instance) =>
      instance.hammer({ ...LOAD, perSecond: 30, milliseconds: seconds * 1_000 }),
    )
    const { status } = await limiter.applyPolicy(ten, { rollbackThreshold: 1, rollout })
    const locked = Date.now()
    assert.equal(status, 'locked')
    const report = Report.of(await Promise.all(loaded)).between(locked, Infinity)
    const bound = most({ ...ten }, report.seconds)
    t.diagnostic(`${report.admitted} admitted in ${report.seconds.toFixed(2)} s, at most ${bound}`)
    assert.ok(report.admitted <= bound)
  })
})
