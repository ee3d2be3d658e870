import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enforceRateLimitPolicy, type Decision, type Limiter, type Rule } from 'tollgate'
import { left } from './services.ts'

/** What a callback does, once: what it asks of the limiter asks it nothing in turn. */
function once(act: () => void): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    act()
  }
}

function nothing(): void {}

/** The decision on a request that comes by no network. */
function decided(limiter: Limiter, headers: Record<string, string> = {}): Decision {
  const req = { method: 'GET', url: '/', headers: { 'x-tenant-id': 'acme', ...headers } }
  const res = {
    headersSent: true,
    socket: {},
    on: () => undefined,
    off: () => undefined,
    end: () => undefined,
  }
  limiter.middleware()(req as never, res as never)
  return (req as never as { rateLimit: Decision }).rateLimit
}

const byOne: Rule[] = [{ name: 'pair', per: 'zone', quota: 2 }]

test('a key reader that finds another policy in force answers for the one that asked it', async () => {
  let during = nothing
  const options = {
    namespace: 'reentrancy-keys',
    clock: () => 0,
    policyDefinition: { burstAllowance: 0, rules: byOne },
    keys: {
      area: () => 'the area',
      zone: () => {
        during()
        return 'the zone'
      },
    },
  }
  await using limiter = await enforceRateLimitPolicy(options)
  await using other = await enforceRateLimitPolicy(options)
  await other.applyPolicy({ burstAllowance: 0, rules: [{ name: 'pair', per: ['area', 'zone'], quota: 2 }] })
  during = once(() => void limiter.tryConsume('globex'))
  assert.deepEqual(left(decided(limiter)), { pair: 1, default: 99 })
  const request = { keys: { area: 'the area', zone: 'the zone' } }
  assert.deepEqual(left(limiter.peek('acme', { request })), { pair: 1, default: 99 })
})

test('a key reader that charges the limiter itself does not disturb the decision', async () => {
  let during = nothing
  await using limiter = await enforceRateLimitPolicy({
    namespace: 'reentrancy-reader',
    clock: () => 0,
    policyDefinition: { burstAllowance: 0, rules: byOne },
    keys: { zone: () => void during() },
  })
  during = once(() => void limiter.tryConsume('globex', { cost: 30 }))
  assert.deepEqual(left(decided(limiter)), { pair: 1, default: 99 })
})

for (const [name, rules] of [
  ['a quota alone', []],
  ['rules', [{ name: 'pair', quota: 2 }]],
] as const) {
  test(`a clock that asks the limiter does not disturb the decision: ${name}`, async () => {
    let during = nothing
    await using limiter = await enforceRateLimitPolicy({
      namespace: 'reentrancy-clock',
      policyDefinition: { burstAllowance: 0, rules },
      clock: () => {
        during()
        return 0
      },
    })
    const asks: ((inside: Limiter) => unknown)[] = [
      (inside) => inside.tryConsume('globex', { cost: 2 }),
      (inside) => inside.peek('globex', { cost: 50 }),
      (inside) => inside.penalize('globex', 7),
      (inside) => inside.reserve('initech'),
    ]
    const expected = { default: 90, ...(rules.length === 0 ? {} : { pair: 2 }) }
    for (const ask of asks) {
      limiter.reset('acme')
      if (rules.length > 0) limiter.reset('acme', { rule: 'pair' })
      limiter.penalize('acme', 9)
      during = once(() => void ask(limiter))
      const decision = limiter.tryConsume('acme', {})
      assert.deepEqual(left(decision), { ...expected, ...(rules.length === 0 ? {} : { pair: 1 }) })
      during = once(() => void ask(limiter))
      assert.deepEqual(left(limiter.peek('acme', { cost: 0 })), left(decision))
      during = once(() => void ask(limiter))
      const { default: quota } = left(limiter.reward('acme', 4))
      assert.equal(quota, 94)
    }
  })
}

test('a cost callback that charges the limiter does not disturb the decision', async () => {
  await using limiter = await enforceRateLimitPolicy({ namespace: 'reentrancy-cost', clock: () => 0 })
  const handle = limiter.middleware({
    cost: () => {
      limiter.tryConsume('globex', { cost: 50 })
      return 3
    },
    headers: 'none',
  })
  const req = { headers: { 'x-tenant-id': 'acme' } }
  assert.equal(handle(req as never, {} as never), true)
  assert.equal((req as never as { rateLimit: Decision }).rateLimit.remaining, 117)
})
