import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enforceRateLimitPolicy, type Limiter, type PolicyDefinition, type Rule } from 'tollgate'
import { fakeClock, listen } from './harness.ts'
import { FRAMEWORKS, left, served } from './services.ts'

const acme = { 'x-tenant-id': 'acme' }

/** 100 a minute for each tenant, and rules on top; the clock stands still. */
function limiterOf(rules: Rule[], more: PolicyDefinition = {}): Promise<Limiter> {
  const policyDefinition = { burstAllowance: 0, rules, ...more }
  return enforceRateLimitPolicy({ namespace: 'rules', policyDefinition, clock: () => 0 })
}

for (const [name, before] of FRAMEWORKS) {
  test(`${name}: a request is charged to every limit that applies, or to none`, async () => {
    await using limiter = await limiterOf([
      { name: 'search', match: { path: '/search' }, quota: 3 },
      { name: 'writes', match: { method: ['POST', 'PUT'] }, quota: 2 },
    ])
    await using server = await listen(before(limiter.middleware(), (_req, res) => void res.end('in')))
    const post = async (path: string): Promise<number> => (await server.get(path, acme, 'POST')).status
    assert.deepEqual([await post('/search?q=1'), await post('/search/')], [200, 200])
    assert.equal(await post('/search'), 429)
    const request = { method: 'POST', path: '/search' }
    assert.deepEqual(left(limiter.peek('acme', { request })), { writes: 0, search: 1, default: 98 })
    assert.equal((await server.get('/search', acme)).status, 200)
    assert.equal((await server.get('/search', acme)).status, 429)
    assert.deepEqual(left(limiter.peek('acme', { request })), { search: 0, writes: 0, default: 97 })
    assert.equal((await server.get('/', acme)).status, 200)
    assert.deepEqual(left(limiter.peek('globex', { request })), { writes: 2, search: 3, default: 100 })
  })
}

test('the limit that refuses longest decides, and headers and problem begin with it', async () => {
  const limiter = await limiterOf([
    { name: 'short', quota: 1, window: '1s' },
    { name: 'long', quota: 1, window: '10s' },
    { name: 'wide', quota: 500 },
  ])
  await using server = await served(limiter)
  assert.equal((await server.get('/', acme)).status, 200)
  const refused = await server.get('/', acme)
  assert.equal(refused.status, 429)
  assert.equal(refused.headers['retry-after'], '10')
  assert.equal(
    refused.headers['ratelimit-policy'],
    '"long";q=1;w=10, "default";q=100;w=60, "short";q=1;w=1, "wide";q=500;w=60',
  )
  assert.equal(
    refused.headers.ratelimit,
    '"long";r=0;t=10, "default";r=99;t=1, "short";r=0;t=1, "wide";r=499;t=1',
  )
  assert.deepEqual((refused.json() as Record<string, unknown>)['violated-policies'], ['long', 'short'])
  const { rule, reason, limit, retryAfterMs, limits } = limiter.peek('acme')
  assert.deepEqual([rule, reason, limit, retryAfterMs], ['long', 'quota', 1, 10_000])
  assert.deepEqual(
    limits.map((each) => [each.rule, each.allowed]),
    [
      ['long', false],
      ['default', true],
      ['short', false],
      ['wide', true],
    ],
  )
})

test('of limits that admit, the one with the fewest tokens left decides', async () => {
  const limiter = await limiterOf([{ name: 'search', match: { path: '/search' }, quota: 3 }])
  await using server = await served(limiter)
  limiter.tryConsume('acme', { cost: 97 })
  const first = await server.get('/search', acme)
  assert.equal(first.headers.ratelimit, '"default";r=2;t=59, "search";r=2;t=20')
  limiter.reward('acme', 50)
  const second = await server.get('/search', acme)
  assert.equal(second.headers.ratelimit, '"search";r=1;t=40, "default";r=51;t=30')
})

test('a refusal for good is longer than any other', async () => {
  const limiter = await limiterOf([
    { name: 'yearly', quota: 1, window: '365d' },
    { name: 'closed', match: { method: 'DELETE' }, quota: 0 },
  ])
  await using server = await served(limiter)
  await server.get('/', acme)
  const refused = await server.get('/', acme, 'DELETE')
  assert.equal(refused.status, 429)
  assert.equal(refused.headers['retry-after'], undefined)
  assert.deepEqual((refused.json() as Record<string, unknown>)['violated-policies'], ['closed', 'yearly'])
  assert.equal(limiter.peek('acme', { request: { method: 'DELETE' } }).reason, 'denied')
})

test('a shadow rule counts what it would refuse, refuses nothing, and is not in headers', async () => {
  const limiter = await limiterOf([{ name: 'later', quota: 1, mode: 'shadow' }])
  await using server = await served(limiter)
  await server.get('/', acme)
  const answer = await server.get('/', acme)
  assert.equal(answer.status, 200)
  assert.equal(answer.headers['ratelimit-policy'], '"default";q=100;w=60')
  assert.equal(answer.headers.ratelimit, '"default";r=98;t=2')
  const { rule, allowed, limits } = limiter.tryConsume('acme')
  assert.deepEqual([rule, allowed], ['default', true])
  assert.deepEqual(
    limits.map((limit) => [limit.rule, limit.mode, limit.allowed, limit.reason]),
    [
      ['default', 'enforce', true, 'ok'],
      ['later', 'shadow', false, 'quota'],
    ],
  )
})

test('what is refused by another limit costs a shadow rule nothing', async () => {
  await using limiter = await limiterOf([{ name: 'later', quota: 50, mode: 'shadow' }])
  limiter.tryConsume('acme', { cost: 40 })
  assert.equal(limiter.tryConsume('acme', { cost: 61 }).allowed, false)
  assert.deepEqual(left(limiter.peek('acme')), { default: 60, later: 10 })
})

test('HEAD is charged as GET; methods that nobody knows match no rule that asks for one', async () => {
  const limiter = await limiterOf([{ name: 'reads', match: { method: 'GET' }, quota: 1 }])
  await using server = await served(limiter)
  assert.equal((await server.get('/', acme, 'HEAD')).status, 200)
  assert.equal((await server.get('/', acme)).status, 429)
  assert.equal((await server.get('/', acme, 'POST')).status, 200)
  assert.equal(limiter.tryConsume('acme', { request: { method: 'BREW' } }).allowed, true)
  assert.equal(limiter.tryConsume('acme', { request: { method: 'get' } }).allowed, false)
})

test('a rule is for the tiers and tenants that it names', async () => {
  const rules: Rule[] = [
    { name: 'tier', match: { tier: ['free', 'trial'] }, quota: 5 },
    { name: 'tenant', match: { tenant: ['acme', 'nobody'] }, quota: 6 },
    { name: 'both', match: { tier: 'free', tenant: 'acme' }, quota: 7 },
  ]
  await using limiter = await limiterOf(rules, {
    tiers: { free: 50, pro: 80, trial: 10 },
    tenantOverrides: { acme: 'free', globex: 'pro', initech: { tier: 'trial', quota: 20 } },
  })
  assert.deepEqual(left(limiter.peek('acme')), { tier: 5, tenant: 6, both: 7, default: 50 })
  assert.deepEqual(left(limiter.peek('globex')), { default: 80 })
  assert.deepEqual(left(limiter.peek('initech')), { tier: 5, default: 20 })
  assert.deepEqual(left(limiter.peek('nobody')), { tenant: 6, default: 100 })
  assert.deepEqual(left(limiter.peek('anybody')), { default: 100 })
})

test('a rule with a cost of its own takes that, whatever the request costs', async () => {
  const limiter = await limiterOf([
    { name: 'reports', match: { path: '/reports' }, quota: 25, cost: 10 },
    { name: 'all', quota: 60, burst: 5 },
  ])
  const request = { path: '/reports' }
  assert.deepEqual(left(limiter.tryConsume('acme', { request, cost: 3 })), {
    reports: 15,
    all: 62,
    default: 97,
  })
  assert.deepEqual(left(limiter.tryConsume('acme', { request, cost: 0 })), {
    reports: 5,
    all: 62,
    default: 97,
  })
  const { rule, retryAfterMs } = limiter.tryConsume('acme', { request })
  assert.deepEqual([rule, retryAfterMs], ['reports', 12_000])
  await limiter.close()
})

test('rules limit tenants without a quota, too; a rule without one limits nobody', async () => {
  const limiter = await limiterOf(
    [
      { name: 'search', match: { path: '/search' }, quota: 1 },
      { name: 'open', quota: 'unlimited' },
    ],
    { tenantOverrides: { root: 'unlimited' } },
  )
  await using server = await served(limiter)
  const root = { 'x-tenant-id': 'root' }
  assert.equal((await server.get('/', root)).headers.ratelimit, undefined)
  assert.equal((await server.get('/search', root)).headers.ratelimit, '"search";r=0;t=60')
  assert.equal((await server.get('/search', root)).status, 429)
  assert.deepEqual(left(limiter.peek('acme')), { default: 100 })
})

test('all limits get back what a response gives back', async () => {
  const limiter = await limiterOf([
    { name: 'search', match: { path: '/search' }, quota: 30 },
    { name: 'fixed', quota: 40, window: 'day', algorithm: 'fixed-window', cost: 7 },
    { name: 'later', quota: 50, mode: 'shadow' },
  ])
  const handle = limiter.middleware({ cost: 5, skipFailedRequests: true })
  const server = await listen((req, res) => {
    if (handle(req, res) !== true) return
    res.statusCode = req.headers['x-status'] === undefined ? 200 : 500
    res.end()
  })
  const request = { path: '/search' }
  await server.get('/search', acme)
  const once = { search: 25, fixed: 33, later: 45, default: 95 }
  assert.deepEqual(left(limiter.peek('acme', { request })), once)
  await server.get('/search', { ...acme, 'x-status': '500' })
  assert.deepEqual(left(limiter.peek('acme', { request })), once)
  await server[Symbol.asyncDispose]()
  await limiter.close()
})

test('skip and onLimited are asked under rules as without', async () => {
  const limiter = await limiterOf([{ name: 'search', match: { path: '/search' }, quota: 1 }])
  const handle = limiter.middleware({
    skip: (req) => req.headers['x-internal'] !== undefined,
    onLimited: (req, res, next, { rule, retryAfterMs }) => {
      if (req.headers['x-insist'] !== undefined) return next()
      res.end(`${res.statusCode} ${rule} ${retryAfterMs}`)
    },
  })
  await using server = await listen(async (req, res) => {
    if (await handle(req, res)) res.end('in')
  })
  assert.equal((await server.get('/search', { ...acme, 'x-internal': '1' })).body, 'in')
  assert.equal((await server.get('/search', acme)).body, 'in')
  assert.equal((await server.get('/search', acme)).body, '429 search 60000')
  assert.equal((await server.get('/search', { ...acme, 'x-insist': '1' })).body, 'in')
  assert.deepEqual(left(limiter.peek('acme', { request: { path: '/search' } })), { search: 0, default: 99 })
  await limiter.close()
})

for (const [name, before] of FRAMEWORKS.slice(0, 2)) {
  test(`${name}: clients without a tenant have rules of their own each`, async () => {
    await using limiter = await limiterOf(
      [
        { name: 'login', match: { method: 'POST', path: '/login' }, quota: 1 },
        { name: 'tiered', match: { tier: 'free' }, quota: 1 },
      ],
      { tiers: { free: 5 }, defaultQuota: 3 },
    )
    await using server = await listen(before(limiter.middleware(), (_req, res) => void res.end('in')))
    const login = (address: string): ReturnType<typeof server.get> =>
      server.get('/login', { 'x-forwarded-for': address }, 'POST')
    assert.equal((await login('203.0.113.1')).headers.ratelimit, '"login";r=0;t=60, "default";r=2;t=20')
    assert.equal((await login('203.0.113.1')).status, 429)
    assert.equal((await login('203.0.113.2')).status, 200)
    assert.equal((await login('2001:db8::1')).status, 200)
    assert.equal((await login('2001:db8::ffff')).status, 429)
    // A tenant that is named like an address is somebody else.
    assert.equal((await server.get('/login', { 'x-tenant-id': '203.0.113.1' }, 'POST')).status, 200)
  })
}

test('time brings each limit back at its own rate', async () => {
  const clock = fakeClock()
  await using limiter = await enforceRateLimitPolicy({
    namespace: 'rules-time',
    clock: clock.now,
    policyDefinition: {
      defaultQuota: 6,
      burstAllowance: 0,
      rules: [{ name: 'search', quota: 2, window: '1s' }],
    },
  })
  limiter.tryConsume('acme', { cost: 2 })
  clock.advance(500)
  assert.deepEqual(left(limiter.peek('acme')), { search: 1, default: 4 })
  clock.advance(9_500)
  assert.deepEqual(left(limiter.peek('acme')), { search: 2, default: 5 })
})
