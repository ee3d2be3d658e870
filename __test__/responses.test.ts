import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mock, test } from 'node:test'
import { enforceRateLimitPolicy, type HeaderVersion, type Limiter, type MiddlewareOptions } from 'tollgate'
import { fakeClock, listen, type Served } from './harness.ts'

/** A plain server behind a limiter of 60 a minute and a burst of 10, on a clock that stands still. */
async function served(
  options: MiddlewareOptions = {},
  more: object = {},
): Promise<Served & { limiter: Limiter; advance: (time: number) => void }> {
  const clock = fakeClock()
  const limiter = await enforceRateLimitPolicy({
    namespace: 'responses',
    policyDefinition: {
      defaultQuota: 60,
      burstAllowance: 10,
      tenantOverrides: { none: 0, all: 'unlimited', fast: { quota: 5, window: 100 } },
    },
    clock: clock.now,
    ...more,
  })
  const handle = limiter.middleware(options)
  const server = await listen(async (req, res) => {
    if (await handle(req, res)) res.end('in')
  })
  return {
    ...server,
    limiter,
    advance: clock.advance,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await limiter.close()
    },
  }
}

const acme = { 'x-tenant-id': 'acme' }
const partition = createHash('sha256').update('acme').digest().subarray(0, 12).toString('base64')

test('draft-11 headers say the quota, what is left of it, and for how long', async () => {
  await using server = await served()
  const first = await server.get('/', acme)
  assert.equal(first.headers['ratelimit-policy'], '"default";q=60;w=60')
  // 69 tokens are left, of which 60 are the quota.
  assert.equal(first.headers.ratelimit, '"default";r=60;t=1')
  server.limiter.tryConsume('acme', { cost: 64 })
  const second = await server.get('/', acme)
  assert.equal(second.headers.ratelimit, '"default";r=4;t=66')
  assert.equal(second.headers['retry-after'], undefined)
})

test('a refusal says when to come again, in a problem that names the policy', async () => {
  await using server = await served({ cost: 3 })
  server.limiter.tryConsume('acme', { cost: 69 })
  server.advance(500)
  const refused = await server.get('/', acme)
  assert.equal(refused.status, 429)
  assert.equal(refused.headers['retry-after'], '2')
  assert.equal(refused.headers.ratelimit, '"default";r=1;t=2')
  assert.equal(refused.headers['content-type'], 'application/problem+json')
  assert.equal(refused.headers['content-length'], String(refused.body.length))
  assert.deepEqual(refused.json(), {
    type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
    title: 'Quota exceeded',
    status: 429,
    detail: 'The quota is used up. Try again after the time in Retry-After.',
    'violated-policies': ['default'],
  })
  const head = await server.get('/', acme, 'HEAD')
  assert.deepEqual([head.status, head.body], [429, ''])
})

const versions: [headers: HeaderVersion | HeaderVersion[], expected: Record<string, string | undefined>][] = [
  [
    'draft-8',
    {
      'ratelimit-policy': `"default";q=60;w=60;pk=:${partition}:`,
      ratelimit: `"default";r=60;t=1;pk=:${partition}:`,
      'x-ratelimit-limit': undefined,
    },
  ],
  [['draft-11', 'draft-8'], { ratelimit: `"default";r=60;t=1;pk=:${partition}:` }],
  [
    'legacy',
    {
      'x-ratelimit-limit': '70',
      'x-ratelimit-remaining': '69',
      'x-ratelimit-reset': '1700000001',
      ratelimit: undefined,
    },
  ],
  [['draft-11', 'legacy'], { ratelimit: '"default";r=60;t=1', 'x-ratelimit-limit': '70' }],
  ['none', { ratelimit: undefined, 'ratelimit-policy': undefined, 'x-ratelimit-limit': undefined }],
  [[], { ratelimit: undefined }],
]

for (const [headers, expected] of versions) {
  test(`headers ${JSON.stringify(headers)} are sent as asked`, async () => {
    mock.timers.enable({ apis: ['Date'], now: 1_700_000_000_000 })
    await using server = await served({ headers })
    const answer = await server.get('/', acme)
    mock.timers.reset()
    for (const [name, value] of Object.entries(expected)) assert.equal(answer.headers[name], value, name)
    server.limiter.tryConsume('acme', { cost: 69 })
    assert.equal((await server.get('/', acme)).headers['retry-after'], '1')
  })
}

test('a window of less than a second is one of a second', async () => {
  await using server = await served()
  const answer = await server.get('/', { 'x-tenant-id': 'fast' })
  assert.equal(answer.headers['ratelimit-policy'], '"default";q=5;w=1')
})

test('a quota of nothing has no time after which to come again', async () => {
  await using server = await served()
  const answer = await server.get('/', { 'x-tenant-id': 'none' })
  assert.equal(answer.status, 429)
  assert.equal(answer.headers['retry-after'], undefined)
  assert.equal(answer.headers.ratelimit, '"default";r=0')
})

test('no limit has no headers', async () => {
  await using server = await served({ headers: ['draft-11', 'legacy'] })
  const answer = await server.get('/', { 'x-tenant-id': 'all' })
  assert.equal(answer.body, 'in')
  assert.deepEqual([answer.headers.ratelimit, answer.headers['x-ratelimit-limit']], [undefined, undefined])
})

test('a request without a tenant can be refused with 400', async () => {
  await using server = await served({}, { missingTenant: 'reject' })
  const answer = await server.get('/', { 'x-tenant-id': '' })
  assert.deepEqual([answer.status, answer.headers['content-type']], [400, 'application/problem+json'])
  assert.equal((await server.get('/', acme)).status, 200)
})

test('a tenant that the policy does not name can be refused with 403', async () => {
  await using server = await served({}, { unknownTenant: 'reject' })
  const answer = await server.get('/', { 'x-tenant-id': '<script>' })
  assert.deepEqual([answer.status, answer.headers['content-type']], [403, 'application/problem+json'])
  assert.doesNotMatch(answer.body, /script/)
  assert.equal((await server.get('/', { 'x-tenant-id': 'all' })).status, 200)
})

test('a service answers refusals in its own way', async () => {
  await using server = await served({
    statusCode: 503,
    cost: 100,
    onLimited: (_req, res, _next, decision) => res.end(`${res.statusCode} ${decision.reason}`),
  })
  const answer = await server.get('/', acme)
  assert.deepEqual([answer.status, answer.body], [503, '503 quota'])
})

test('onLimited lets a request pass with next()', async () => {
  await using server = await served({
    cost: 100,
    onLimited: async (_req, res, next) => {
      res.statusCode = 200
      next()
    },
  })
  assert.equal((await server.get('/', acme)).body, 'in')
})

test('what skip names passes uncounted; cost and tenant can depend on the request', async () => {
  await using server = await served({
    skip: async (req) => req.url === '/health',
    cost: async (req) => Number(req.headers['x-cost']),
    tenant: () => 'mounted',
  })
  const skipped = await server.get('/health')
  assert.deepEqual([skipped.body, skipped.headers.ratelimit], ['in', undefined])
  assert.equal((await server.get('/', { 'x-cost': '65' })).headers.ratelimit, '"default";r=5;t=65')
  assert.equal((await server.get('/', { 'x-cost': '6' })).status, 429)
  assert.equal(server.limiter.peek('mounted').remaining, 5)
})

test('where every callback is synchronous, so is the decision', async () => {
  await using limiter = await enforceRateLimitPolicy({ namespace: 'sync' })
  const handle = limiter.middleware({ cost: () => 2, skip: () => false, headers: 'none' })
  let reached = false
  handle({ headers: { 'x-tenant-id': 'a' } } as never, {} as never, () => (reached = true))
  assert.equal(reached, true)
  assert.equal(handle({ headers: { 'x-tenant-id': 'a' } } as never, {} as never), true)
})
