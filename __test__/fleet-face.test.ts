import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import {
  enforceRateLimitPolicy,
  TollgateConfigError,
  type AlertEvent,
  type Decision,
  type Limiter,
  type PolicyDefinition,
  type RateLimitPolicyOptions,
} from 'tollgate'
import { Fleet, hammer } from './fleet.ts'
import { listen } from './harness.ts'
import { redisServer } from './redis.ts'

/** Ten tokens that do not come back while a test runs; nobody is refused because this machine is slow. */
function ten(backend: string, options: RateLimitPolicyOptions = {}): RateLimitPolicyOptions {
  return {
    policyDefinition: { defaultQuota: 10, burstAllowance: 0, window: '24h' },
    backends: [backend],
    maxWait: '10s',
    backendTimeout: '10s',
    leaseTtl: '60s',
    ...options,
  }
}

const ACME = { tenants: ['acme'], way: 'consume' } as const

let namespaces = 0

/** A limiter of a fleet, whose Redis is there; it closes with the test. */
async function limiterOf(t: TestContext, options: RateLimitPolicyOptions): Promise<Limiter> {
  const limiter = await enforceRateLimitPolicy({ namespace: `face-${++namespaces}`, ...options })
  t.after(() => limiter.close())
  return limiter
}

/** Resolves once it is so. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await pause(5)
}

/** Resolves with the first alert of a kind. */
function alerted(limiter: Limiter, kind: AlertEvent['kind']): Promise<AlertEvent> {
  return new Promise((resolve) => {
    // A limiter keeps no process alive.
    const alive = setInterval(() => undefined, 1_000)
    limiter.on('alert', (alert) => {
      if (alert.kind !== kind) return
      clearInterval(alive)
      resolve(alert)
    })
  })
}

function admitted(decisions: readonly Decision[]): number {
  return decisions.filter(({ allowed }) => allowed).length
}

/** As many calls at once. */
function consumed(limiter: Limiter, tenant: string, times: number): Promise<Decision[]> {
  return Promise.all(Array.from({ length: times }, () => limiter.consume(tenant)))
}

test('the first request of a tenant waits for a lease, and is admitted', async (t) => {
  const redis = await redisServer(t)
  const limiter = await limiterOf(t, ten(redis.url))
  assert.equal(admitted(await consumed(limiter, 'acme', 20)), 10)
  const reservation = await limiter.reserve('globex', { cost: 4 })
  assert.deepEqual([reservation.reason, reservation.cancel()], ['ok', true])
})

test('tryConsume does not wait, and has a lease asked for', async (t) => {
  const redis = await redisServer(t)
  const limiter = await limiterOf(t, ten(redis.url))
  const { allowed, reason, retryAfterMs } = limiter.tryConsume('acme')
  assert.deepEqual([allowed, reason], [false, 'lease-pending'])
  assert.ok(retryAfterMs > 0 && retryAfterMs < Infinity)
  await until(() => limiter.tryConsume('acme').allowed)
})

test('with credit, nobody waits', async (t) => {
  const redis = await redisServer(t)
  const limiter = await limiterOf(t, ten(redis.url, { coldStart: 'credit', credit: 2 }))
  // No answer comes in between.
  redis.stop()
  assert.deepEqual(
    [1, 2, 3].map(() => limiter.tryConsume('acme').reason),
    ['ok', 'ok', 'lease-pending'],
  )
})

test('two processes share what there is, exactly', async (t) => {
  const redis = await redisServer(t)
  await new Fleet(t).with(2, ten(redis.url), async (instances) => {
    const report = await hammer(instances, { ...ACME, milliseconds: 500, inFlight: 5 })
    assert.equal(report.admitted, 10)
    assert.deepEqual(report.reasons, ['quota'])
  })
})

test('a limiter that closes gives back what it has leased', async (t) => {
  const redis = await redisServer(t)
  const options = ten(redis.url)
  const spent = await new Fleet(t).with(1, options, async (instances) => {
    const report = await hammer(instances, { ...ACME, milliseconds: 300, inFlight: 1, perSecond: 10 })
    return report.admitted
  })
  assert.ok(spent > 0 && spent < 10, String(spent))
  const limiter = await limiterOf(t, { ...options, namespace: 'default' })
  assert.equal(admitted(await consumed(limiter, 'acme', 10)), 10 - spent)
})

for (const [onBackendFailure, reason] of [
  ['local', 'ok'],
  ['allow', 'ok'],
  ['deny', 'backend'],
] as const) {
  test(`a request that has waited as long as it may is decided by onBackendFailure: ${onBackendFailure}`, async (t) => {
    const redis = await redisServer(t)
    const limiter = await limiterOf(t, ten(redis.url, { maxWait: '50ms', onBackendFailure }))
    redis.stop()
    assert.equal((await limiter.consume('acme')).reason, reason)
    redis.cont()
  })
}

test('without its backend, a service answers 503', async (t) => {
  const redis = await redisServer(t)
  const limiter = await limiterOf(t, ten(redis.url, { maxWait: 0, onBackendFailure: 'deny' }))
  await using server = await served(limiter)
  redis.stop()
  const { status, headers } = await server.get('/', { 'x-tenant-id': 'acme' })
  assert.deepEqual([status, headers['retry-after']], [503, '1'])
  redis.cont()
})

test('a request waits for its lease over HTTP; one whose client goes away is charged nothing', async (t) => {
  const redis = await redisServer(t)
  const limiter = await limiterOf(t, ten(redis.url))
  await using server = await served(limiter)
  redis.stop()
  const socket = connect(server.port, '127.0.0.1')
  const arrived = once(server.events, 'arrived')
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n')
  await arrived
  const gone = once(server.events, 'gone')
  socket.destroy()
  await gone
  redis.cont()
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => server.get('/', { 'x-tenant-id': 'acme' })),
  )
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
  assert.equal((await server.get('/', { 'x-tenant-id': 'acme' })).status, 429)
})

test('a limiter starts without its backend, tells so, and tells when it is there', async (t) => {
  const redis = await redisServer(t)
  await redis.kill()
  const limiter = await limiterOf(t, ten(redis.url, { backendTimeout: '100ms' }))
  const { backend, error } = await alerted(limiter, 'backend-degraded')
  assert.ok(error instanceof Error)
  assert.equal(new URL(backend ?? '').port, String(redis.port))
  assert.equal(limiter.status().backends[0]?.state, 'down')
  assert.equal((await limiter.consume('acme')).reason, 'ok')
  const recovered = alerted(limiter, 'backend-recovered')
  await redis.restart()
  await recovered
  await until(() => limiter.status().backends[0]?.state === 'up')
})

test('the object of the design works, wherever its backends are', async (t) => {
  const limiter = await limiterOf(t, {
    tenantResolutionStrategy: 'header-based',
    policyDefinition: { defaultQuota: 100, burstAllowance: 20, tenantOverrides: { acme: { quota: 1000 } } },
    backends: ['redis-cluster-1.invalid', 'redis-cluster-2.invalid'],
    rollbackThreshold: 0.05,
    metricsExport: 'prometheus',
  })
  await using server = await served(limiter)
  assert.equal((await server.get('/', { 'x-tenant-id': 'acme' })).status, 200)
  assert.equal(limiter.status().backends.length, 2)
})

test('status tells of backends, without passwords', async (t) => {
  const redis = await redisServer(t, { args: ['--requirepass', 's3cret'] })
  const limiter = await limiterOf(t, ten(redis.url.replace('//', '//:s3cret@')))
  await limiter.consume('acme')
  const { backends, instances, liveInstances } = limiter.status()
  assert.equal(backends.length, 1)
  const [{ kind, state, latencyMs, lastError }] = backends as [(typeof backends)[0]]
  assert.deepEqual([kind, state, lastError], ['standalone', 'up', null])
  assert.ok(latencyMs !== null && latencyMs >= 0)
  assert.deepEqual([instances[0]?.pid, liveInstances], [process.pid, 1])
  assert.doesNotMatch(JSON.stringify(limiter.status()), /s3cret/)
})

test('a backend that cannot be one is refused, with its place and without its password', async () => {
  for (const backend of ['ftp://:s3cret@redis-1', 'redis://redis-1:port', 'redis://']) {
    const starting = enforceRateLimitPolicy({ namespace: 'faulty', backends: ['redis-1', backend] })
    await assert.rejects(starting, (error) => {
      assert.ok(error instanceof TollgateConfigError)
      assert.equal(error.path, 'backends[1]')
      assert.doesNotMatch(JSON.stringify([error.message, error.issues]), /s3cret/)
      return true
    })
  }
})

test('a policy that a fleet cannot share is refused', async () => {
  const policyDefinition: PolicyDefinition = { rules: [{ name: 'reports', concurrency: 65_536 }] }
  const starting = enforceRateLimitPolicy({ namespace: 'unshared', policyDefinition, backends: ['redis-1'] })
  await assert.rejects(starting, {
    code: 'TOLLGATE_CONFIG',
    path: 'policyDefinition',
    message: /65536 requests in flight; accepted for concurrency with backends are 65535 at most/,
  })
  // The namespace is free.
  await (await enforceRateLimitPolicy({ namespace: 'unshared', policyDefinition })).close()
})

/** A service behind a limiter, which tells of requests that are there and of those whose client has gone away. */
async function served(limiter: Limiter) {
  const events = new EventEmitter()
  const handle = limiter.middleware()
  const server = await listen(async (req, res) => {
    req.socket.once('close', () => events.emit('gone'))
    const admission = handle(req, res)
    events.emit('arrived')
    if (await admission) res.end('in')
  })
  return { ...server, events }
}
