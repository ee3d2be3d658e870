import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { enforceRateLimitPolicy } from 'tollgate'
import type { Limiter, PolicyDefinition, PolicyEvent } from 'tollgate'
import { fakeClock } from './harness.ts'
import { left } from './services.ts'
import { thread } from './threads.ts'

const clock = fakeClock()

const BEGUN = {
  burstAllowance: 0,
  tiers: { free: 10, pro: 50 },
  tenantOverrides: { acme: 'pro' },
} satisfies PolicyDefinition

const NEXT = {
  burstAllowance: 0,
  defaultQuota: 30,
  window: '1h',
  tiers: { basic: 20, enterprise: 500, pro: 60 },
  tenantOverrides: { acme: 'enterprise' },
  rules: [{ name: 'large', match: { tier: 'enterprise' }, quota: 400 }],
} satisfies PolicyDefinition

/** Limiters of one namespace, as threads have them: each with its own definition, of which one is in force. */
async function sharing(
  count: number,
  policyDefinition: PolicyDefinition,
): Promise<{ limiters: Limiter[] } & AsyncDisposable> {
  const limiters: Limiter[] = []
  for (let index = 0; index < count; index++) {
    limiters.push(await enforceRateLimitPolicy({ namespace: 'shared', clock: clock.now, policyDefinition }))
  }
  const close = async (): Promise<void> => {
    for (const limiter of limiters) await limiter.close()
  }
  return { limiters, [Symbol.asyncDispose]: close }
}

test('a policy that one thread applies is in force in all of them', async () => {
  await using shared = await sharing(1, BEGUN)
  const [limiter] = shared.limiters
  const worker = thread(`
    import { parentPort } from 'node:worker_threads'
    import { enforceRateLimitPolicy } from 'tollgate'
    const limiter = await enforceRateLimitPolicy({
      namespace: 'shared',
      policyDefinition: ${JSON.stringify(BEGUN)},
      clock: () => ${clock.now()},
    })
    parentPort.on('message', () => parentPort.postMessage(limiter.tryConsume('acme').limits))
    parentPort.postMessage('ready')
  `)
  await once(worker, 'message')
  const decided = async (): Promise<object> => {
    worker.postMessage('decide')
    const [limits] = (await once(worker, 'message')) as [{ rule: string; remaining: number }[]]
    return Object.fromEntries(limits.map(({ rule, remaining }) => [rule, remaining]))
  }
  assert.deepEqual(await decided(), { default: 49 })
  await limiter!.applyPolicy(NEXT)
  assert.deepEqual(await decided(), { large: 399, default: 498 })
  assert.deepEqual(left(limiter!.peek('acme')), { large: 399, default: 498 })
  await worker.terminate()
})

test('who did not apply a policy names tenants by it all the same', async () => {
  await using shared = await sharing(2, BEGUN)
  const [one, other] = shared.limiters as [Limiter, Limiter]
  await one.applyPolicy(NEXT)
  await other.upsertTenant('globex', 'enterprise')
  await other.upsertTenant('initech', { quota: 7 })
  await other.upsertTenant('umbrella', { tier: 'pro', burst: 5 })
  assert.deepEqual(left(one.peek('globex')), { large: 400, default: 500 })
  assert.deepEqual(left(one.peek('umbrella')), { default: 65 })
  one.tryConsume('initech', { cost: 7 })
  // The window is the new policy's.
  assert.equal(one.peek('initech').resetMs, 3_600_000)
  await assert.rejects(other.upsertTenant('acme', 'free'), /no tier has this name/)
})

test('a route may name a rule of a policy that another limiter applied', async () => {
  await using shared = await sharing(2, BEGUN)
  const [one, other] = shared.limiters as [Limiter, Limiter]
  assert.throws(() => other.middleware({ rule: 'large' }), /middleware\.rule/)
  await one.applyPolicy(NEXT)
  other.middleware({ rule: 'large' })
  assert.equal(other.tryConsume('nobody', { rule: 'large' }).limits.length, 2)
})

test('who loads its tenants again does not put the policy back that another limiter has replaced', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let quota = 5
  const begun = { burstAllowance: 0, tenantOverrides: () => ({ acme: quota }), tenantRefresh: '1m' }
  await using shared = await sharing(2, begun)
  const [one, other] = shared.limiters as [Limiter, Limiter]
  const events: PolicyEvent[] = []
  other.on('policy', (event) => events.push(event))
  await one.applyPolicy({ burstAllowance: 0, defaultQuota: 77, tenantOverrides: { acme: 50 } })
  quota = 6
  // The other loads, and its tenants are those of a policy that is not in force.
  for (let turn = 0; turn < 3; turn++) {
    context.mock.timers.tick(60_000)
    await turns(20)
  }
  assert.deepEqual([one.peek('acme').limit, other.peek('nobody').limit], [50, 77])
  assert.deepEqual(events, [])
  // In force again, it is refreshed again.
  await one.applyPolicy(begun)
  assert.equal(other.peek('acme').limit, 6)
  quota = 7
  // By one of them: to the other, it is no other policy then.
  const refreshed = new Promise((resolve) => [one, other].map((each) => each.on('policy', resolve)))
  context.mock.timers.tick(60_000)
  await refreshed
  assert.equal(other.peek('acme').limit, 7)
})

test('of policies that are applied at once, the last one is in force, however long the first takes to load', async () => {
  await using shared = await sharing(1, BEGUN)
  const [limiter] = shared.limiters as [Limiter]
  const results = await Promise.allSettled([
    limiter.applyPolicy({ burstAllowance: 0, tenantOverrides: slow }),
    limiter.applyPolicy({ burstAllowance: 0, tenantOverrides: { acme: -1 } }),
    limiter.applyPolicy({ burstAllowance: 0, tenantOverrides: { acme: 3 } }),
  ])
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  assert.equal(limiter.peek('acme').limit, 3)
})

test('a namespace is free once its last limiter is closed, whatever is still going on in the background', async () => {
  for (let round = 1; round <= 20; round++) {
    const policyDefinition = { defaultQuota: round }
    const limiter = await enforceRateLimitPolicy({
      namespace: 'reopened',
      clock: clock.now,
      policyDefinition,
    })
    // So many keys that tables grow, which is background work.
    for (let tenant = 0; tenant < 5_000; tenant++) limiter.tryConsume(`tenant-${tenant}`)
    await limiter.close()
  }
})

async function slow(): Promise<Record<string, number>> {
  await turns(20)
  return { acme: 1 }
}

/** Lets the event loop, and with it the addon's threads, go on for some turns. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate)
}
