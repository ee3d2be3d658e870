import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enforceRateLimitPolicy, type Limiter, type PolicyDefinition } from 'tollgate'
import { fakeClock } from './harness.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const DAY = 24 * 60 * MINUTE

type Clock = ReturnType<typeof fakeClock>

function limiterOf(clock: Clock, policyDefinition: PolicyDefinition): Promise<Limiter> {
  const definition = { burstAllowance: 0, ...policyDefinition }
  return enforceRateLimitPolicy({ namespace: 'algorithms', clock: clock.now, policyDefinition: definition })
}

/** Takes tokens one by one until there are none; how many there were. */
function drained(limiter: Limiter, tenant = 'acme'): number {
  let admitted = 0
  while (limiter.tryConsume(tenant).allowed) admitted += 1
  return admitted
}

/** A stream of pseudo-random whole numbers below a bound, the same each time (Park and Miller's generator). */
function numbers(seed = 1): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

test('a token bucket admits what it holds at once, and from then on its rate', async () => {
  const clock = fakeClock()
  await using limiter = await limiterOf(clock, { defaultQuota: 60, burstAllowance: 15 })
  assert.equal(drained(limiter), 75)
  clock.advance(10 * SECOND)
  assert.equal(drained(limiter), 10)
  clock.advance(999)
  assert.equal(limiter.tryConsume('acme').retryAfterMs, 1)
  clock.advance(DAY)
  assert.equal(drained(limiter), 75)
})

for (const [algorithm, most] of [
  ['token-bucket', (time: number) => 30 + 10 + (30 * time) / MINUTE],
  // As many windows as a length of time can touch.
  ['fixed-window', (time: number) => (30 + 10) * (Math.ceil(time / MINUTE) + 1)],
  ['sliding-window', (time: number) => (30 + 10) * (1 + time / MINUTE)],
] as const) {
  test(`${algorithm}: no length of time admits more than its bound`, async () => {
    const clock = fakeClock(1_700_000_000_000)
    await using limiter = await limiterOf(clock, { defaultQuota: 30, burstAllowance: 10, algorithm })
    const below = numbers()
    const admitted: { at: number; total: number }[] = []
    let total = 0
    for (let request = 0; request < 3_000; request++) {
      // Bursts, and pauses of up to half a window.
      clock.advance(below(10) === 0 ? below(MINUTE / 2) : below(200))
      const cost = 1 + below(4)
      if (!limiter.tryConsume('acme', { cost }).allowed) continue
      total += cost
      admitted.push({ at: clock.now(), total: total - cost })
      for (const { at, total: before } of admitted.slice(-200)) {
        const time = clock.now() - at
        assert.ok(total - before <= most(time) + 1e-9, `${total - before} in ${time} ms`)
      }
    }
    assert.ok(total > 500, 'and it admits something')
  })

  test(`${algorithm}: what is told of the wait is true to the millisecond`, async () => {
    const clock = fakeClock(1_700_000_012_345)
    await using limiter = await limiterOf(clock, { defaultQuota: 30, burstAllowance: 10, algorithm })
    const below = numbers(7)
    for (let request = 0; request < 400; request++) {
      clock.advance(below(2 * SECOND))
      const cost = 1 + below(8)
      const { allowed, retryAfterMs } = limiter.tryConsume('acme', { cost })
      if (allowed) {
        assert.equal(retryAfterMs, 0)
        continue
      }
      clock.advance(retryAfterMs - 1)
      assert.equal(limiter.peek('acme', { cost }).allowed, false, `${retryAfterMs - 1} ms later`)
      clock.advance(1)
      assert.equal(limiter.peek('acme', { cost }).allowed, true, `${retryAfterMs} ms later`)
    }
    const { resetMs, limit } = limiter.peek('acme')
    clock.advance(resetMs)
    assert.equal(limiter.peek('acme').remaining, limit)
  })
}

test('fixed windows are aligned to the epoch, and begin anew whole', async () => {
  const clock = fakeClock(10 * MINUTE + 59_000)
  await using limiter = await limiterOf(clock, {
    defaultQuota: 5,
    burstAllowance: 1,
    algorithm: 'fixed-window',
  })
  assert.equal(drained(limiter), 6)
  const { retryAfterMs, resetMs, reason } = limiter.tryConsume('acme')
  assert.deepEqual([retryAfterMs, resetMs, reason], [SECOND, SECOND, 'quota'])
  clock.advance(999)
  assert.equal(drained(limiter), 0)
  clock.advance(1)
  assert.equal(drained(limiter), 6)
  // Nothing is saved up.
  clock.advance(10 * MINUTE)
  assert.equal(drained(limiter), 6)
})

test("'day' is the day in UTC, and '1d' with a fixed window is the same", async () => {
  for (const window of ['day', '1d', '24h']) {
    const clock = fakeClock(Date.UTC(2024, 1, 28, 23, 59, 59, 500))
    await using limiter = await limiterOf(clock, { defaultQuota: 3, window, algorithm: 'fixed-window' })
    assert.equal(drained(limiter), 3)
    assert.equal(limiter.tryConsume('acme').retryAfterMs, 500)
    clock.advance(500)
    assert.equal(drained(limiter), 3)
    assert.equal(limiter.tryConsume('acme').retryAfterMs, DAY)
  }
})

test("'month' is the month in UTC, however long", async () => {
  const months: [year: number, month: number, days: number][] = [
    [2023, 1, 28],
    [2024, 0, 31],
    [2024, 1, 29],
    [2024, 3, 30],
    [2024, 11, 31],
    [2100, 1, 28],
  ]
  for (const [year, month, days] of months) {
    const clock = fakeClock(Date.UTC(year, month, days, 12))
    await using limiter = await limiterOf(clock, {
      defaultQuota: 3,
      window: 'month',
      algorithm: 'fixed-window',
    })
    assert.equal(drained(limiter), 3)
    assert.equal(limiter.tryConsume('acme').retryAfterMs, DAY / 2, `${year}-${month + 1}`)
    clock.advance(DAY / 2)
    const { remaining, resetMs } = limiter.tryConsume('acme')
    assert.equal(remaining, 2)
    assert.equal(clock.now() + resetMs, Date.UTC(year, month + 2))
  }
})

test('a month goes on through many days without a request', async () => {
  const clock = fakeClock(Date.UTC(2025, 0, 1))
  await using limiter = await limiterOf(clock, {
    defaultQuota: 3,
    window: 'month',
    algorithm: 'fixed-window',
  })
  limiter.tryConsume('acme', { cost: 2 })
  for (let day = 2; day <= 31; day++) {
    clock.advance(DAY)
    assert.equal(limiter.peek('acme').remaining, 1, `day ${day}`)
    // Others, so that tables are swept and renewed.
    limiter.tryConsume(`tenant-${day}`)
  }
  clock.advance(DAY)
  assert.equal(limiter.peek('acme').remaining, 3)
})

test('after months without a request, the first one is counted in the month that it comes in', async () => {
  const clock = fakeClock(Date.UTC(2025, 0, 5))
  await using limiter = await limiterOf(clock, {
    defaultQuota: 3,
    window: 'month',
    algorithm: 'fixed-window',
  })
  assert.equal(drained(limiter), 3)
  clock.advance(40 * DAY)
  assert.equal(limiter.peek('acme').remaining, 3)
  assert.equal(drained(limiter), 3)
  assert.equal(clock.now() + limiter.peek('acme').resetMs, Date.UTC(2025, 2))
})

test('in a sliding window, the one before counts for the part that lies less than a window back', async () => {
  const clock = fakeClock(100 * MINUTE)
  await using limiter = await limiterOf(clock, { defaultQuota: 40, algorithm: 'sliding-window' })
  clock.advance(30 * SECOND)
  assert.equal(drained(limiter), 40)
  clock.advance(30 * SECOND)
  assert.equal(drained(limiter), 0)
  // A quarter of the next window has passed: three quarters of forty still count.
  clock.advance(15 * SECOND)
  assert.equal(limiter.peek('acme').remaining, 10)
  assert.equal(drained(limiter), 10)
  clock.advance(45 * SECOND)
  assert.equal(limiter.peek('acme').remaining, 30)
  clock.advance(MINUTE)
  assert.equal(drained(limiter), 40)
})

test('tenants, tiers and rules each count in a way of their own', async () => {
  const clock = fakeClock(Date.UTC(2024, 5, 15, 23, 59, 30))
  await using limiter = await limiterOf(clock, {
    defaultQuota: 6,
    tiers: { daily: { quota: 4, window: 'day', algorithm: 'fixed-window' } },
    tenantOverrides: { acme: 'daily', globex: { quota: 2, algorithm: 'sliding-window' } },
    rules: [
      { name: 'monthly', match: { tenant: 'acme' }, quota: 5, window: 'month', algorithm: 'fixed-window' },
    ],
  })
  assert.deepEqual([drained(limiter), drained(limiter, 'globex'), drained(limiter, 'other')], [4, 2, 6])
  clock.advance(30 * SECOND)
  // A day later the rule has one left for the month; the bucket is half full; the window before has just ended.
  assert.deepEqual([drained(limiter), drained(limiter, 'globex'), drained(limiter, 'other')], [1, 0, 3])
  assert.equal(limiter.tryConsume('acme').rule, 'monthly')
})

test('without a clock of its own, a limiter aligns windows to the wall clock', async () => {
  await using limiter = await enforceRateLimitPolicy({
    namespace: 'algorithms-wall',
    policyDefinition: { defaultQuota: 3, burstAllowance: 0, window: 'month', algorithm: 'fixed-window' },
  })
  const before = Date.now()
  const { resetMs } = limiter.tryConsume('acme')
  const end = new Date(before + resetMs + MINUTE)
  // Within a minute of midnight on the first of a month, unless it has just begun.
  assert.equal(end.getUTCDate(), 1)
  assert.equal(end.getUTCHours(), 0)
})
