/** What becomes of a policy that an instance starts with, where its fleet has another one. */

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { enforceRateLimitPolicy, type RateLimitPolicyOptions } from 'tollgate'
import { Fleet } from './fleet.ts'
import { redisServer } from './redis.ts'
import { until } from './until.ts'

const ending = { after }
const redis = await redisServer(ending)
const fleet = new Fleet(ending)

function optionsOf(namespace: string, defaultQuota: number): RateLimitPolicyOptions {
  return {
    backends: [redis.url],
    namespace,
    policyDefinition: { defaultQuota, burstAllowance: 0, window: '1h' },
    maxWait: '5s',
    rollout: { observationWindow: '300ms', deadline: '600ms', minSamples: 1, steps: [1] },
  }
}

/** Waits until the fleet has agreed on a policy. */
async function founded(limiter: Awaited<ReturnType<typeof enforceRateLimitPolicy>>): Promise<void> {
  await until('the fleet has a revision', () => limiter.status().fleet?.revision?.number === 1)
}

test('a policy that is new to its fleet is proposed by whoever starts with it, which decides by the active one', async () => {
  await fleet.with(2, optionsOf('new', 100), async (instances) => {
    await until('two instances live', async () =>
      (await Promise.all(instances.map((instance) => instance.status()))).every(
        ({ fleet: known }) => known?.instances.length === 2,
      ),
    )
    await using limiter = await enforceRateLimitPolicy(optionsOf('new', 200))
    await until('it joins', async () => (await limiter.consume('acme')).limit === 100)
    await until('what it has proposed has ended', async () =>
      (await limiter.history()).entries.some(({ event }) => event === 'rolled_back'),
    )
    const { entries } = await limiter.history()
    assert.deepEqual(
      entries.filter(({ event }) => event === 'proposed').length,
      1,
      'it is proposed once, and not again after it was rolled back for want of traffic',
    )
    assert.equal((await limiter.consume('acme')).limit, 100)
  })
})

test('who starts alone with another policy decides by it at once', async () => {
  const first = await enforceRateLimitPolicy(optionsOf('alone', 100))
  await founded(first)
  await first.close()
  await using limiter = await enforceRateLimitPolicy(optionsOf('alone', 200))
  await until('it is active', async () =>
    (await limiter.history()).entries.some(({ event }) => event === 'adopted'),
  )
  assert.equal((await limiter.consume('acme')).limit, 200)
  assert.equal(limiter.status().fleet?.revision?.number, 2)
})

test('tenants that a process loads by itself are nothing new to the fleet, and stay what it has loaded', async () => {
  const loading = (tenants: Record<string, number>): RateLimitPolicyOptions => {
    const options = optionsOf('loading', 100)
    return {
      ...options,
      policyDefinition: {
        ...options.policyDefinition,
        tenantOverrides: () => Promise.resolve(tenants),
        tenantRefresh: '1h',
      },
    }
  }
  const others = optionsOf('loading', 100)
  others.policyDefinition = { ...others.policyDefinition, tenantOverrides: { globex: 7 } }
  await fleet.with(1, others, async ([instance]) => {
    await until('it is founded', async () => (await instance!.status()).fleet?.revision?.number === 1)
    await using limiter = await enforceRateLimitPolicy(loading({ acme: 5 }))
    await until('it belongs to the fleet', () => limiter.status().fleet?.instances.length === 2)
    await until('it has followed', () =>
      limiter.status().fleet!.instances.every(({ revision }) => revision === 1),
    )
    const { entries } = await limiter.history()
    assert.ok(!entries.some(({ event }) => event === 'proposed'))
    assert.equal((await limiter.consume('acme')).limit, 5)
  })
})
