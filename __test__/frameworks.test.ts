import assert from 'node:assert/strict'
import { test } from 'node:test'
import express from 'express'
import express4 from 'express4'
import { Pool } from 'undici'
import { enforceRateLimitPolicy } from 'tollgate'
import { fakeClock, listen } from './harness.ts'

for (const [name, framework] of [
  ['Express 4', express4],
  ['Express 5', express],
] as const) {
  test(`${name} holds each tenant to its own quota`, async (t) => {
    const clock = fakeClock()
    const limiter = await enforceRateLimitPolicy({
      namespace: t.name,
      policyDefinition: {
        defaultQuota: 2,
        burstAllowance: 1,
        tenantOverrides: { acme: { quota: 3, burst: 2 } },
      },
      clock: clock.now,
    })
    const app = framework()
    app.use(limiter.middleware())
    app.get('/', (req, res) => void res.json(req.rateLimit))
    await using server = await listen(app)
    for (const [tenant, capacity] of [
      ['acme', 5],
      ['other', 3],
    ] as const) {
      for (let left = capacity - 1; left >= 0; left--) {
        const response = await server.get('/', { 'x-tenant-id': tenant })
        assert.equal(response.status, 200)
        assert.equal((response.json() as { remaining: number }).remaining, left)
      }
      const refused = await server.get('/', { 'x-tenant-id': tenant })
      assert.equal(refused.status, 429)
      assert.equal(refused.headers['content-type'], 'application/problem+json')
    }
    clock.advance(30_000)
    assert.equal((await server.get('/', { 'x-tenant-id': 'other' })).status, 200)
    assert.equal((await server.get('/', { 'x-tenant-id': 'other' })).status, 429)
    await limiter.close()
  })
}

for (const [name, framework] of [
  ['Express 4', express4],
  ['Express 5', express],
] as const) {
  test(`errors of callbacks go to the error handler of ${name}`, async (t) => {
    const fault = new Error('the directory is away')
    const raise = (): never => {
      throw fault
    }
    const limiter = await enforceRateLimitPolicy({ namespace: t.name })
    const app = framework()
    app.get('/throws', limiter.middleware({ tenant: raise }))
    app.get('/rejects', limiter.middleware({ tenant: () => Promise.reject(fault) }))
    app.get('/cost', limiter.middleware({ cost: raise }))
    app.get('/skip', limiter.middleware({ skip: () => Promise.reject(fault) }))
    app.get('/limited', limiter.middleware({ cost: 1000, onLimited: async () => raise() }))
    app.get('/cost-of-half', limiter.middleware({ cost: () => 0.5 }))
    app.use((error: Error, _req: express.Request, res: express.Response, _next: express.NextFunction) => {
      res.status(500).end(error.message)
    })
    await using server = await listen(app)
    for (const path of ['/throws', '/rejects', '/cost', '/skip', '/limited']) {
      const answer = await server.get(path)
      assert.deepEqual([answer.status, answer.body], [500, fault.message], path)
    }
    assert.match((await server.get('/cost-of-half')).body, /cost: given 0\.5/)
    await limiter.close()
    assert.equal((await server.get('/rejects')).status, 500)
  })

  test(`${name} keys anonymous clients by the address that it trusts`, async (t) => {
    const policyDefinition = { defaultQuota: 1, burstAllowance: 0 }
    const limiter = await enforceRateLimitPolicy({ namespace: t.name, policyDefinition, clock: () => 0 })
    const app = framework()
    app.set('trust proxy', 1)
    app.use(limiter.middleware())
    app.get('/', (_req, res) => void res.end('in'))
    await using server = await listen(app)
    const from = async (address: string): Promise<number> =>
      (await server.get('/', { 'x-forwarded-for': address })).status
    assert.deepEqual([await from('203.0.113.1'), await from('203.0.113.1')], [200, 429])
    assert.deepEqual([await from('203.0.113.2'), await from('::ffff:203.0.113.2')], [200, 429])
    assert.deepEqual([await from('2001:db8::1'), await from('2001:db8:0:12::1')], [200, 429])
    await limiter.close()
  })
}

test('without next, what a callback throws is thrown, and what rejects rejects', async () => {
  const fault = new Error('the directory is away')
  await using limiter = await enforceRateLimitPolicy({ namespace: 'without next' })
  const thrown = limiter.middleware({
    tenant: () => {
      throw fault
    },
  })
  assert.throws(() => thrown({ headers: {} } as never, {} as never), fault)
  const rejected = limiter.middleware({ tenant: () => Promise.reject(fault) })
  await assert.rejects(async () => rejected({ headers: {} } as never, {} as never), fault)
})

test('10,000 requests on 50 connections over 5 tenants are admitted to the token', async () => {
  const quotas = { t0: 1, t1: 100, t2: 777, t3: 1500, t4: 5000 }
  const limiter = await enforceRateLimitPolicy({
    namespace: 'exact',
    policyDefinition: { burstAllowance: 50, tenantOverrides: quotas },
    clock: () => 0,
  })
  const app = express()
  app.use(limiter.middleware())
  app.get('/', (_req, res) => void res.end('in'))
  await using server = await listen(app)
  const pool = new Pool(`http://127.0.0.1:${server.port}`, { connections: 50, pipelining: 1 })
  const admitted = new Map<string, number>()
  const ask = async (request: number): Promise<void> => {
    const tenant = `t${request % 5}`
    const { statusCode, body } = await pool.request({
      path: '/',
      method: 'GET',
      headers: { 'x-tenant-id': tenant },
    })
    await body.dump()
    if (statusCode === 200) admitted.set(tenant, (admitted.get(tenant) ?? 0) + 1)
    else assert.equal(statusCode, 429)
  }
  await Promise.all(Array.from({ length: 10_000 }, (_, request) => ask(request)))
  await pool.close()
  // Each tenant sent 2,000.
  assert.deepEqual(Object.fromEntries([...admitted].toSorted()), {
    t0: 51,
    t1: 150,
    t2: 827,
    t3: 1550,
    t4: 2000,
  })
  await limiter.close()
})

test('req.rateLimit is there in a sub-app, after it, and for who assigns it', async () => {
  await using limiter = await enforceRateLimitPolicy({ namespace: 'sub-app', clock: () => 0 })
  const app = express()
  const inner = express()
  inner.use(limiter.middleware())
  inner.get('/own', (req, res) => void res.json(req.rateLimit?.remaining))
  inner.get('/assigned', (req, res) => {
    const mine = { ...req.rateLimit!, remaining: -1 }
    req.rateLimit = mine
    res.json(req.rateLimit.remaining)
  })
  app.use(inner)
  app.get('/after', (req, res) => void res.json(req.rateLimit?.remaining))
  app.get('/again', limiter.middleware(), (req, res) => void res.json(req.rateLimit?.remaining))
  await using server = await listen(app)
  const answers: unknown[] = []
  for (const path of ['/own', '/after', '/assigned', '/again']) answers.push((await server.get(path)).json())
  // The last is charged by both mounts.
  assert.deepEqual(answers, [119, 118, -1, 115])
})
