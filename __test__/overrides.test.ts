import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enforceRateLimitPolicy, type TenantOverrides } from 'tollgate'

const QUOTAS = {
  gold: 1000,
  trial: { quota: 10, burst: 0 },
  daily: { quota: 50, window: '1d' },
  none: 0,
} as const

const sources: [
  form: string,
  overrides: TenantOverrides | (() => TenantOverrides | Promise<TenantOverrides>),
][] = [
  ['a record', { ...QUOTAS, root: 'unlimited' }],
  [
    'a record without a prototype',
    Object.assign(Object.create(null), { ...QUOTAS, root: 'unlimited' }) as TenantOverrides,
  ],
  [
    'a Map',
    new Map<string, number | 'unlimited' | { quota: number }>([
      ...Object.entries(QUOTAS),
      ['root', 'unlimited'],
    ]),
  ],
  [
    'rows',
    [
      { tenant: 'gold', quota: 1000 },
      { tenant: 'trial', quota: 10, burst: 0 },
      { tenant: 'daily', quota: 50, window: 86_400_000 },
      { tenant: 'none', quota: 0 },
      { tenant: 'root', quota: 'unlimited' },
    ],
  ],
  ['a function', () => ({ ...QUOTAS, root: 'unlimited' as const })],
  ['an async function', async () => ({ ...QUOTAS, root: 'unlimited' as const })],
]

const hashes = new Set<string>()

for (const [form, tenantOverrides] of sources) {
  test(`overrides in ${form} take from the defaults what they leave out`, async () => {
    await using limiter = await enforceRateLimitPolicy({
      namespace: form,
      policyDefinition: { burstAllowance: 5, window: '10s', tenantOverrides },
      clock: () => 0,
    })
    assert.equal(limiter.peek('gold').limit, 1005)
    assert.equal(limiter.peek('trial').limit, 10)
    assert.equal(limiter.peek('other').limit, 105)
    assert.equal(limiter.peek('root').limit, Infinity)
    assert.equal(limiter.tryConsume('root', { cost: 1e9 }).allowed, true)
    // 50 a day and 5 on top: an empty bucket fills in 1.1 days.
    assert.equal(limiter.tryConsume('daily', { cost: 55 }).resetMs, 95_040_000)
    const { allowed, reason, retryAfterMs } = limiter.tryConsume('none')
    assert.deepEqual(
      { allowed, reason, retryAfterMs },
      { allowed: false, reason: 'denied', retryAfterMs: Infinity },
    )
    assert.equal(limiter.status().policy.tenants, 5)
    hashes.add(limiter.status().policy.hash)
  })
}

test('the same overrides are the same policy, in whatever form', () => assert.equal(hashes.size, 1))

test('names that objects inherit are names like any other', async () => {
  const tenantOverrides = JSON.parse('{"__proto__":1,"constructor":2,"toString":3}') as Record<string, number>
  await using limiter = await enforceRateLimitPolicy({
    namespace: 'inherited',
    policyDefinition: { burstAllowance: 0, tenantOverrides },
  })
  const limits = ['__proto__', 'constructor', 'toString', 'valueOf'].map((name) => limiter.peek(name).limit)
  assert.deepEqual(limits, [1, 2, 3, 100])
})
