import assert from 'node:assert/strict'
import { test } from 'node:test'
import express from 'express'
import { enforceRateLimitPolicy, TollgateInputError } from 'tollgate'
import type { Limiter, RateLimitPolicyOptions, Rule } from 'tollgate'
import { listen, type Served } from './harness.ts'
import { left } from './services.ts'

/** 100 a minute for each tenant, and one rule of two; the clock stands still. */
function limiterOf(per: Rule['per'], more: RateLimitPolicyOptions = {}): Promise<Limiter> {
  const policyDefinition = { burstAllowance: 0, rules: [{ name: 'pair', per, quota: 2 }] }
  return enforceRateLimitPolicy({ namespace: 'rule-keys', policyDefinition, clock: () => 0, ...more })
}

interface Asking extends AsyncDisposable {
  /** The status of a request with these headers. */
  ask: (headers: Record<string, string | string[]>) => Promise<number>
  server: Served
}

/** A service that takes the user from a header, as an authenticating middleware would from a session. */
async function asking(limiter: Limiter): Promise<Asking> {
  const app = express().set('trust proxy', 1)
  app.use((req, _res, next) => {
    const user = req.headers['x-user']
    if (user !== undefined) Object.assign(req, { user: { id: user } })
    next()
  })
  app.use(limiter.middleware(), (_req, res) => void res.end('in'))
  app.use((error: Error, _req: express.Request, res: express.Response, _next: express.NextFunction) => {
    res.status(500).end(error.message)
  })
  const server = await listen(app)
  return {
    server,
    ask: async (headers) => (await server.get('/', headers)).status,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await limiter.close()
    },
  }
}

test('per tenant, which is the default', async () => {
  for (const per of [undefined, 'tenant', ['tenant']]) {
    await using limiter = await limiterOf(per)
    limiter.tryConsume('acme', { cost: 2 })
    assert.equal(limiter.tryConsume('acme').rule, 'pair')
    assert.equal(limiter.tryConsume('globex').allowed, true)
  }
})

test('per ip: whatever tenant it names, and each IPv6 subnet is one client', async () => {
  await using service = await asking(await limiterOf('ip'))
  const from = (address: string, tenant = 'acme'): Promise<number> =>
    service.ask({ 'x-forwarded-for': address, 'x-tenant-id': tenant })
  assert.deepEqual([await from('203.0.113.1'), await from('203.0.113.1', 'globex')], [200, 200])
  assert.equal(await from('::ffff:203.0.113.1', 'initech'), 429)
  assert.deepEqual([await from('203.0.113.2'), await from('203.0.113.3')], [200, 200])
  assert.deepEqual([await from('2001:db8::1'), await from('2001:db8:0:ff::1')], [200, 200])
  assert.deepEqual([await from('2001:db8::2'), await from('2001:db8:0:100::1')], [429, 200])
})

test('per user: who is not known is one', async () => {
  await using service = await asking(await limiterOf('user'))
  const as = (user: string, tenant = 'acme'): Promise<number> =>
    service.ask({ 'x-user': user, 'x-tenant-id': tenant })
  assert.deepEqual([await as('ann'), await as('ann', 'globex'), await as('ann')], [200, 200, 429])
  assert.deepEqual([await as('bob'), await as('Ann')], [200, 200])
  const unknown = { 'x-tenant-id': 'acme' }
  assert.deepEqual(
    [await service.ask(unknown), await service.ask(unknown), await service.ask(unknown)],
    [200, 200, 429],
  )
})

test('per tenant and user: the same name is somebody else at another tenant', async () => {
  await using service = await asking(await limiterOf(['tenant', 'user']))
  const as = (user: string, tenant: string): Promise<number> =>
    service.ask({ 'x-user': user, 'x-tenant-id': tenant })
  assert.deepEqual(
    [await as('ann', 'acme'), await as('ann', 'acme'), await as('ann', 'acme')],
    [200, 200, 429],
  )
  assert.deepEqual([await as('ann', 'globex'), await as('bob', 'acme')], [200, 200])
})

test('per keys of the service: numbers, lists and none', async () => {
  const values = new Map<string, string | number | string[] | null | undefined>([
    ['string', '1'],
    ['number', 1],
    ['list', ['a', 'b']],
    ['joined', 'a, b'],
    ['null', null],
    ['undefined', undefined],
    ['empty', ''],
    ['long', 'x'.repeat(257)],
  ])
  const limiter = await limiterOf('region', {
    keys: { region: (req) => values.get(String(req.headers['x-case'])) },
  })
  await using service = await asking(limiter)
  const leftAfter = async (name: string): Promise<string | undefined> => {
    const { headers } = await service.server.get('/', { 'x-case': name, 'x-tenant-id': 'acme' })
    return /"pair";r=(\d)/.exec(String(headers.ratelimit))?.[1]
  }
  assert.deepEqual([await leftAfter('string'), await leftAfter('number')], ['1', '0'])
  assert.deepEqual([await leftAfter('list'), await leftAfter('joined')], ['1', '0'])
  assert.deepEqual([await leftAfter('null'), await leftAfter('undefined')], ['1', '0'])
  // What is too long to be a key is as good as none; an empty one is a key.
  assert.equal((await service.server.get('/', { 'x-case': 'long', 'x-tenant-id': 'acme' })).status, 429)
  assert.equal(await leftAfter('empty'), '1')
})

test('parts cannot be shifted from one to the other', async () => {
  await using limiter = await limiterOf(['tenant', 'user', 'region'], { keys: { region: () => undefined } })
  const of = (tenant: string, user: string | undefined, region: string | undefined): number =>
    limiter
      .tryConsume(tenant, { request: { user, keys: { region } } })
      .limits.find(({ rule }) => rule === 'pair')!.remaining
  const distinct: [string, string | undefined, string | undefined][] = [
    ['a', 'b', 'c'],
    ['ab', '', 'c'],
    ['a', 'bc', ''],
    ['a', 'bc', undefined],
    ['a', undefined, 'bc'],
    ['a', '', 'bc'],
    ['a', 'b:c', undefined],
    ['a:b', 'c', undefined],
    ['a', 'b\0c', undefined],
  ]
  for (const parts of distinct) assert.equal(of(...parts), 1, JSON.stringify(parts))
  for (const parts of distinct) assert.equal(of(...parts), 0, JSON.stringify(parts))
})

test('the service says who the user is', async () => {
  const limiter = await limiterOf('user', { keys: { user: (req) => req.headers['x-session'] } })
  await using service = await asking(limiter)
  const as = (session: string, user: string): Promise<number> =>
    service.ask({ 'x-session': session, 'x-user': user, 'x-tenant-id': 'acme' })
  assert.deepEqual([await as('s1', 'ann'), await as('s1', 'bob'), await as('s1', 'eve')], [200, 200, 429])
  assert.equal(await as('s2', 'ann'), 200)
})

test('a key that throws, or gives what is none, goes to the error handler and charges nothing', async () => {
  const limiter = await limiterOf('region', {
    keys: {
      region: (req) => {
        if (req.headers['x-case'] === 'throws') throw new Error('no region')
        return { of: 'something else' } as never
      },
    },
  })
  await using service = await asking(limiter)
  const thrown = await service.server.get('/', { 'x-case': 'throws', 'x-tenant-id': 'acme' })
  assert.deepEqual([thrown.status, thrown.body], [500, 'no region'])
  const wrong = await service.server.get('/', { 'x-tenant-id': 'acme' })
  assert.match(wrong.body, /keys\.region returned an object; accepted: a string, a number, or undefined/)
  assert.deepEqual(left(limiter.peek('acme')), { pair: 2, default: 100 })
  assert.throws(
    () => limiter.tryConsume('acme', { request: { keys: { region: true as never } } }),
    TollgateInputError,
  )
})

test('a key that charges the limiter itself does not disturb the decision that it is asked for', async () => {
  const inner = await enforceRateLimitPolicy({ namespace: 'rule-keys-inner', clock: () => 0 })
  const limiter = await limiterOf('region', {
    keys: {
      region: () => {
        inner.tryConsume('other', { cost: 50 })
        return 'north'
      },
    },
  })
  await using service = await asking(limiter)
  const { headers } = await service.server.get('/', { 'x-tenant-id': 'acme' })
  assert.equal(headers.ratelimit, '"pair";r=1;t=30, "default";r=99;t=1')
  assert.equal(inner.peek('other').remaining, 70)
  await inner.close()
})

test('without HTTP, the service says what is known of a request', async () => {
  await using limiter = await limiterOf(['ip', 'user'])
  const request = { ip: '203.0.113.1', user: 'ann' }
  assert.equal(limiter.tryConsume('acme', { request }).remaining, 1)
  assert.equal(
    limiter.tryConsume('globex', { request: { ...request, ip: '::ffff:203.0.113.1' } }).remaining,
    0,
  )
  assert.equal(limiter.tryConsume('globex', { request }).allowed, false)
  assert.equal(limiter.tryConsume('globex').remaining, 1)
  assert.equal(limiter.penalize('acme', 1, { rule: 'pair' }).remaining, 0)
  assert.equal(limiter.reset('acme', { rule: 'pair', request }).remaining, 2)
  assert.equal(limiter.block('acme', '5s', { rule: 'pair', request }).reason, 'blocked')
  assert.equal(limiter.peek('globex', { request }).rule, 'pair')
  assert.equal(limiter.peek('globex', { request: { ...request, user: 'bob' } }).allowed, true)
})
