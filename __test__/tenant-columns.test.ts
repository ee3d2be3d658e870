import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TollgateConfigError } from '../ts/errors.ts'
import { grantsOf } from '../ts/grant.ts'
import type { NativeCompiledPolicy, NativePolicyDraft } from '../ts/native.ts'
import type { LimitSpec } from '../ts/policy-spec.ts'
import { compileTenants, tenantIssues } from '../ts/tenants.ts'

const limit: LimitSpec = { quota: 100, burst: 20, windowMs: 60_000, algorithm: 'token-bucket' }
/** Sorted by name, `enterprise` is tier 0, `free` 1 and `pro` 2. */
const grants = grantsOf({
  default: limit,
  tiers: {
    pro: { ...limit, quota: 600, burst: 100 },
    free: { ...limit, quota: 60 },
    enterprise: { quota: 10_000, burst: 0, windowMs: 'month', algorithm: 'fixed-window' },
  },
})

/** A draft that only writes down what it is given. */
class Recording implements NativePolicyDraft {
  readonly rows = new Map<string, number[]>()
  private twice = false

  addTenants(names: string[], ...values: Float64Array[]): void {
    for (const [row, name] of names.entries()) {
      this.twice ||= this.rows.has(name)
      this.rows.set(
        name,
        values.map((column) => column[row]!),
      )
    }
  }

  async compile(): Promise<NativeCompiledPolicy> {
    if (this.twice) throw new Error('TOLLGATE_DUPLICATE_TENANT')
    return { hash: '' } as NativeCompiledPolicy
  }
}

async function columns(source: unknown): Promise<Record<string, number[]>> {
  const draft = new Recording()
  await compileTenants(draft, source, grants)
  return Object.fromEntries(draft.rows)
}

const OVERRIDES = {
  acme: 'pro',
  basic: { tier: 'pro' },
  globex: { tier: 'enterprise', quota: 20_000 },
  hooli: { tier: 'enterprise', burst: 5 },
  initech: 500,
  internal: 'unlimited',
  pied: { quota: 5, burst: 0, window: 'day', algorithm: 'fixed-window' },
  ragu: { tier: 'free', algorithm: 'sliding-window', quota: 'unlimited' },
}

test('tenants are columns of quotas, bursts, windows, and tiers with algorithms', async () => {
  const expected = {
    // Its quota is NaN: it has what its tier has.
    acme: [NaN, 100, 60_000, 24],
    basic: [NaN, 100, 60_000, 24],
    globex: [20_000, 0, -1, 9],
    hooli: [10_000, 5, -1, 9],
    initech: [500, 20, 60_000, 0],
    internal: [Infinity, 20, 60_000, 0],
    pied: [5, 0, 86_400_000, 1],
    ragu: [Infinity, 20, 60_000, 18],
  }
  assert.deepEqual(await columns(OVERRIDES), expected)
  assert.deepEqual(await columns(new Map<string, unknown>(Object.entries(OVERRIDES))), expected)
})

test('rows name a tier, or have a quota, or both', async () => {
  const rows = [
    { tenant: 'a', tier: 'free' },
    { tenant: 'b', tier: 'free', window: '1s' },
    { tenant: 'c', quota: 1 },
  ]
  assert.deepEqual(await columns(rows), {
    a: [NaN, 20, 60_000, 16],
    b: [60, 20, 1000, 16],
    c: [1, 20, 60_000, 0],
  })
})

const faults: [behaviour: string, override: unknown, path: string, said: RegExp][] = [
  ['a tier that there is not', 'prod', '', /no tier has this name, did you mean pro\?/],
  [
    'a tier that there is not, in an object',
    { tier: 'gold' },
    '.tier',
    /no tier has this name; given "gold"/,
  ],
  ['a tier that is a number', { tier: 5 }, '.tier', /given 5; accepted: the name of a tier/],
  ['a name that objects inherit', 'constructor', '', /no tier has this name/],
  ['algorithm without quota', { algorithm: 'fixed-window' }, '.quota', /algorithm without quota/],
  ['an algorithm that there is not', { quota: 1, algorithm: 'x' }, '.algorithm', /'token-bucket' or/],
  ['a month in buckets', { quota: 1, window: 'month' }, '.window', /the algorithm is 'token-bucket'/],
  ['a day in buckets', { quota: 1, window: 'day' }, '.window', /'day' or 'month' with algorithm/],
  [
    'a month that is inherited, in buckets',
    { tier: 'enterprise', algorithm: 'token-bucket' },
    '.algorithm',
    /'month'/,
  ],
  ['a rate above 10^9 a second', { tier: 'free', quota: 1e14 }, '', /1,000,000,000 tokens a second/],
  [
    'a sliding window that counts too far',
    { quota: 16_000, window: 1, algorithm: 'sliding-window', burst: 384 },
    '',
    /at most 16383 tokens/,
  ],
  [
    'a fixed window that counts too far',
    { quota: 1e6, window: 1, algorithm: 'fixed-window', burst: 600_000_000 },
    '',
    /at most 536870911 tokens/,
  ],
]

for (const [behaviour, override, path, said] of faults) {
  test(`${behaviour} is refused, with its path`, async () => {
    const issues = await tenantIssues({ acme: override }, grants)
    assert.equal(issues.length, 1, JSON.stringify(issues))
    assert.equal(issues[0]?.path, `policyDefinition.tenantOverrides.acme${path}`)
    assert.match(new TollgateConfigError(issues).message, said)
  })
}

test('windows as large as the addon counts are accepted', async () => {
  const { sliding, fixed, month } = await columns({
    sliding: { quota: 16_000, window: 1, algorithm: 'sliding-window', burst: 383 },
    fixed: { quota: 1e6, window: 1, algorithm: 'fixed-window', burst: 535_870_911 },
    month: { quota: 1e15, window: 'month', algorithm: 'fixed-window', burst: 0 },
  })
  assert.deepEqual([sliding?.[0], fixed?.[0], month?.[0]], [16_000, 1e6, 1e15])
})

test('a tenant that comes twice is told by its rows, when the policy is compiled', async () => {
  const rows = [
    { tenant: 'a', quota: 1 },
    { tenant: 'b', quota: 1 },
    { tenant: 'a', tier: 'pro' },
  ]
  await assert.rejects(compileTenants(new Recording(), rows, grants), {
    name: 'TollgateConfigError',
    path: 'policyDefinition.tenantOverrides[2].tenant',
  })
})
