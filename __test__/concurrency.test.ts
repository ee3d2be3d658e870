import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import type { Worker } from 'node:worker_threads'
import express from 'express'
import express4 from 'express4'
import { Pool } from 'undici'
import { enforceRateLimitPolicy, type Limiter, type RateLimitPolicyOptions } from 'tollgate'
import { listen } from './harness.ts'
import { FRAMEWORKS } from './services.ts'
import { thread } from './threads.ts'

const acme = { 'x-tenant-id': 'acme' }
const CONCURRENCY = { name: 'exports', match: { path: '/exports' }, concurrency: 2 }
const exports = { request: { path: '/exports' } }

function limiterOf(options: RateLimitPolicyOptions = {}): Promise<Limiter> {
  const policyDefinition = { defaultQuota: 1_000, rules: [CONCURRENCY] }
  return enforceRateLimitPolicy({ namespace: 'concurrency', policyDefinition, clock: () => 0, ...options })
}

/** Slots that are free. */
function free(limiter: Limiter): number {
  return limiter.peek('acme', exports).limits.find(({ rule }) => rule === 'exports')!.remaining
}

/** Responses that handlers hold back, in the order in which they are reached. */
class Held {
  private readonly events = new EventEmitter()
  private readonly responses: ServerResponse[] = []

  readonly hold = (_req: unknown, res: ServerResponse): void => {
    this.responses.push(res)
    this.events.emit('held')
  }

  async next(): Promise<ServerResponse> {
    while (this.responses.length === 0) await once(this.events, 'held')
    return this.responses.shift()!
  }
}

/** A client that does not wait for an answer. */
function asked(port: number, paths: string[]): Socket {
  const socket = connect(port, '127.0.0.1')
  for (const path of paths) socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\n\r\n`)
  return socket
}

for (const [name, before] of FRAMEWORKS) {
  test(`${name}: a slot comes back when the response has been sent`, async () => {
    await using limiter = await limiterOf()
    const held = new Held()
    await using server = await listen(before(limiter.middleware(), held.hold))
    const requests = [server.get('/exports', acme), server.get('/exports', acme)]
    const responses = [await held.next(), await held.next()]
    assert.equal(free(limiter), 0)
    const refused = await server.get('/exports', acme)
    assert.equal(refused.status, 429)
    assert.equal(refused.headers['retry-after'], '1')
    assert.equal(
      refused.headers['ratelimit-policy'],
      '"exports";q=2;qu="concurrent-requests", "default";q=1000;w=60',
    )
    assert.match(String(refused.headers.ratelimit), /^"exports";r=0, /)
    assert.deepEqual((refused.json() as Record<string, unknown>)['violated-policies'], ['exports'])
    for (const res of responses) res.end()
    await Promise.all(requests)
    assert.equal(free(limiter), 2)
    // A refusal has taken neither a slot nor a token.
    assert.equal(limiter.peek('acme').remaining, 1_018)
  })

  test(`${name}: a slot comes back when the client goes away in the middle of a response`, async () => {
    await using limiter = await limiterOf()
    const held = new Held()
    await using server = await listen(before(limiter.middleware(), held.hold))
    const socket = asked(server.port, ['/exports'])
    const res = await held.next()
    res.write('the first half')
    assert.equal(free(limiter), 1)
    const closed = once(res, 'close')
    socket.destroy()
    await closed
    assert.equal(free(limiter), 2)
    res.end()
    res.emit('finish')
    assert.equal(free(limiter), 2)
  })
}

test('slots of pipelined requests come back when their client goes away', async () => {
  await using limiter = await limiterOf()
  const [, before] = FRAMEWORKS[2]!
  const held = new Held()
  await using server = await listen(before(limiter.middleware(), held.hold))
  const socket = asked(server.port, ['/other', '/exports', '/exports'])
  // The first is not answered, so that the others have no socket to be answered on.
  const first = await held.next()
  await held.next()
  await held.next()
  assert.equal(free(limiter), 0)
  const closed = once(first, 'close')
  socket.destroy()
  await closed
  await new Promise(setImmediate)
  assert.equal(free(limiter), 2)
})

for (const [name, framework] of [
  ['Express 4', express4],
  ['Express 5', express],
] as const) {
  test(`${name}: a slot comes back when a handler throws`, async () => {
    await using limiter = await limiterOf()
    const app = framework()
    app.use(limiter.middleware())
    app.get('/exports', () => {
      throw new Error('in a handler')
    })
    app.use((_error: Error, _req: express.Request, res: express.Response, _next: express.NextFunction) => {
      res.status(500).end(String(free(limiter)))
    })
    await using server = await listen(app)
    const answer = await server.get('/exports', acme)
    assert.deepEqual([answer.status, answer.body], [500, '1'])
    assert.equal(free(limiter), 2)
  })
}

test('a slot comes back when headers cannot be written, or the decision cannot be left on the request', async () => {
  const fault = new Error('not now')
  const throws = (): never => {
    throw fault
  }
  for (const spoil of [
    (_req: object, res: ServerResponse) => Object.assign(res, { setHeader: throws }),
    (req: object) => Object.defineProperty(req, 'rateLimit', { set: throws }),
  ]) {
    await using limiter = await limiterOf()
    const handle = limiter.middleware()
    await using server = await listen((req, res) => {
      spoil(req, res)
      handle(req, res, (error) => {
        assert.equal(error, fault)
        res.writeHead(500).end(String(free(limiter)))
      })
    })
    assert.equal((await server.get('/exports', acme)).body, '1')
    assert.equal(free(limiter), 2)
  }
})

test('a slot is not kept for a response that ended while a tenant was being looked up', async () => {
  const lookup = withResolvers<string>()
  await using limiter = await limiterOf({ tenantResolutionStrategy: () => lookup.promise })
  const handle = limiter.middleware()
  const reached = withResolvers<ServerResponse>()
  const admitted = withResolvers<boolean>()
  await using server = await listen((req, res) => {
    reached.resolve(res)
    admitted.resolve(handle(req, res))
  })
  const request = server.get('/exports')
  const res = await reached.promise
  res.end('answered by somebody else')
  await request
  lookup.resolve('acme')
  assert.equal(await admitted.promise, true)
  assert.equal(free(limiter), 2)
})

test('a slot is not kept for a client that went away while a tenant was being looked up', async () => {
  const lookup = withResolvers<string>()
  await using limiter = await limiterOf({ tenantResolutionStrategy: () => lookup.promise })
  const handle = limiter.middleware()
  const reached = withResolvers<ServerResponse>()
  const admitted = withResolvers<boolean>()
  await using server = await listen((req, res) => {
    reached.resolve(res)
    admitted.resolve(handle(req, res))
  })
  const socket = asked(server.port, ['/exports'])
  const res = await reached.promise
  const closed = once(res, 'close')
  socket.destroy()
  await closed
  lookup.resolve('acme')
  await admitted.promise
  assert.equal(free(limiter), 2)
})

test('never are more in flight than there are slots', async () => {
  const limiter = await limiterOf({ namespace: 'concurrency-many' })
  await limiter.applyPolicy({
    defaultQuota: 'unlimited',
    rules: [{ ...CONCURRENCY, concurrency: 7 }],
  })
  let inFlight = 0
  let most = 0
  let admitted = 0
  const app = express()
  app.use(limiter.middleware(), (_req, res) => {
    admitted += 1
    inFlight += 1
    most = Math.max(most, inFlight)
    setImmediate(() => {
      inFlight -= 1
      res.end()
    })
  })
  await using server = await listen(app)
  const pool = new Pool(`http://127.0.0.1:${server.port}`, { connections: 50, pipelining: 4 })
  let refused = 0
  const ask = async (): Promise<void> => {
    const { statusCode, body } = await pool.request({ path: '/exports', method: 'GET', headers: acme })
    await body.dump()
    if (statusCode === 429) refused += 1
  }
  for (let round = 0; round < 3; round++) await Promise.all(Array.from({ length: 200 }, ask))
  await pool.close()
  assert.equal(most, 7)
  assert.ok(refused > 0)
  assert.equal(admitted + refused, 600)
  assert.equal(free(limiter), 7)
  await limiter.close()
})

test('slots are counted per what the rule is kept per', async () => {
  await using limiter = await enforceRateLimitPolicy({
    namespace: 'concurrency-per',
    policyDefinition: { rules: [{ name: 'streams', per: ['tenant', 'user'], concurrency: 1 }] },
  })
  const ann = { request: { user: 'ann' } }
  const held = await limiter.reserve('acme', ann)
  assert.equal((await limiter.reserve('acme', ann)).reason, 'concurrency')
  const others = [
    await limiter.reserve('acme', { request: { user: 'bob' } }),
    await limiter.reserve('globex', ann),
  ]
  assert.deepEqual(
    others.map(({ allowed }) => allowed),
    [true, true],
  )
  assert.equal(held.settle(1), true)
  assert.equal((await limiter.reserve('acme', ann)).allowed, true)
})

test('a call that is over at once holds no slot', async () => {
  await using limiter = await limiterOf()
  for (let turn = 0; turn < 5; turn++) assert.equal(limiter.tryConsume('acme', exports).allowed, true)
  assert.equal(free(limiter), 2)
})

test('a shadow rule counts slots, refuses nobody, and gives back no more than it took', async () => {
  await using limiter = await enforceRateLimitPolicy({
    namespace: 'concurrency-shadow',
    policyDefinition: { rules: [{ ...CONCURRENCY, mode: 'shadow' }] },
  })
  const reservations = await Promise.all([1, 2, 3].map(() => limiter.reserve('acme', exports)))
  assert.deepEqual(
    reservations.map(({ limits }) => limits.find(({ rule }) => rule === 'exports')?.allowed),
    [true, true, false],
  )
  assert.equal(reservations[2]?.cancel(), true)
  assert.equal(free(limiter), 0)
  reservations[0]?.settle(1)
  reservations[1]?.settle(1)
  assert.equal(free(limiter), 2)
})

/** A thread that holds a slot, and says whether it has got one. */
function holding(namespace: string): Worker {
  return thread(`
    import { parentPort } from 'node:worker_threads'
    import { enforceRateLimitPolicy } from 'tollgate'
    const limiter = await enforceRateLimitPolicy({
      namespace: '${namespace}',
      policyDefinition: { defaultQuota: 1_000, rules: [${JSON.stringify(CONCURRENCY)}] },
      clock: () => 0,
    })
    const { allowed } = await limiter.reserve('acme', ${JSON.stringify(exports)})
    parentPort.on('message', () => undefined)
    parentPort.postMessage(allowed)
  `)
}

test('a thread that is terminated holds no slots', async () => {
  await using limiter = await limiterOf({ namespace: 'concurrency-thread' })
  const workers = [1, 2].map(() => holding('concurrency-thread'))
  assert.deepEqual(await Promise.all(workers.map((worker) => once(worker, 'message'))), [[true], [true]])
  assert.equal(limiter.tryConsume('acme', exports).reason, 'concurrency')
  await workers[0]?.terminate()
  assert.equal(free(limiter), 1)
  await workers[1]?.terminate()
  assert.equal(free(limiter), 2)
})

test('a limiter that is closed holds no slots', async () => {
  await using limiter = await limiterOf({ namespace: 'concurrency-closed' })
  const other = await limiterOf({ namespace: 'concurrency-closed' })
  const held = new Held()
  const [, before] = FRAMEWORKS[0]!
  await using server = await listen(before(other.middleware(), held.hold))
  const request = server.get('/exports', acme)
  const res = await held.next()
  assert.equal(free(limiter), 1)
  await other.close()
  assert.equal(free(limiter), 2)
  // Nor does it give a slot back twice.
  await limiter.reserve('acme', exports)
  res.end()
  await request
  assert.equal(free(limiter), 1)
})

/** As `Promise.withResolvers`, which Node 20 does not have. */
function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T | Promise<T>) => void } {
  let resolve!: (value: T | Promise<T>) => void
  const promise = new Promise<T>((settle) => (resolve = settle))
  return { promise, resolve }
}

test('a slot does not wait for the response to be judged', async () => {
  await using limiter = await limiterOf({ namespace: 'concurrency-judged' })
  const [, before] = FRAMEWORKS[0]!
  const handle = limiter.middleware({
    skipFailedRequests: true,
    requestWasSuccessful: () => new Promise(() => undefined),
  })
  await using server = await listen(before(handle, (_req, res) => void res.end()))
  for (let turn = 0; turn < 5; turn++) assert.equal((await server.get('/exports', acme)).status, 200)
  assert.equal(free(limiter), 2)
})
