import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import express from 'express'
import { enforceRateLimitPolicy, type Limiter, type MiddlewareOptions } from 'tollgate'
import { listen, type Served } from './harness.ts'

const acme = { 'x-tenant-id': 'acme' }

interface Refunding extends AsyncDisposable {
  server: Served
  limiter: Limiter
  /** The response to `/hold`, once it was asked for. */
  held: Promise<ServerResponse>
}

/** An app whose routes end as they are named, behind a limiter whose clock stands still. */
async function served(options: MiddlewareOptions): Promise<Refunding> {
  const limiter = await enforceRateLimitPolicy({ namespace: 'refunds', clock: () => 0 })
  const app = express()
  let hold: (res: ServerResponse) => void
  const held = new Promise<ServerResponse>((resolve) => (hold = resolve))
  app.use(limiter.middleware({ cost: 5, ...options }))
  app.get('/ok', (_req, res) => void res.end('ok'))
  app.get('/bad', (_req, res) => void res.status(404).end())
  app.get('/hold', (_req, res) => hold(res))
  const server = await listen(app)
  const close = async (): Promise<void> => {
    await server[Symbol.asyncDispose]()
    await limiter.close()
  }
  return { server, limiter, held, [Symbol.asyncDispose]: close }
}

const cases: [options: MiddlewareOptions, ok: number, bad: number][] = [
  [{}, 65, 60],
  [{ skipSuccessfulRequests: true }, 70, 65],
  [{ skipFailedRequests: true }, 65, 65],
  [{ skipSuccessfulRequests: true, skipFailedRequests: true }, 70, 70],
  [{ skipFailedRequests: true, requestWasSuccessful: (_req, res) => res.statusCode === 404 }, 70, 65],
  [{ skipSuccessfulRequests: true, requestWasSuccessful: async () => true }, 70, 70],
]

for (const [options, ok, bad] of cases) {
  const names = Object.entries(options).map(([name, value]) => (value === true ? name : `${name}()`))
  test(`${names.join(' and ') || 'no refund'}: ${ok} tokens after a success, ${bad} after a failure too`, async () => {
    await using refunding = await served(options)
    const { server, limiter } = refunding
    // Half empty, so that what is given back twice does not meet the brim.
    limiter.tryConsume('acme', { cost: 50 })
    await server.get('/ok', acme)
    assert.equal(limiter.peek('acme').remaining, ok)
    await server.get('/bad', acme)
    assert.equal(limiter.peek('acme').remaining, bad)
  })
}

test('a client that goes away is a failure, refunded once', async () => {
  await using refunding = await served({ skipFailedRequests: true })
  const { server, limiter, held } = refunding
  limiter.tryConsume('acme', { cost: 50 })
  const socket = connect(server.port, '127.0.0.1')
  socket.write('GET /hold HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\n\r\n')
  const res = await held
  assert.equal(limiter.peek('acme').remaining, 65)
  const closed = once(res, 'close')
  socket.destroy()
  await closed
  assert.equal(limiter.peek('acme').remaining, 70)
  res.end()
  res.emit('finish')
  assert.equal(limiter.peek('acme').remaining, 70)
})

test('a refused request has cost nothing, so nothing is given back', async () => {
  await using refunding = await served({ skipFailedRequests: true })
  const { server, limiter } = refunding
  limiter.tryConsume('acme', { cost: 118 })
  assert.equal((await server.get('/ok', acme)).status, 429)
  assert.equal(limiter.peek('acme').remaining, 2)
})

test('a requestWasSuccessful that throws is an alert, and the server goes on', async () => {
  const fault = new Error('judge')
  await using refunding = await served({
    skipFailedRequests: true,
    requestWasSuccessful: () => {
      throw fault
    },
  })
  const { server, limiter } = refunding
  const alerts: unknown[] = []
  limiter.on('alert', (alert) => alerts.push(alert))
  assert.equal((await server.get('/ok', acme)).status, 200)
  assert.deepEqual(alerts, [{ kind: 'callback-failed', option: 'requestWasSuccessful', error: fault }])
  assert.equal(limiter.peek('acme').remaining, 115)
})
