import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import express from 'express'
import express4 from 'express4'
import { rateLimit as expressRateLimit } from 'express-rate-limit'
import {
  enforceRateLimitPolicy,
  type Limiter,
  type RateLimitPolicyOptions,
  type TopologyFinding,
} from 'tollgate'
import { listen } from './harness.ts'

/** Express 4 has the same shape as far as these tests go. */
const VERSIONS = [
  ['Express 4', express4 as unknown as typeof express],
  ['Express 5', express],
] as const

let namespaces = 0

async function limiterOf(t: TestContext, options: RateLimitPolicyOptions = {}): Promise<Limiter> {
  const limiter = await enforceRateLimitPolicy({ namespace: `inspect-app-${++namespaces}`, ...options })
  t.after(() => limiter.close())
  return limiter
}

function told(findings: readonly TopologyFinding[]): string[] {
  return findings.map(({ level, text }) => `${level}: ${text}`)
}

const answer = (_req: unknown, res: { end(text: string): unknown }): void => void res.end('in')

for (const [version, create] of VERSIONS) {
  test(`${version}: nothing is wrong with a limiter before everything else`, async (t) => {
    const limiter = await limiterOf(t, { policyDefinition: { rules: [{ name: 'search', quota: 5 }] } })
    const app = create()
    app.use(limiter.middleware(), create.json())
    app.get('/search', limiter.middleware({ rule: 'search' }), answer)
    const router = create.Router()
    router.get('/:id', answer)
    app.use('/users', router)
    assert.deepEqual(told(limiter.inspectApp(app)), [])
  })

  test(`${version}: an app without a layer, and what is no app, have nothing to tell`, async (t) => {
    const limiter = await limiterOf(t)
    for (const app of [create(), {}, undefined, answer]) assert.deepEqual(limiter.inspectApp(app), [])
  })

  test(`${version}: a limiter that is mounted twice charges twice`, async (t) => {
    const limiter = await limiterOf(t)
    const app = create()
    app.use(limiter.middleware())
    app.get('/reports', limiter.middleware({ cost: 10 }), answer)
    assert.deepEqual(told(limiter.inspectApp(app)), [
      'fault: this limiter is mounted twice at /reports: each request is charged twice',
    ])
    const nested = create()
    const router = create.Router()
    nested.use(limiter.middleware())
    router.use(limiter.middleware())
    router.get('/reports', answer)
    nested.use('/api', router)
    assert.deepEqual(told(limiter.inspectApp(nested)), [
      'fault: this limiter is mounted twice: each request is charged twice',
    ])
  })

  test(`${version}: one limiter for each of two paths is mounted twice nowhere`, async (t) => {
    const limiter = await limiterOf(t)
    const app = create()
    app.use('/one', limiter.middleware(), answer)
    app.use('/other', limiter.middleware(), answer)
    assert.deepEqual(told(limiter.inspectApp(app)), [])
  })

  test(`${version}: another limiter in the chain counts, too`, async (t) => {
    const limiter = await limiterOf(t)
    const other = expressRateLimit({ limit: 5, validate: false })
    for (const handlers of [
      [limiter.middleware(), other],
      [other, limiter.middleware()],
    ]) {
      const app = create()
      app.use(...handlers)
      app.get('/', answer)
      const [finding, ...rest] = told(limiter.inspectApp(app))
      assert.match(finding!, /^warning: another limiter, .*, is in the chain: requests are counted by both$/)
      assert.deepEqual(rest, [])
    }
  })

  test(`${version}: a limiter belongs before bodies are read, and before the routes that it guards`, async (t) => {
    const limiter = await limiterOf(t)
    const app = create()
    app.get('/early', answer)
    app.use(create.json(), limiter.middleware())
    app.get('/late', answer)
    assert.deepEqual(told(limiter.inspectApp(app)), [
      'warning: the limiter comes after jsonParser: bodies of requests that it refuses have been read by then',
      'warning: no limiter guards /early: mount the limiter before the routes',
    ])
  })

  test(`${version}: clients choose their addresses where every proxy is trusted`, async (t) => {
    for (const [options, level] of [
      [{ tenantResolutionStrategy: 'ip' }, 'fault'],
      [{}, 'warning'],
    ] as const) {
      const limiter = await limiterOf(t, options)
      const app = create()
      app.set('trust proxy', true)
      app.use(limiter.middleware(), answer)
      const [finding] = limiter.inspectApp(app)
      assert.equal(finding!.level, level)
      assert.match(finding!.text, /trust proxy is true/)
      app.set('trust proxy', 1)
      assert.deepEqual(limiter.inspectApp(app), [])
    }
    const limiter = await limiterOf(t, { missingTenant: 'reject' })
    const app = create()
    app.set('trust proxy', true)
    app.use(limiter.middleware(), answer)
    assert.deepEqual(limiter.inspectApp(app), [])
  })

  test(`${version}: behind a proxy that is not trusted, all have one address`, async (t) => {
    const limiter = await limiterOf(t, { tenantResolutionStrategy: 'ip' })
    const app = create()
    app.use(limiter.middleware(), answer)
    await using server = await listen(app)
    await server.get('/')
    assert.deepEqual(limiter.inspectApp(app), [])
    await server.get('/', { 'x-forwarded-for': '203.0.113.7' })
    assert.match(
      told(limiter.inspectApp(app))[0]!,
      /^fault: requests come with X-Forwarded-For and trust proxy is off/,
    )
  })

  test(`${version}: a rollout looks over the apps that the middleware was called by`, async (t) => {
    const limiter = await limiterOf(t, { rollout: { observationWindow: '0s', deadline: '1ms' } })
    const app = create()
    app.use(limiter.middleware(), limiter.middleware(), answer)
    await using server = await listen(app)
    await server.get('/')
    const { log } = await limiter.applyPolicy({ defaultQuota: 7 })
    const [topology] = log.stages
    assert.ok('findings' in topology!)
    const apps = topology.findings.filter(({ kind }) => kind === 'app')
    assert.deepEqual(told(apps), ['fault: this limiter is mounted twice: each request is charged twice'])
  })
}
