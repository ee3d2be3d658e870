import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { enforceRateLimitPolicy, TollgateClosedError, TollgateInputError, type Limiter } from 'tollgate'
import { fakeClock } from './harness.ts'

const clock = fakeClock()

/** 60 a minute and a burst of 10: a token a second, 70 at most. */
function limiterOf(namespace: string, more: object = {}): Promise<Limiter> {
  const policyDefinition = { defaultQuota: 60, burstAllowance: 10 }
  return enforceRateLimitPolicy({ namespace, clock: clock.now, policyDefinition, ...more })
}

test('a decision says what is left, until when, and why', async () => {
  await using limiter = await limiterOf('shape')
  assert.deepEqual(
    { ...limiter.tryConsume('acme', { cost: 70 }) },
    {
      allowed: true,
      tenant: 'acme',
      rule: 'default',
      limit: 70,
      remaining: 0,
      resetMs: 70_000,
      retryAfterMs: 0,
      reason: 'ok',
    },
  )
  assert.deepEqual(
    { ...limiter.tryConsume('acme', { cost: 2 }) },
    {
      allowed: false,
      tenant: 'acme',
      rule: 'default',
      limit: 70,
      remaining: 0,
      resetMs: 70_000,
      retryAfterMs: 2000,
      reason: 'quota',
    },
  )
  assert.equal(limiter.tryConsume('acme', { cost: 71 }).retryAfterMs, Infinity)
  clock.advance(2000)
  assert.equal(limiter.tryConsume('acme', { cost: 2 }).allowed, true)
  assert.equal(limiter.tryConsume('acme').allowed, false)
})

test('without options a tenant has 100 a minute and a burst of 20', async () => {
  await using limiter = await enforceRateLimitPolicy()
  assert.equal(limiter.tryConsume('acme').limit, 120)
})

test('a cost applies to its own call alone', async () => {
  await using limiter = await limiterOf('cost')
  assert.equal(limiter.tryConsume('a', { cost: 5 }).remaining, 65)
  assert.equal(limiter.tryConsume('a').remaining, 64)
  assert.equal(limiter.tryConsume('a', { cost: 0 }).remaining, 64)
  assert.equal(limiter.tryConsume('a', { cost: undefined }).remaining, 63)
  assert.throws(() => limiter.tryConsume('a', { cost: -1 }))
  assert.equal(limiter.tryConsume('a').remaining, 62)
})

test('peek charges nothing', async () => {
  await using limiter = await limiterOf('peek')
  assert.equal(limiter.peek('a', { cost: 70 }).allowed, true)
  assert.equal(limiter.peek('a', { cost: 71 }).allowed, false)
  assert.equal(limiter.tryConsume('a').remaining, 69)
})

test('reward gives back no more than a full bucket, and penalize takes what is not there', async () => {
  await using limiter = await limiterOf('adjust')
  limiter.tryConsume('a', { cost: 10 })
  assert.equal(limiter.reward('a', 4).remaining, 64)
  assert.equal(limiter.reward('a', 1000).remaining, 70)
  assert.equal(limiter.penalize('a', 75).remaining, 0)
  clock.advance(5000)
  assert.equal(limiter.tryConsume('a').retryAfterMs, 1000)
  clock.advance(1000)
  assert.equal(limiter.tryConsume('a').allowed, true)
})

test('a block refuses until it ends, and a reset lifts it', async () => {
  await using limiter = await limiterOf('block')
  assert.equal(limiter.block('a', '10s').reason, 'blocked')
  const { allowed, reason, retryAfterMs } = limiter.tryConsume('a')
  assert.deepEqual(
    { allowed, reason, retryAfterMs },
    { allowed: false, reason: 'blocked', retryAfterMs: 10_000 },
  )
  clock.advance(9_999)
  assert.equal(limiter.tryConsume('a').allowed, false)
  clock.advance(1)
  assert.equal(limiter.tryConsume('a').allowed, true)
  limiter.block('a', 60_000)
  assert.equal(limiter.reset('a').remaining, 70)
  assert.equal(limiter.tryConsume('a').remaining, 69)
  limiter.block('a', '1h')
  limiter.block('a', 0)
  assert.equal(limiter.tryConsume('a').allowed, true)
})

test('a tenant that the policy does not name can be refused', async () => {
  const policyDefinition = { tenantOverrides: { acme: 5 } }
  await using limiter = await limiterOf('unknown', { unknownTenant: 'reject', policyDefinition })
  assert.equal(limiter.tryConsume('acme').allowed, true)
  const { allowed, reason } = limiter.tryConsume('other')
  assert.deepEqual({ allowed, reason }, { allowed: false, reason: 'denied' })
})

test('what cannot name a tenant is an error with a code', async () => {
  await using limiter = await limiterOf('names')
  const wrong = ['', 'x'.repeat(257), '€'.repeat(86), '\ud800', 'a\udc00b', 5, null, undefined, {}]
  for (const name of wrong as string[]) {
    for (const call of [
      () => limiter.tryConsume(name),
      () => limiter.tryConsume(name, { cost: 2 }),
      () => limiter.peek(name),
      () => limiter.reward(name, 1),
      () => limiter.penalize(name, 1),
      () => limiter.block(name, 1),
      () => limiter.reset(name),
    ]) {
      assert.throws(
        call,
        (error) => error instanceof TollgateInputError && error.code === 'TOLLGATE_INVALID_TENANT',
      )
    }
    await assert.rejects(limiter.consume(name), { code: 'TOLLGATE_INVALID_TENANT' })
  }
  for (const name of ['x'.repeat(256), 'a\0b', 'a\r\nb', '\u{1f600}', '__proto__', '\ufffd']) {
    assert.equal(limiter.tryConsume(name).remaining, 69)
  }
})

test('what cannot be a cost is an error with a code', async () => {
  await using limiter = await limiterOf('costs')
  for (const cost of [NaN, -1, 0.5, Infinity, 2 ** 53, '1', 1n, {}] as number[]) {
    for (const call of [
      () => limiter.tryConsume('a', { cost }),
      () => limiter.peek('a', { cost }),
      () => limiter.reward('a', cost),
      () => limiter.penalize('a', cost),
    ]) {
      assert.throws(call, { name: 'TollgateInputError', code: 'TOLLGATE_INVALID_COST' }, String(cost))
    }
  }
  for (const time of [-1, '10', 'soon', NaN, '400d']) {
    assert.throws(() => limiter.block('a', time), /duration: given .*'10m'/)
  }
  assert.equal(limiter.peek('a').remaining, 70)
})

test('a closed limiter says so', async () => {
  const limiter = await limiterOf('closed')
  const handler = limiter.middleware()
  await limiter.close()
  await limiter.close()
  for (const call of [
    () => limiter.tryConsume('a'),
    () => limiter.peek('a'),
    () => limiter.reset('a'),
    () => limiter.status(),
    () => limiter.middleware(),
    () => handler({ headers: { 'x-tenant-id': 'a' } } as never, {} as never),
  ]) {
    assert.throws(call, (error) => error instanceof TollgateClosedError && error.code === 'TOLLGATE_CLOSED')
  }
})

test('status counts what there is, and names nothing that there is not', async () => {
  await using limiter = await limiterOf('status')
  limiter.tryConsume('a')
  const { policy, instances, backends, rollout } = limiter.status()
  assert.match(policy.hash, /^[0-9a-f]{64}$/)
  const { imageBytes, ...rest } = policy
  assert.ok(imageBytes > 0 && imageBytes < 256)
  assert.deepEqual(
    { ...rest, hash: '' },
    { revision: 1, hash: '', tenants: 0, rules: 0, limits: 1, optimizationLevel: 2 },
  )
  assert.equal(instances[0]?.pid, process.pid)
  assert.deepEqual([backends, rollout], [[], null])
})

test('worker threads of a namespace share its buckets, to the token', async () => {
  await using limiter = await limiterOf('threads', { clock: () => 1_000_000 })
  const workers = Array.from(
    { length: 4 },
    () => new Worker(fileURLToPath(new URL('./sharing-worker.mjs', import.meta.url)), { execArgv: [] }),
  )
  const counts = await Promise.all(
    workers.map(async (worker) => ((await once(worker, 'message')) as [number])[0]),
  )
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    70,
  )
  assert.equal(limiter.peek('shared').remaining, 0)
  await Promise.all(workers.map((worker) => worker.terminate()))
})

test('CommonJS can require it', () => {
  const script = `
    const { enforceRateLimitPolicy } = require('tollgate')
    enforceRateLimitPolicy().then((limiter) => console.log(limiter.tryConsume('a').remaining))`
  const printed = execFileSync(process.execPath, ['-e', script], {
    cwd: new URL('..', import.meta.url),
    encoding: 'utf8',
  })
  assert.equal(printed, '119\n')
})
