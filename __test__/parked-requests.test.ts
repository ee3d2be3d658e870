import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { AlertEvent } from 'tollgate'
import type { Inquiry } from '../ts/inquiry.ts'
import { fakeFleet, type FakeGate } from './fake-fleet.ts'
import { listen } from './harness.ts'
import { FRAMEWORKS } from './services.ts'

/** Resolves when a request has asked, which then waits. */
function asked(gate: FakeGate): Promise<Inquiry> {
  return new Promise((resolve) => {
    gate.onAsk = resolve
  })
}

const ACME = { 'x-tenant-id': 'acme' }

for (const [name, framework] of FRAMEWORKS) {
  test(`${name}: a request waits for its lease, and goes on where it was`, async () => {
    const { limiter, gate } = await fakeFleet()
    await using server = await listen(framework(limiter.middleware(), (_req, res) => void res.end('in')))
    const isParked = asked(gate)
    const answer = server.get('/', ACME)
    await isParked
    assert.deepEqual(gate.charged, [])
    gate.grant('acme', 1)
    const { status, body, headers } = await answer
    assert.deepEqual([status, body, headers['ratelimit-policy']], [200, 'in', '"default";q=10;w=60'])
    assert.deepEqual(gate.charged, ['acme'])
    assert.equal((await server.get('/', ACME)).status, 429)
    await limiter.close()
  })

  test(`${name}: without a backend, a request is refused with 503 and a body of its own`, async () => {
    const { limiter } = await fakeFleet({ maxWaitMs: 1 })
    await using server = await listen(
      framework(limiter.middleware({ statusCode: 420 }), (_req, res) => void res.end('in')),
    )
    const answer = await server.get('/', ACME)
    assert.equal(answer.status, 503)
    assert.equal(answer.headers['retry-after'], '1')
    assert.equal(answer.headers['content-type'], 'application/problem+json')
    assert.equal(answer.headers['ratelimit'], undefined)
    assert.deepEqual(answer.json(), {
      type: 'about:blank',
      title: 'Service Unavailable',
      status: 503,
      detail: 'Quotas cannot be checked at the moment. Try again after the time in Retry-After.',
    })
    await limiter.close()
  })
}

test('a service answers itself where the backend is missing, with the status set', async () => {
  const { limiter } = await fakeFleet({ maxWaitMs: 0 })
  const handle = limiter.middleware({ onLimited: (_req, res, _next, { reason }) => res.end(reason) })
  await using server = await listen(async (req, res) => void (await handle(req, res)))
  const { status, body } = await server.get('/', ACME)
  assert.deepEqual([status, body], [503, 'backend'])
})

test('where backends may be missing, whoever has waited long enough goes on', async () => {
  const { limiter, gate } = await fakeFleet({ maxWaitMs: 1, withoutBackend: 'allow' })
  const handle = limiter.middleware()
  await using server = await listen(async (req, res) => void ((await handle(req, res)) && res.end('in')))
  assert.equal((await server.get('/', ACME)).body, 'in')
  assert.deepEqual(gate.lastWords, ['acme'])
})

test('a client that goes away while its request waits is charged nothing', async () => {
  const { limiter, gate } = await fakeFleet()
  const handle = limiter.middleware()
  let admissions: unknown[] = []
  await using server = await listen(async (req, res) => {
    const closed = once(req.socket, 'close')
    const admission = handle(req, res)
    await closed
    gate.grant('acme', 5)
    admissions = [await admission]
  })
  const isParked = asked(gate)
  const socket = connect(server.port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n')
  await isParked
  socket.destroy()
  while (admissions.length === 0) await turn()
  assert.deepEqual(admissions, [false])
  assert.deepEqual(gate.charged, [])
})

test('what is asked of the service about a request is asked once, however often it is decided', async () => {
  const { limiter, gate } = await fakeFleet()
  const calls: string[] = []
  const handle = limiter.middleware({
    tenant: async () => (calls.push('tenant'), 'acme'),
    cost: () => (calls.push('cost'), 2),
    skip: () => (calls.push('skip'), false),
  })
  await using server = await listen(async (req, res) => {
    Object.defineProperty(req, 'headers', {
      value: new Proxy(req.headers, {
        get: (headers, header) => {
          if (header === 'x-region') calls.push('region')
          return Reflect.get(headers, header)
        },
      }),
    })
    if (await handle(req, res)) res.end('in')
  })
  const keys: (string | undefined)[] = []
  const isParked = new Promise<void>((resolve) => {
    gate.onAsk = (inquiry) => {
      keys.push(inquiry.key('region'))
      resolve()
    }
  })
  const answer = server.get('/', { 'x-region': 'eu' })
  await isParked
  gate.grant('acme', 2)
  assert.equal((await answer).status, 200)
  assert.deepEqual(keys, ['eu', 'eu'])
  assert.deepEqual(calls, ['skip', 'tenant', 'cost', 'region'])
})

test('consume waits for a lease; tryConsume says that there is none', async () => {
  const { limiter, gate } = await fakeFleet()
  const { allowed, reason } = limiter.tryConsume('acme')
  assert.deepEqual([allowed, reason], [false, 'lease-pending'])
  const options = { cost: 3 }
  const all = [limiter.consume('acme', options), limiter.consume('acme', { cost: 3 })]
  options.cost = 100
  gate.grant('acme', 3)
  const decisions = await Promise.all(all)
  assert.deepEqual(
    decisions.map((each) => each.reason),
    ['ok', 'quota'],
  )
  assert.deepEqual(gate.charged, ['acme'])
})

test('a reservation waits for a lease, and can be settled', async () => {
  const { limiter, gate } = await fakeFleet()
  const reserved = limiter.reserve('acme', { cost: 3 })
  gate.grant('acme', 3)
  const reservation = await reserved
  assert.equal(reservation.reason, 'ok')
  assert.deepEqual([reservation.settle(3), reservation.settle(3)], [true, false])
})

test('a limiter that closes gives who waits the last word, and then returns what is leased', async () => {
  const { limiter, gate } = await fakeFleet()
  const waiting = limiter.consume('acme')
  await limiter.close()
  assert.equal((await waiting).reason, 'backend')
  assert.deepEqual(gate.wasShut, ['shut', 'drained', 'closed'])
  await limiter.close()
  await assert.rejects(limiter.consume('acme'), { code: 'TOLLGATE_CLOSED' })
})

test('alerts of backends wait for somebody who listens, unless they are over by then', async () => {
  const { limiter, gate } = await fakeFleet()
  const heard: AlertEvent[] = []
  const degraded = { kind: 'backend-degraded', error: 'refused' } as const
  gate.tell({
    answered: [],
    alerts: [
      { ...degraded, backend: 'a' },
      { ...degraded, backend: 'b' },
    ],
  })
  gate.tell({ answered: [], alerts: [{ kind: 'backend-recovered', backend: 'a' }] })
  limiter.on('alert', (alert) => void heard.push(alert))
  assert.deepEqual(heard, [])
  await turn()
  assert.deepEqual(heard, [
    { kind: 'backend-degraded', option: 'backends', backend: 'b', error: new Error('refused') },
  ])
  gate.tell({ answered: [], alerts: [{ kind: 'backend-recovered', backend: 'b' }] })
  assert.deepEqual(
    heard.map(({ kind, backend, error }) => [kind, backend, error === undefined]),
    [
      ['backend-degraded', 'b', false],
      ['backend-recovered', 'b', true],
    ],
  )
})
