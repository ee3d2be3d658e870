import assert from 'node:assert/strict'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { test, type TestContext } from 'node:test'
import { enforceRateLimitPolicy } from 'tollgate'

const MILLION = 1_000_000
/** Rows that may be read in one turn of the event loop: some milliseconds' worth. */
const MOST_ROWS = 5_000

/** Counts turns of the event loop, and measures the pauses between them, while something goes on. */
async function watched<Result>(
  context: TestContext,
  what: string,
  work: (turn: () => number) => Promise<Result>,
): Promise<{ result: Result; turns: number }> {
  const state = { turns: 0, going: true }
  const beat = (): void => {
    state.turns += 1
    if (state.going) setImmediate(beat)
  }
  setImmediate(beat)
  // The smallest resolution that there is, in milliseconds.
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const result = await work(() => state.turns)
  delay.disable()
  state.going = false
  context.diagnostic(`${what}: ${state.turns} turns, the longest ${(delay.max / 1e6).toFixed(1)} ms`)
  return { result, turns: state.turns }
}

/** Tenants by number, that see in which turn each of them is read. */
class Watched extends Map<string, number> {
  turn: () => number = () => 0
  most = 0;

  override *entries(): MapIterator<[string, number]> {
    let [turn, rows] = [-1, 0]
    for (const entry of super.entries()) {
      if (this.turn() !== turn) [turn, rows] = [this.turn(), 0]
      this.most = Math.max(this.most, ++rows)
      yield entry
    }
    return undefined
  }
}

function tenants(count: number, quota: (tenant: number) => number): Watched {
  const overrides = new Watched()
  for (let tenant = 0; tenant < count; tenant++) overrides.set(`tenant-${tenant}`, quota(tenant))
  return overrides
}

test('a million overrides are loaded, replaced and amended in small steps, and requests go on', async (context) => {
  const first = tenants(MILLION, (tenant) => 1 + (tenant % 1_000))
  const loaded = await watched(context, 'loading', (turn) => {
    first.turn = turn
    return enforceRateLimitPolicy({
      namespace: 'million',
      policyDefinition: { burstAllowance: 0, tenantOverrides: first },
      clock: () => 0,
    })
  })
  await using limiter = loaded.result
  assert.ok(first.most <= MOST_ROWS, `${first.most} rows in a turn`)
  assert.ok(loaded.turns >= MILLION / MOST_ROWS, `${loaded.turns} turns`)
  assert.equal(limiter.status().policy.tenants, MILLION)
  assert.equal(limiter.peek('tenant-999999').limit, 1_000)
  for (let tenant = 0; tenant < 1_000; tenant++) limiter.tryConsume(`tenant-${tenant}`)

  const second = tenants(MILLION / 10, (tenant) => 2 + (tenant % 1_000))
  let admitted = 0
  const replaced = await watched(context, 'replacing', async (turn) => {
    second.turn = turn
    const state = { changing: true }
    const applied = limiter
      .applyPolicy({ burstAllowance: 0, tenantOverrides: second })
      .finally(() => (state.changing = false))
    while (state.changing) {
      admitted += Number(limiter.tryConsume('tenant-999').allowed)
      await new Promise(setImmediate)
    }
    return applied
  })
  assert.ok(second.most <= MOST_ROWS, `${second.most} rows in a turn`)
  assert.equal(replaced.result.report.tenants, MILLION / 10)
  // What was spent before and meanwhile is spent.
  assert.equal(limiter.peek('tenant-0').remaining, 1)
  assert.equal(limiter.peek('tenant-999').remaining, Math.max(0, 1_001 - 1 - admitted))

  await watched(context, 'amending', () => limiter.upsertTenant('one-more', 7))
  assert.equal(limiter.status().policy.tenants, MILLION / 10 + 1)
  assert.equal(limiter.peek('one-more').limit, 7)
})
