import assert from 'node:assert/strict'
import { test } from 'node:test'
import express from 'express'
import { enforceRateLimitPolicy, TollgateConfigError, TollgateInputError } from 'tollgate'
import type { Limiter, PolicyDefinition } from 'tollgate'
import { listen, type Served } from './harness.ts'
import { FRAMEWORKS, left } from './services.ts'

const acme = { 'x-tenant-id': 'acme' }

const RULES = [
  // Of a path that nobody asks for: routes name it.
  { name: 'search', match: { path: '/nowhere' }, quota: 3, window: '10s' },
  { name: 'all', quota: 50 },
] as const

function limiterOf(more: PolicyDefinition = {}, namespace = 'rule-routes'): Promise<Limiter> {
  const policyDefinition = { burstAllowance: 0, rules: RULES, ...more }
  return enforceRateLimitPolicy({ namespace, policyDefinition, clock: () => 0 })
}

/** Where routes name their rule. */
async function routed(limiter: Limiter, mount: (app: express.Express) => void): Promise<Served> {
  const app = express()
  mount(app)
  app.use((_req, res) => void res.end('in'))
  const server = await listen(app)
  return {
    ...server,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await limiter.close()
    },
  }
}

for (const [name, before] of FRAMEWORKS) {
  test(`${name}: a route that names a rule charges what applies, and the rule`, async () => {
    await using limiter = await limiterOf()
    const handle = limiter.middleware({ rule: 'search' })
    await using server = await listen(before(handle, (_req, res) => void res.end('in')))
    const { headers } = await server.get('/found', acme)
    assert.equal(headers['ratelimit-policy'], '"search";q=3;w=10, "default";q=100;w=60, "all";q=50;w=60')
    // It matches there as well, and is charged once.
    await server.get('/nowhere', acme)
    assert.deepEqual(left(limiter.peek('acme', { rule: 'search' })), { search: 1, default: 98, all: 48 })
  })
}

test('behind the middleware of the application, a route charges its rule alone', async () => {
  const limiter = await limiterOf()
  await using server = await routed(limiter, (app) => {
    app.use(limiter.middleware())
    app.get('/search', limiter.middleware({ rule: 'search', cost: 2 }))
  })
  assert.equal((await server.get('/search', acme)).status, 200)
  assert.deepEqual(left(limiter.peek('acme', { rule: 'search' })), { search: 1, all: 49, default: 99 })
  const refused = await server.get('/search', acme)
  assert.equal(refused.status, 429)
  assert.deepEqual((refused.json() as Record<string, unknown>)['violated-policies'], ['search'])
  assert.equal((await server.get('/', acme)).status, 200)
})

test('in a router, and for clients without a tenant, it is the same', async () => {
  const limiter = await limiterOf()
  const router = express.Router()
  router.get('/search', limiter.middleware({ rule: 'search' }))
  await using server = await routed(limiter, (app) => {
    app.use(limiter.middleware())
    app.use('/api', router)
  })
  for (const status of [200, 200, 200, 429]) assert.equal((await server.get('/api/search')).status, status)
  assert.match(String((await server.get('/')).headers.ratelimit), /"default";r=95/)
})

test('what another limiter admitted, or this one passed over, counts as not charged', async () => {
  const limiter = await limiterOf()
  const other = await limiterOf({}, 'rule-routes-other')
  await using server = await routed(limiter, (app) => {
    app.use(other.middleware(), limiter.middleware({ skip: () => true }))
    app.get('/search', limiter.middleware({ rule: 'search' }))
  })
  await server.get('/search', acme)
  assert.deepEqual(left(limiter.peek('acme', { rule: 'search' })), { search: 2, all: 49, default: 99 })
  await other.close()
})

test('each request is charged anew on the same connection', async () => {
  const limiter = await limiterOf()
  await using server = await routed(limiter, (app) => {
    app.get('/twice', limiter.middleware({ rule: 'search' }), limiter.middleware({ rule: 'search' }))
    app.get('/once', limiter.middleware({ rule: 'search' }))
  })
  const head = 'HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\n'
  const answers = await server.raw(`GET /twice ${head}\r\nGET /once ${head}Connection: close\r\n\r\n`)
  assert.equal(answers.match(/HTTP\/1\.1 200/g)?.length, 2)
  // Of the two handlers of one route, the second finds everything charged.
  assert.deepEqual(left(limiter.peek('acme', { rule: 'search' })), { search: 1, all: 48, default: 98 })
})

test('a route that charges its rule alone still refuses whom the policy refuses', async () => {
  const limiter = await limiterOf({ allow: { tenants: ['partner'] }, deny: { tenants: ['bad'] } })
  await using server = await routed(limiter, (app) => {
    app.use(limiter.middleware({ tenant: () => 'acme' }))
    app.get('/search', limiter.middleware({ rule: 'search' }))
  })
  assert.equal((await server.get('/search', { 'x-tenant-id': 'bad' })).status, 403)
  for (let turn = 0; turn < 5; turn++) {
    assert.equal((await server.get('/search', { 'x-tenant-id': 'partner' })).status, 200)
  }
})

test('a rule that does the same as another answers to both names', async () => {
  const limiter = await limiterOf({
    rules: [
      { name: 'first', match: { path: '/a' }, quota: 2 },
      { name: 'second', match: { path: '/a' }, quota: 2 },
    ],
  })
  limiter.tryConsume('acme', { rule: 'second' })
  assert.equal(limiter.peek('acme', { rule: 'first' }).remaining, 1)
  assert.doesNotThrow(() => limiter.middleware({ rule: 'second' }))
  await limiter.close()
})

test('a rule that the policy does not have is refused where it is named', async () => {
  await using limiter = await limiterOf()
  assert.throws(
    () => limiter.middleware({ rule: 'serach' }),
    (error) => {
      assert.ok(error instanceof TollgateConfigError)
      assert.equal(error.path, 'middleware.rule')
      return true
    },
  )
  assert.throws(() => limiter.middleware({ rule: 'default' }), TollgateConfigError)
  for (const call of [
    () => limiter.tryConsume('acme', { rule: 'serach' }),
    () => limiter.peek('acme', { rule: 'serach' }),
    () => limiter.reward('acme', 1, { rule: 'serach' }),
    () => limiter.explain('acme', { rule: 'serach' }),
  ]) {
    assert.throws(call, (error) => {
      assert.ok(error instanceof TollgateInputError)
      assert.equal(error.code, 'TOLLGATE_UNKNOWN_RULE')
      assert.match(error.message, /serach/)
      return true
    })
  }
})

test('a rule is adjusted by its name, apart from the quota', async () => {
  await using limiter = await limiterOf()
  const rule = { rule: 'search' }
  assert.deepEqual(
    [limiter.penalize('acme', 2, rule).rule, limiter.peek('acme', rule).remaining],
    ['search', 1],
  )
  assert.equal(limiter.reward('acme', 1, rule).remaining, 2)
  assert.equal(limiter.block('acme', '5s', rule).retryAfterMs, 5_000)
  assert.deepEqual(
    [limiter.tryConsume('acme', rule).reason, limiter.tryConsume('acme').allowed],
    ['blocked', true],
  )
  assert.equal(limiter.reset('acme', rule).remaining, 3)
  assert.deepEqual(left(limiter.peek('acme', rule)), { search: 3, all: 49, default: 99 })
})

test('a policy is explained in words', async () => {
  await using limiter = await limiterOf()
  const text = limiter.explain('acme', { request: { method: 'GET', path: '/nowhere' } })
  assert.match(text, /acme/)
  assert.match(text, /search/)
  assert.deepEqual(left(limiter.peek('acme', { rule: 'search' })), { search: 3, all: 50, default: 100 })
})

test('a rule that matches where a route names it, too, is charged once', async () => {
  const rules = [{ name: 'export', match: { path: '/export' }, concurrency: 1 }]
  const limiter = await limiterOf({ rules })
  await using server = await routed(limiter, (app) => {
    app.use(limiter.middleware())
    app.get('/export', limiter.middleware({ rule: 'export' }))
  })
  for (let turn = 0; turn < 3; turn++) assert.equal((await server.get('/export', acme)).status, 200)
})

test('a route for another tenant than the application charges all that applies to that one', async () => {
  const limiter = await limiterOf()
  await using server = await routed(limiter, (app) => {
    app.use(limiter.middleware())
    app.get('/search', limiter.middleware({ rule: 'search', tenant: () => 'parent' }))
  })
  await server.get('/search', acme)
  assert.deepEqual(left(limiter.peek('parent', { rule: 'search' })), { search: 2, all: 49, default: 99 })
})

test('a request that was let pass although it was refused is asked by the route for its rule alone', async () => {
  const limiter = await limiterOf({ tenantOverrides: { acme: 0 } })
  await using server = await routed(limiter, (app) => {
    app.use(limiter.middleware({ onLimited: (_req, _res, next) => next() }))
    app.get('/search', limiter.middleware({ rule: 'search', statusCode: 418 }))
  })
  const statuses = []
  for (let turn = 0; turn < 4; turn++) statuses.push((await server.get('/search', acme)).status)
  assert.deepEqual(statuses.slice(3), [418])
})

test('a route for one tenant after another remembers what each of them was charged', async () => {
  const limiter = await limiterOf()
  await using server = await routed(limiter, (app) => {
    app.use(limiter.middleware(), limiter.middleware({ rule: 'search', tenant: () => 'parent' }))
    app.get('/search', limiter.middleware({ rule: 'search' }))
  })
  await server.get('/search', acme)
  assert.deepEqual(left(limiter.peek('parent', { rule: 'search' })), { search: 2, all: 49, default: 99 })
  assert.deepEqual(left(limiter.peek('acme', { rule: 'search' })), { search: 2, all: 49, default: 99 })
})

test('a route adds what it charges to the headers that are there', async () => {
  const limiter = await limiterOf()
  await using server = await routed(limiter, (app) => {
    app.use(limiter.middleware())
    app.get('/search', limiter.middleware({ rule: 'search' }))
  })
  const { headers } = await server.get('/search', acme)
  assert.equal(headers['ratelimit-policy'], '"search";q=3;w=10, "all";q=50;w=60, "default";q=100;w=60')
  assert.equal(headers['ratelimit'], '"search";r=2;t=4, "all";r=49;t=2, "default";r=99;t=1')
})

test('a route whose rule is gone goes on without it, and tells so once', async () => {
  const limiter = await limiterOf()
  await using other = await limiterOf()
  const alerts: string[] = []
  limiter.on('alert', ({ kind }) => alerts.push(kind))
  await using server = await routed(limiter, (app) => {
    app.get('/search', limiter.middleware({ rule: 'search' }))
  })
  await other.applyPolicy({ rules: [{ name: 'all', quota: 50 }] })
  for (let turn = 0; turn < 5; turn++) assert.equal((await server.get('/search', acme)).status, 200)
  assert.deepEqual(alerts, ['rule-missing'])
  assert.deepEqual(left(limiter.peek('acme')), { all: 45, default: 115 })
})
