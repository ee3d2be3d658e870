import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enforceRateLimitPolicy, TollgateClosedError, TollgateConfigError } from 'tollgate'
import type { Limiter, PolicyDefinition, PolicyEvent, RateLimitPolicyOptions } from 'tollgate'
import { fakeClock, listen } from './harness.ts'
import { FRAMEWORKS, left } from './services.ts'

const clock = fakeClock()

function limiterOf(policyDefinition: PolicyDefinition, more: RateLimitPolicyOptions = {}): Promise<Limiter> {
  const definition = { burstAllowance: 0, ...policyDefinition }
  return enforceRateLimitPolicy({
    namespace: 'apply',
    clock: clock.now,
    policyDefinition: definition,
    ...more,
  })
}

const SEARCH = { name: 'search', quota: 10 }

test('a raised limit gives exactly the difference, a lowered one stops at empty', async () => {
  await using limiter = await limiterOf({ rules: [SEARCH] })
  limiter.tryConsume('acme', { cost: 6 })
  await limiter.applyPolicy({ burstAllowance: 0, defaultQuota: 150, rules: [{ ...SEARCH, quota: 25 }] })
  assert.deepEqual(left(limiter.peek('acme')), { search: 19, default: 144 })
  await limiter.applyPolicy({ burstAllowance: 0, defaultQuota: 5, rules: [{ ...SEARCH, quota: 3 }] })
  assert.deepEqual(left(limiter.peek('acme')), { default: 0, search: 0 })
  await limiter.applyPolicy({
    defaultQuota: 100,
    burstAllowance: 7,
    rules: [{ ...SEARCH, quota: 10, burst: 2 }],
  })
  assert.deepEqual(left(limiter.peek('acme')), { search: 9, default: 102 })
})

test('rules are told apart by name: what was spent follows it, wherever it stands and whatever it matches', async () => {
  await using limiter = await limiterOf({ rules: [SEARCH, { name: 'other', quota: 20 }] })
  limiter.tryConsume('acme', { cost: 4 })
  await limiter.applyPolicy({
    burstAllowance: 0,
    rules: [
      { name: 'first', quota: 30 },
      { name: 'renamed', quota: 20 },
      { ...SEARCH, match: { method: 'GET' }, mode: 'shadow' },
    ],
  })
  const request = { method: 'GET' }
  assert.deepEqual(left(limiter.peek('acme', { request })), {
    renamed: 20,
    first: 30,
    search: 6,
    default: 96,
  })
  await limiter.applyPolicy({ burstAllowance: 0, rules: [] })
  assert.deepEqual(left(limiter.peek('acme', { request })), { default: 96 })
  assert.throws(() => limiter.peek('acme', { rule: 'search' }), /TOLLGATE|rule/)
  await limiter.applyPolicy({ burstAllowance: 0, rules: [SEARCH] })
  assert.equal(left(limiter.peek('acme'))['default'], 96)
})

test('a rule that is kept per something else begins afresh', async () => {
  await using limiter = await limiterOf({ rules: [SEARCH] })
  limiter.tryConsume('acme', { cost: 4 })
  await limiter.applyPolicy({ burstAllowance: 0, rules: [{ ...SEARCH, per: ['tenant', 'user'] }] })
  assert.deepEqual(left(limiter.peek('acme')), { search: 10, default: 96 })
  await limiter.applyPolicy({ burstAllowance: 0, rules: [{ ...SEARCH, per: ['user', 'tenant'] }] })
  assert.equal(limiter.peek('acme').remaining, 10)
})

test('under another algorithm, what was spent stays spent; between tokens and slots nothing is carried over', async () => {
  await using limiter = await limiterOf({ rules: [SEARCH] })
  limiter.tryConsume('acme', { cost: 4 })
  for (const algorithm of ['fixed-window', 'sliding-window', 'token-bucket'] as const) {
    await limiter.applyPolicy({ burstAllowance: 0, algorithm, rules: [SEARCH] })
    assert.deepEqual(left(limiter.peek('acme')), { search: 6, default: 96 }, algorithm)
  }
  await limiter.applyPolicy({ burstAllowance: 0, rules: [{ name: 'search', concurrency: 10 }] })
  assert.deepEqual(left(limiter.peek('acme')), { search: 10, default: 96 })
})

test('under another window, what was spent comes back at the new rate', async () => {
  await using limiter = await limiterOf({ defaultQuota: 60 })
  limiter.tryConsume('acme', { cost: 60 })
  await limiter.applyPolicy({ defaultQuota: 60, burstAllowance: 0, window: '1h' })
  clock.advance(60_000)
  assert.equal(limiter.peek('acme').remaining, 1)
  await limiter.applyPolicy({ defaultQuota: 60, burstAllowance: 0, window: '1s' })
  clock.advance(500)
  assert.equal(limiter.peek('acme').remaining, 31)
})

test('tiers and tenants are those of the new policy, for upsertTenant, too', async () => {
  await using limiter = await limiterOf({
    tiers: { free: 10, pro: 50 },
    tenantOverrides: { acme: 'pro', globex: 7 },
  })
  limiter.tryConsume('acme', { cost: 5 })
  limiter.tryConsume('globex', { cost: 5 })
  await limiter.applyPolicy({
    burstAllowance: 0,
    tiers: { basic: 20, enterprise: 500, free: 10 },
    tenantOverrides: { acme: 'enterprise' },
    rules: [{ name: 'large', match: { tier: 'enterprise' }, quota: 400 }],
  })
  assert.deepEqual(left(limiter.peek('acme')), { large: 400, default: 495 })
  assert.deepEqual(left(limiter.peek('globex')), { default: 95 })
  await limiter.upsertTenant('globex', 'enterprise')
  await limiter.upsertTenant('initech', { tier: 'basic', burst: 3 })
  assert.deepEqual(left(limiter.peek('globex')), { large: 400, default: 495 })
  assert.deepEqual(left(limiter.peek('initech')), { default: 23 })
  await assert.rejects(limiter.upsertTenant('acme', 'pro'), TollgateConfigError)
  assert.equal(limiter.status().policy.tenants, 3)
})

test('a policy at fault changes nothing', async () => {
  const limiter = await limiterOf({ rules: [SEARCH], tenantOverrides: { acme: 50 } })
  limiter.tryConsume('acme', { cost: 4 })
  const before = limiter.status().policy
  const events: PolicyEvent[] = []
  limiter.on('policy', (event) => events.push(event))
  const faulty: [definition: object, path: string][] = [
    [{ rules: [{ ...SEARCH, quota: -1 }] }, 'policyDefinition.rules[0].quota'],
    [{ rules: [{ ...SEARCH, match: { path: '/a{' } }] }, 'policyDefinition.rules[0].match.path'],
    [{ tenantOverrides: { acme: 'nowhere' } }, 'policyDefinition.tenantOverrides.acme'],
    [
      {
        tenantOverrides: [
          { tenant: 'a', quota: 1 },
          { tenant: 'a', quota: 2 },
        ],
      },
      'policyDefinition.tenantOverrides[1]',
    ],
    [{ defaultQouta: 5 }, 'policyDefinition.defaultQouta'],
  ]
  for (const [definition, path] of faulty) {
    await assert.rejects(limiter.applyPolicy(definition), (error) => {
      assert.ok(error instanceof TollgateConfigError)
      assert.ok(error.path.startsWith(path), error.path)
      return true
    })
  }
  const thrown = new Error('no database')
  const tenantOverrides = (): never => {
    throw thrown
  }
  await assert.rejects(limiter.applyPolicy({ tenantOverrides }))
  assert.deepEqual(limiter.status().policy, before)
  assert.deepEqual(left(limiter.peek('acme')), { search: 6, default: 46 })
  // What comes later is in the old one's terms.
  await limiter.upsertTenant('globex', 5)
  assert.equal(limiter.peek('globex').limit, 5)
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['amended'],
  )
  await limiter.close()
  await assert.rejects(limiter.applyPolicy({}), TollgateClosedError)
})

test('a policy that is applied has a number, a hash, a report and an event', async () => {
  await using limiter = await limiterOf({})
  const events: PolicyEvent[] = []
  limiter.on('policy', (event) => events.push(event))
  const definition = {
    rules: [SEARCH, { ...SEARCH, name: 'again' }, { name: 'nobody', match: { tier: 'free' }, quota: 1 }],
    tiers: { free: 5 },
    tenantOverrides: { acme: 5 },
  }
  const applied = await limiter.applyPolicy(definition)
  const { policy } = limiter.status()
  assert.deepEqual([applied.revision, applied.hash], [2, policy.hash])
  assert.deepEqual(events, [{ kind: 'applied', revision: 2, hash: policy.hash }])
  assert.deepEqual(applied.report.merged, [['again', 'search']])
  assert.deepEqual([applied.report.rules, applied.report.bytes], [policy.rules, policy.imageBytes])
  // The same once more is no other policy.
  assert.equal((await limiter.applyPolicy(definition)).revision, 2)
  assert.equal(events.length, 1)
})

test('a route whose rule another limiter has removed charges what there is', async () => {
  await using limiter = await limiterOf({ rules: [SEARCH] })
  await using other = await limiterOf({ rules: [SEARCH] })
  const [, before] = FRAMEWORKS[2]!
  const handle = limiter.middleware({ rule: 'search' })
  await using server = await listen(before(handle, (_req, res) => void res.end('in')))
  const policy = async (): Promise<unknown> =>
    (await server.get('/', { 'x-tenant-id': 'acme' })).headers['ratelimit-policy']
  assert.equal(await policy(), '"search";q=10;w=60, "default";q=100;w=60')
  await other.applyPolicy({ burstAllowance: 0 })
  assert.equal(await policy(), '"default";q=100;w=60')
  await other.applyPolicy({ rules: [{ name: 'other', quota: 5 }, SEARCH] })
  assert.match(String(await policy()), /"other";q=5;w=60.*"search";q=10;w=60/)
})

test('a policy without a rule that a route of this limiter names is refused', async () => {
  await using limiter = await limiterOf({ rules: [SEARCH, { name: 'all', quota: 90 }] })
  const handlers = [limiter.middleware({ rule: 'search' }), limiter.middleware({ rule: 'search' })]
  const { hash } = limiter.status().policy
  await assert.rejects(limiter.applyPolicy({ rules: [{ name: 'all', quota: 80 }] }), (error) => {
    assert.ok(error instanceof TollgateConfigError)
    assert.equal(error.path, 'policyDefinition.rules')
    assert.match(error.message, /middleware\(\{ rule: "search" \}\) is mounted 2 times/)
    return true
  })
  assert.equal(limiter.status().policy.hash, hash)
  await limiter.applyPolicy({ rules: [SEARCH] })
  assert.equal(handlers.length, 2)
})

test('requests in flight keep their slots, and give them back to the new policy', async () => {
  const streams = { name: 'streams', concurrency: 2 }
  await using limiter = await limiterOf({ rules: [streams] })
  const held = [await limiter.reserve('acme'), await limiter.reserve('acme')]
  await limiter.applyPolicy({
    rules: [
      { name: 'before', quota: 500 },
      { ...streams, concurrency: 5 },
    ],
  })
  const free = (): number | undefined => left(limiter.peek('acme'))['streams']
  assert.equal(free(), 3)
  await limiter.applyPolicy({ rules: [{ ...streams, concurrency: 1 }] })
  assert.equal(limiter.tryConsume('acme').reason, 'concurrency')
  assert.equal(held[0]?.settle(1), true)
  assert.equal(free(), 0)
  assert.equal(held[1]?.cancel(), true)
  assert.equal(free(), 1)
  // Without the rule there is nothing to give back, which is no harm.
  const last = await limiter.reserve('acme')
  await limiter.applyPolicy({})
  assert.equal(last.settle(1), true)
})

test('reservations are settled under the policy that is in force then', async () => {
  await using limiter = await limiterOf({ rules: [SEARCH] })
  const [less, more] = [
    await limiter.reserve('acme', { cost: 5 }),
    await limiter.reserve('acme', { cost: 2 }),
  ]
  await limiter.applyPolicy({
    burstAllowance: 0,
    defaultQuota: 200,
    rules: [
      { name: 'first', quota: 90 },
      { ...SEARCH, quota: 30 },
    ],
  })
  assert.deepEqual(left(limiter.peek('acme')), { search: 23, first: 90, default: 193 })
  less.settle(1)
  more.settle(4)
  assert.deepEqual(left(limiter.peek('acme')), { search: 25, first: 90, default: 195 })
})

test('while policies change, nobody is admitted more than the largest of them allows', async () => {
  await using limiter = await limiterOf({ rules: [{ ...SEARCH, quota: 400 }], defaultQuota: 1_000 })
  let admitted = 0
  const state = { changing: true }
  const changes = (async () => {
    for (let turn = 1; turn <= 30; turn++) {
      const rules = [
        { name: `other-${turn}`, quota: 10_000 },
        { ...SEARCH, quota: 400 - turn },
      ]
      await limiter.applyPolicy({ burstAllowance: 0, defaultQuota: 1_000 + turn, rules })
    }
    state.changing = false
  })()
  while (state.changing) {
    for (let turn = 0; turn < 3; turn++) admitted += Number(limiter.tryConsume('acme').allowed)
    await new Promise(setImmediate)
  }
  await changes
  while (limiter.tryConsume('acme').allowed) admitted += 1
  assert.ok(admitted >= 370 && admitted <= 400, `${admitted}`)
  assert.equal(left(limiter.peek('acme'))['default'], 1_030 - admitted)
})

test('tenants are loaded again as the new policy says', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let quota = 5
  let loads = 0
  const load = (): object => {
    loads += 1
    return { acme: quota }
  }
  await using limiter = await limiterOf({ tenantOverrides: () => ({ acme: 1 }), tenantRefresh: '1m' })
  await limiter.applyPolicy({ burstAllowance: 0, tenantOverrides: load as never, tenantRefresh: '10m' })
  assert.deepEqual([limiter.peek('acme').limit, loads], [5, 1])
  context.mock.timers.tick(60_000)
  await new Promise(setImmediate)
  assert.equal(loads, 1)
  quota = 6
  const changed = new Promise((resolve) => limiter.on('policy', resolve))
  context.mock.timers.tick(540_000)
  await changed
  assert.deepEqual([limiter.peek('acme').limit, loads], [6, 2])
  await limiter.applyPolicy({ tenantOverrides: { acme: 7 } })
  context.mock.timers.tick(6_000_000)
  await new Promise(setImmediate)
  assert.equal(loads, 2)
})
