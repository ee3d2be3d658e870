/** Limits hold for a fleet on a real Redis Cluster, whose masters change and whose slots move under load. */

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { enforceRateLimitPolicy, type RateLimitPolicyOptions } from 'tollgate'
import { assertWithin, most } from './fleet-bound.ts'
import { acquainted, Fleet, hammer } from './fleet.ts'
import type { Load } from './load.ts'
import { redisCluster } from './redis-cluster.ts'
import type { RedisServer } from './redis.ts'
import { until } from './until.ts'

const ending = { after }
const cluster = await redisCluster(ending)
const fleet = new Fleet(ending)

const THOUSAND = { defaultQuota: 1_000, burstAllowance: 100, window: 1_000 }
const acme: Load = { tenants: ['acme'], milliseconds: 5_000, way: 'consume', inFlight: 4 }

/** One node is told; the others are found by asking it. */
function shared(namespace: string): RateLimitPolicyOptions {
  return { backends: cluster.urls.slice(0, 1), namespace, policyDefinition: THOUSAND }
}

/** The keys of buckets, without what else is kept: a bucket has a name of 22 characters after its tag. */
async function buckets(node: RedisServer, namespace: string): Promise<string[]> {
  const found = (await node.cli('--scan', '--pattern', `tollgate:{${namespace}:*`)).split('\n')
  return found.filter((key) => /\}:[\w-]{22}$/.test(key))
}

/** The slot of the one tenant's bucket, once it is there. */
async function slotOfAcme(namespace: string): Promise<number> {
  let [key]: string[] = []
  await until('the bucket is there', async () => {
    const held = await Promise.all((await cluster.masters()).map((master) => buckets(master, namespace)))
    key = held.flat()[0]
    return key !== undefined
  })
  return cluster.slotOf(key!)
}

test('four processes on one tenant stay within the bound, and use what it has earned', async (t) => {
  await fleet.with(4, shared('calm'), async (instances) => {
    assertWithin(t, THOUSAND, await hammer(instances, acme), 0.9)
    const [backend] = (await instances[0]!.status()).backends
    assert.equal(backend?.kind, 'cluster')
    // Replicas that have only just joined may not be known yet.
    assert.ok(backend.nodes.length >= 3, `${backend.nodes.length} nodes`)
  })
})

test('a thousand tenants are spread over the masters', async (t) => {
  const tenants = Array.from({ length: 1_000 }, (_, index) => `tenant-${index}`)
  await fleet.with(1, shared('spread'), async (instances) => {
    await hammer(instances, { ...acme, tenants, inFlight: 64, milliseconds: 1_500 })
    const masters = await cluster.masters()
    const held = await Promise.all(masters.map(async (master) => (await buckets(master, 'spread')).length))
    t.diagnostic(`buckets: ${held.join(', ')}`)
    assert.ok(Math.min(...held) > 150)
  })
})

test('a replica takes over under load, and the bound holds', async (t) => {
  await fleet.with(4, shared('failover'), async (instances) => {
    const loaded = hammer(instances, acme)
    const holder = await cluster.holderOf(await slotOfAcme('failover'))
    await setTimeout(1_000)
    await cluster.failover(holder)
    assertWithin(t, THOUSAND, await loaded, 0.9)
  })
})

test('the slot of a bucket moves under load, and the bound holds', async (t) => {
  await fleet.with(4, shared('moving'), async (instances) => {
    const loaded = hammer(instances, acme)
    const slot = await slotOfAcme('moving')
    const [from, masters] = [await cluster.holderOf(slot), await cluster.masters()]
    const to = masters.find((master) => master !== from)!
    await setTimeout(1_000)
    await cluster.moveSlot(slot, from, to)
    await setTimeout(1_000)
    await cluster.moveSlot(slot, to, from)
    assertWithin(t, THOUSAND, await loaded, 0.9)
  })
})

test('a master is killed under load: decisions go on, and its replica is found', async (t) => {
  // Not the one that is killed: what it is named by is the next test's.
  const named = await replica()
  await fleet.with(4, { ...shared('crash'), backends: [named.url] }, async (instances) => {
    await acquainted(instances)
    const loaded = hammer(instances, { ...acme, milliseconds: 9_000 })
    const slot = await slotOfAcme('crash')
    const holder = await cluster.holderOf(slot)
    await setTimeout(500)
    await holder.kill()
    const killed = Date.now()
    const took = await until('its replica takes over', async () => (await cluster.holderOf(slot)) !== holder)
    const promoted = Date.now()
    t.diagnostic(`taken over after ${took.toFixed(0)} ms`)
    const report = await loaded
    const [without, since] = [
      report.between(killed + 1_000, promoted),
      report.between(promoted + 2_000, Infinity),
    ]
    t.diagnostic(`without it ${without.admitted} in ${without.seconds.toFixed(2)} s`)
    t.diagnostic(
      `since ${since.admitted} in ${since.seconds.toFixed(2)} s; wait ${report.longestWait.toFixed(1)} ms`,
    )
    // A replica lacks what its master had not sent yet.
    assert.ok(report.admitted <= 1.02 * most(THOUSAND, report.seconds), `${report.admitted} admitted`)
    if (without.slices.length > 0) assert.ok(without.admitted >= 0.8 * 1_000 * without.seconds)
    assert.ok(since.admitted >= 0.9 * 1_000 * since.seconds, `${since.admitted} in ${since.seconds} s`)
  })
})

test('a cluster is found by its other nodes once it is known, when the one that was named is gone', async () => {
  const named = await replica()
  const policyDefinition = { defaultQuota: 1, burstAllowance: 0, window: '1h' }
  await using limiter = await enforceRateLimitPolicy({
    backends: [named.url],
    namespace: 'named',
    policyDefinition,
    onBackendFailure: 'deny',
    maxWait: '1s',
  })
  assert.equal((await limiter.consume('before')).allowed, true)
  await named.kill()
  for (const master of await cluster.masters()) await master.cli('client', 'kill', 'type', 'normal')
  for (let tenant = 0; tenant < 20; tenant += 1)
    await until(`tenant ${tenant} is served`, async () => (await limiter.consume(`tenant ${tenant}`)).allowed)
})

/** A node that holds no slots, so that nobody is in want of it. */
async function replica(): Promise<RedisServer> {
  const masters = await cluster.masters()
  return cluster.nodes.find((node) => node.alive && !masters.includes(node))!
}
