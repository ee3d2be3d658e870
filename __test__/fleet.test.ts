/** Limits hold for a fleet: real processes on a real Redis. */

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { enforceRateLimitPolicy, type PolicyDefinition, type RateLimitPolicyOptions } from 'tollgate'
import { assertWithin, earned, LEASE_TTL, most } from './fleet-bound.ts'
import { Fleet, hammer } from './fleet.ts'
import type { Load } from './load.ts'
import { redisServer } from './redis.ts'

const ending = { after }
const redis = await redisServer(ending)
const fleet = new Fleet(ending)

/** A thousand a second. */
const THOUSAND = { defaultQuota: 1_000, burstAllowance: 100, window: 1_000 }
const acme: Load = { tenants: ['acme'], milliseconds: 5_000, way: 'consume', inFlight: 4 }

/**
 * Who has waited for `maxWait` is decided as if there were no Redis. Where every single request is counted, a machine that is
 * busy must not look like that.
 */
const PATIENT = { maxWait: '5s' }

function shared(namespace: string, policyDefinition: PolicyDefinition): RateLimitPolicyOptions {
  return { backends: [redis.url], namespace, policyDefinition }
}

test('four processes on one tenant stay within the bound, and use what it has earned', async (t) => {
  await fleet.with(4, shared('four', THOUSAND), async (instances) => {
    assertWithin(t, THOUSAND, await hammer(instances, acme), 0.97)
  })
})

test('processes that do not wait stay within the bound as well', async (t) => {
  await fleet.with(4, shared('sync', THOUSAND), async (instances) => {
    const report = await hammer(instances, { ...acme, way: 'tryConsume', milliseconds: 3_000 })
    assertWithin(t, THOUSAND, report, 0.97)
    assert.ok(report.longestWait < 20, `a call took ${report.longestWait} ms`)
  })
})

test('sixteen processes at five a minute admit exactly five', async (t) => {
  const five = { defaultQuota: 5, burstAllowance: 0, window: 60_000 }
  await fleet.with(16, { ...shared('five', five), ...PATIENT }, async (instances) => {
    const report = await hammer(instances, { ...acme, milliseconds: 8_000, inFlight: 1 })
    t.diagnostic(`of ${report.admitted + report.refused} requests in ${report.seconds.toFixed(2)} s`)
    // The next is earned after twelve seconds.
    assert.ok(report.seconds < 12, 'the machine is too busy to tell')
    assert.equal(report.admitted, 5)
  })
})

test('a fixed window grants a fleet its quota and no more', async () => {
  const hourly = { defaultQuota: 200, burstAllowance: 0, window: '1h', algorithm: 'fixed-window' } as const
  await fleet.with(4, { ...shared('fixed', hourly), ...PATIENT }, async (instances) => {
    const report = await hammer(instances, { ...acme, milliseconds: 1_500 })
    const hours = report.slices.flatMap(({ from, to }) => [from, to]).map((at) => Math.floor(at / 3_600_000))
    assert.equal(report.admitted, 200 * new Set(hours).size)
  })
})

test('of a thousand tenants, asked for unevenly, each stays within its own bound', async (t) => {
  const twenty = { defaultQuota: 20, burstAllowance: 5, window: 1_000 }
  const tenants = Array.from({ length: 1_000 }, (_, index) => `tenant-${index}`)
  await fleet.with(4, shared('zipf', twenty), async (instances) => {
    const report = await hammer(instances, { ...acme, tenants, zipf: 1, inFlight: 16 })
    const bound = most(twenty, report.seconds)
    const over = [...report.tenants].filter(([, admitted]) => admitted > bound)
    t.diagnostic(`${report.tenants.size} tenants, bound ${bound}, ${report.admitted} admitted`)
    t.diagnostic(
      `the first: ${report.tenants.get('tenant-0')}; longest wait ${report.longestWait.toFixed(1)} ms`,
    )
    assert.deepEqual(over, [])
    // It is asked for more often than it may.
    assert.ok((report.tenants.get('tenant-0') ?? 0) >= 0.9 * earned(twenty, report.seconds))
    assert.ok(report.tenants.size > 500)
  })
})

test('where half of the processes are killed, the others go on within the bound', async (t) => {
  await fleet.with(4, shared('killed', THOUSAND), async (instances) => {
    const loaded = hammer(instances, acme)
    await setTimeout(1_500)
    await Promise.all(instances.slice(2).map((instance) => instance.kill()))
    const killed = Date.now()
    const report = await loaded
    // What a killed process strands, its demand over two sync intervals, and what it had not told yet.
    assertWithin(t, THOUSAND, report, 0.94)
    const rest = report.between(killed + LEASE_TTL * 1_000, Infinity)
    assert.ok(rest.admitted >= 0.9 * 1_000 * rest.seconds, `${rest.admitted} in ${rest.seconds} s`)
  })
})

test('scripts that are flushed again and again are loaded again, and nothing is debited twice', async (t) => {
  await fleet.with(2, shared('flushed', THOUSAND), async (instances) => {
    const flushing = { count: 0, over: false }
    const loaded = hammer(instances, { ...acme, milliseconds: 3_000 }).finally(() => (flushing.over = true))
    for (; !flushing.over; flushing.count += 1) {
      await redis.cli('script', 'flush')
      await setTimeout(10)
    }
    const report = await loaded
    t.diagnostic(`${flushing.count} flushes`)
    assertWithin(t, THOUSAND, report, 0.95)
  })
})

test('names that are made to collide share no bucket', async () => {
  const long = 'n'.repeat(255)
  const tenants = [
    'a',
    'a:b',
    'a:b:c',
    'b:c',
    '{a}',
    '{a',
    'a}',
    '{',
    '}',
    '{}',
    '{a}b',
    'a\nb',
    'a\r\nb',
    'a\n',
  ]
  tenants.push(`${long}1`, `${long}2`, long, 'b17}', '{names:b17}', '*', '%7B', 'ä', 'a\u0308')
  const pairs = tenants.flatMap((tenant) =>
    [`${tenant}:c`, 'c', ':c', 'b:c'].map((user) => [tenant, user] as const),
  )
  const pair = { name: 'pair', per: ['tenant', 'user'], quota: 2, burst: 0, window: '1h' }
  const policyDefinition = { defaultQuota: 9, burstAllowance: 0, window: '1h', rules: [pair] }
  await using limiter = await enforceRateLimitPolicy({
    ...shared('{names}:\n', policyDefinition),
    ...PATIENT,
  })
  const admits = async (tenant: string, user?: string): Promise<boolean> =>
    (await limiter.consume(tenant, { request: { user } })).allowed
  for (const [tenant, user] of pairs) {
    const answers = [await admits(tenant, user), await admits(tenant, user), await admits(tenant, user)]
    assert.deepEqual(answers, [true, true, false], JSON.stringify([tenant, user]))
  }
  // Four users of each have taken two; one is left to a user of each, whose own bucket is full.
  for (const tenant of tenants) {
    const answers = [await admits(tenant, 'last'), await admits(tenant, 'last')]
    assert.deepEqual(answers, [true, false], JSON.stringify(tenant))
  }
})
