import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import express from 'express'
import { enforceRateLimitPolicy, type Limiter } from 'tollgate'
import { listen, type Served } from './harness.ts'

let limiter: Limiter
let server: Served

before(async () => {
  limiter = await enforceRateLimitPolicy({ namespace: 'hostile', clock: () => 0 })
  const app = express()
  app.use(limiter.middleware())
  app.get('/', (req, res) => void res.json({ tenant: req.rateLimit?.tenant ?? null }))
  server = await listen(app)
})

after(async () => {
  await server[Symbol.asyncDispose]()
  await limiter.close()
})

/** Sends a request with these bytes as its tenant header. */
async function sent(value: string | Buffer): Promise<{ status: number; tenant: unknown }> {
  const head = Buffer.from('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Tenant-Id: ')
  const answer = await server.raw(Buffer.concat([head, Buffer.from(value), Buffer.from('\r\n\r\n')]))
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1])
  const body = answer.slice(answer.indexOf('\r\n\r\n') + 4)
  const tenant =
    status === 200
      ? (JSON.parse(Buffer.from(body, 'latin1').toString()) as { tenant: unknown }).tenant
      : undefined
  return { status, tenant }
}

const headers: [behaviour: string, value: string | Buffer, status: number, tenant: unknown][] = [
  ['an empty tenant header is no tenant', '', 200, null],
  ['a tenant header of spaces is no tenant', '   ', 200, null],
  ['a tenant header of 300 bytes is no tenant', 'x'.repeat(300), 200, null],
  ['a tenant header of 257 bytes in UTF-8 is no tenant', Buffer.from(`${'é'.repeat(128)}x`), 200, null],
  ['a tenant header in invalid UTF-8 is no tenant', Buffer.from([0x61, 0xff, 0xfe]), 200, null],
  ['a surrogate in UTF-8 is no tenant', Buffer.from([0x61, 0xed, 0xa0, 0x80]), 200, null],
  ['a tenant header of a megabyte gets 431', 'x'.repeat(1 << 20), 431, undefined],
  ['a tenant header with NUL gets 400', 'ac\0me', 400, undefined],
  ['a tenant header with a bare CR gets 400', 'ac\rme', 400, undefined],
  ['a tenant header in UTF-8 is that tenant', 'köln', 200, 'köln'],
  ['U+FFFD is a tenant of its own', 'a\ufffd', 200, 'a\ufffd'],
]

for (const [behaviour, value, status, tenant] of headers) {
  test(behaviour, async () => assert.deepEqual(await sent(value), { status, tenant }))
}

test('a CRLF in a tenant header starts another header, and charges what came before', async () => {
  assert.deepEqual(await sent('victim2\r\nX-Other: 1'), { status: 200, tenant: 'victim2' })
})

test('none of this has touched the bucket of a tenant', async () => {
  await sent('acme, acme')
  for (const tenant of ['acme', 'x', 'victim', 'unknown', 'undefined', 'null', '127.0.0.1']) {
    assert.equal(limiter.peek(tenant).remaining, 120, tenant)
  }
})
