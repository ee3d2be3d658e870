import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enforceRateLimitPolicy, TollgateClosedError, TollgateInputError } from 'tollgate'
import type { Limiter, PolicyDefinition, Reservation, ReserveOptions } from 'tollgate'
import { fakeClock } from './harness.ts'
import { left } from './services.ts'

const clock = fakeClock()

/** 100 a minute, and what a test adds to that. */
function limiterOf(more: PolicyDefinition = {}): Promise<Limiter> {
  const policyDefinition = { burstAllowance: 0, ...more }
  return enforceRateLimitPolicy({ namespace: 'reserve', policyDefinition, clock: clock.now })
}

const RULES = [
  { name: 'tokens', quota: 80 },
  { name: 'calls', quota: 10, cost: 1 },
  { name: 'hourly', quota: 90, window: '1h', algorithm: 'fixed-window' },
  { name: 'later', quota: 85, mode: 'shadow' },
  { name: 'streams', concurrency: 3 },
] as const

const settlements: [what: string, settle: (of: Reservation) => boolean, expected: Record<string, number>][] =
  [
    ['less', (of) => of.settle(20), { tokens: 60, calls: 9, hourly: 70, later: 65, streams: 3, default: 80 }],
    ['more', (of) => of.settle(70), { tokens: 10, calls: 9, hourly: 20, later: 15, streams: 3, default: 30 }],
    [
      'as much',
      (of) => of.settle(50),
      { tokens: 30, calls: 9, hourly: 40, later: 35, streams: 3, default: 50 },
    ],
    [
      'nothing',
      (of) => of.settle(0),
      { tokens: 80, calls: 9, hourly: 90, later: 85, streams: 3, default: 100 },
    ],
    [
      'cancelled',
      (of) => of.cancel(),
      { tokens: 80, calls: 10, hourly: 90, later: 85, streams: 3, default: 100 },
    ],
  ]

for (const [what, settle, expected] of settlements) {
  test(`a reservation that comes to ${what} leaves every limit as if that had been known`, async () => {
    await using limiter = await limiterOf({ rules: RULES })
    const reservation = await limiter.reserve('acme', { cost: 50 })
    assert.equal(reservation.allowed, true)
    assert.equal(reservation.rule, 'streams')
    assert.deepEqual(left(reservation), {
      tokens: 30,
      calls: 9,
      hourly: 40,
      later: 35,
      streams: 2,
      default: 50,
    })
    assert.equal(settle(reservation), true)
    // Once and for all.
    for (const again of [
      () => reservation.settle(1),
      () => reservation.cancel(),
      () => settle(reservation),
    ]) {
      assert.equal(again(), false)
    }
    assert.deepEqual(left(limiter.peek('acme', { cost: 0 })), expected)
  })

  test(`without rules, too: ${what}`, async () => {
    await using limiter = await limiterOf()
    const reservation = await limiter.reserve('acme', { cost: 50 })
    assert.deepEqual([reservation.remaining, reservation.rule, reservation.limits.length], [50, 'default', 1])
    assert.equal(settle(reservation), true)
    assert.equal(settle(reservation), false)
    assert.equal(limiter.peek('acme').remaining, expected['default'])
  })
}

test('what is given back has come back by itself in part: never more than a full bucket', async () => {
  await using limiter = await limiterOf()
  limiter.tryConsume('acme', { cost: 40 })
  const reservation = await limiter.reserve('acme', { cost: 60 })
  clock.advance(30_000)
  assert.equal(limiter.peek('acme').remaining, 50)
  reservation.cancel()
  assert.equal(limiter.peek('acme').remaining, 100)
})

test('what is given back to a window that is over is gone', async () => {
  await using limiter = await limiterOf({ algorithm: 'fixed-window' })
  clock.advance(60_000 - (clock.now() % 60_000))
  const reservation = await limiter.reserve('acme', { cost: 60 })
  clock.advance(60_000)
  limiter.tryConsume('acme', { cost: 70 })
  assert.equal(reservation.settle(10), true)
  assert.equal(limiter.peek('acme').remaining, 30)
})

test('who has used more than there was is in debt, of one full bucket at most', async () => {
  await using limiter = await limiterOf()
  const reservation = await limiter.reserve('acme', { cost: 100 })
  assert.equal(reservation.settle(1_000_000), true)
  const { remaining, retryAfterMs, allowed } = limiter.peek('acme')
  assert.deepEqual([remaining, allowed], [0, false])
  // A hundred tokens of debt, and the one that is asked for.
  assert.equal(retryAfterMs, 60_600)
  clock.advance(60_600)
  assert.equal(limiter.tryConsume('acme').allowed, true)
})

test('a reservation that is refused has charged nothing, and has nothing to settle', async () => {
  await using limiter = await limiterOf({ rules: RULES })
  const refused = await limiter.reserve('acme', { cost: 81 })
  assert.deepEqual([refused.allowed, refused.rule, refused.reason], [false, 'tokens', 'quota'])
  assert.deepEqual([refused.settle(5), refused.cancel()], [false, false])
  const untouched = { tokens: 80, calls: 10, hourly: 90, later: 85, streams: 3, default: 100 }
  assert.deepEqual(left(limiter.peek('acme', { cost: 0 })), untouched)
})

test('past its time, what was reserved stands, and slots have come back', async () => {
  await using limiter = await limiterOf({ rules: RULES })
  for (const [options, ttl] of [
    [{ cost: 5, ttl: '10s' }, 10_000],
    [{ cost: 5 }, 300_000],
  ] as [ReserveOptions, number][]) {
    limiter.reset('acme', { rule: 'hourly' })
    const reservation = await limiter.reserve('acme', options)
    const streams = (): number =>
      limiter.peek('acme').limits.find(({ rule }) => rule === 'streams')!.remaining
    clock.advance(ttl - 1)
    assert.equal(streams(), 2)
    clock.advance(1)
    assert.equal(streams(), 3)
    assert.deepEqual([reservation.settle(0), reservation.cancel()], [false, false])
    assert.equal(left(limiter.peek('acme', { cost: 0 }))['hourly'], 85)
  }
})

test('a reservation that expires just now is expired for whoever asks first', async () => {
  await using limiter = await limiterOf({ rules: [{ name: 'streams', concurrency: 1 }] })
  const reservation = await limiter.reserve('acme', { ttl: 1_000 })
  clock.advance(999)
  assert.equal(limiter.tryConsume('acme').reason, 'concurrency')
  clock.advance(1)
  assert.equal(reservation.settle(1), false)
  assert.equal(limiter.tryConsume('acme').allowed, true)
})

test('a rule that is named, and a request, are reserved for', async () => {
  await using limiter = await limiterOf({
    rules: [{ name: 'model', match: { path: '/chat' }, per: ['tenant', 'user'], quota: 50 }],
  })
  const request = { user: 'ann' }
  const reservation = await limiter.reserve('acme', { cost: 30, rule: 'model', request })
  assert.deepEqual(left(reservation), { model: 20, default: 70 })
  reservation.settle(10)
  assert.deepEqual(left(limiter.peek('acme', { request: { ...request, path: '/chat' } })), {
    model: 40,
    default: 90,
  })
  await assert.rejects(limiter.reserve('acme', { rule: 'chat' }), TollgateInputError)
})

test('without a limit there is nothing to count, and all the same a reservation to settle', async () => {
  await using limiter = await limiterOf({
    tenantOverrides: { root: 'unlimited' },
    deny: { tenants: ['bad'] },
  })
  const reservation = await limiter.reserve('root', { cost: 1e9 })
  assert.deepEqual([reservation.allowed, reservation.limit, reservation.limits], [true, Infinity, []])
  assert.deepEqual([reservation.settle(5), reservation.settle(5)], [true, false])
  assert.equal((await limiter.reserve('bad')).settle(1), false)
})

test('what is not a cost or a time is refused, and the reservation stays open', async () => {
  const limiter = await limiterOf()
  for (const options of [
    { ttl: 0 },
    { ttl: 'soon' },
    { ttl: '367d' },
    { cost: -1 },
    { cost: 0.5 },
    { cost: '5' },
  ]) {
    await assert.rejects(
      limiter.reserve('acme', options as never),
      TollgateInputError,
      JSON.stringify(options),
    )
  }
  await assert.rejects(limiter.reserve(''), TollgateInputError)
  const reservation = await limiter.reserve('acme', { cost: 50 })
  for (const actual of [-1, 0.5, NaN, '5', undefined]) {
    assert.throws(() => reservation.settle(actual as never), TollgateInputError)
  }
  assert.equal(limiter.peek('acme').remaining, 50)
  assert.equal(reservation.settle(1), true)
  const open = await limiter.reserve('acme')
  await limiter.close()
  assert.equal(open.settle(0), false)
  await assert.rejects(limiter.reserve('acme'), TollgateClosedError)
})

test('a thousand reservations are settled in any order', async () => {
  await using limiter = await limiterOf({ defaultQuota: 100_000 })
  const open: Reservation[] = []
  for (let turn = 0; turn < 1_000; turn++)
    open.push(await limiter.reserve('acme', { cost: 50, ttl: 1_000 + turn }))
  assert.equal(limiter.peek('acme').remaining, 50_000)
  for (const [turn, reservation] of open.entries()) if (turn % 3 === 0) reservation.settle(51)
  for (const [turn, reservation] of [...open.entries()].toReversed()) {
    if (turn % 3 === 1) reservation.cancel()
  }
  assert.equal(limiter.peek('acme').remaining, 50_000 - 334 + 333 * 50)
})
