import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Fault } from '../ts/fault.ts'
import { checkPolicy, type CheckedPolicy } from '../ts/policy.ts'
import type { PolicySpec, RuleSpec } from '../ts/policy-spec.ts'
import { policyDefinition as tiers } from '../examples/policies/tiers.ts'

/** Checks a policy that the addon finds nothing wrong with, or these faults. */
function check(definition: unknown, judged: Fault[] = [], keys: string[] = []): CheckedPolicy {
  return checkPolicy(definition, { keys, unknownTenant: 'default', judge: () => judged })
}

function specOf(definition: unknown, keys: string[] = []): PolicySpec {
  const { spec, issues } = check(definition, [], keys)
  assert.deepEqual(issues, [])
  // What is undefined does not come to the addon.
  return JSON.parse(JSON.stringify(spec)) as PolicySpec
}

const rules = (...of: object[]): object => ({ rules: of })
const DAY = 24 * 60 * 60 * 1000

test('a policy comes to the addon with nothing left out', () => {
  const limit = { burst: 20, windowMs: 60_000, algorithm: 'token-bucket' }
  const any = { method: [], path: [], tier: [], tenant: [] }
  assert.deepEqual(specOf(tiers), {
    default: { quota: 100, ...limit },
    unknownTenant: 'default',
    tiers: {
      free: { quota: 60, ...limit },
      pro: { quota: 600, ...limit, burst: 100 },
      enterprise: { quota: 10_000, ...limit, algorithm: 'fixed-window' },
    },
    rules: [
      {
        name: 'search',
        match: { ...any, method: ['GET'], path: ['/search'] },
        per: ['tenant', 'user'],
        mode: 'enforce',
        quota: 10,
        burst: 0,
        windowMs: 1000,
        algorithm: 'token-bucket',
      },
      {
        name: 'exports',
        match: { ...any, path: ['/exports', '/exports/*rest'], tier: ['free', 'pro'] },
        per: ['tenant'],
        mode: 'enforce',
        concurrency: 2,
      },
      {
        name: 'reports-monthly',
        match: { ...any, path: ['/reports/*rest'] },
        per: ['tenant'],
        mode: 'shadow',
        quota: 1000,
        burst: 0,
        windowMs: 'month',
        algorithm: 'fixed-window',
      },
    ],
    allow: { tenants: ['health'], addresses: ['10.0.0.0/8'] },
    deny: { tenants: [], addresses: ['203.0.113.7', '2001:db8::/32'] },
    caseSensitive: false,
    strictPaths: false,
  })
})

test('a policy that says nothing is 100 a minute and a burst of 20', () => {
  const nothing = { tenants: [], addresses: [] }
  assert.deepEqual(specOf({}), {
    default: { quota: 100, burst: 20, windowMs: 60_000, algorithm: 'token-bucket' },
    unknownTenant: 'default',
    tiers: {},
    rules: [],
    allow: nothing,
    deny: nothing,
    caseSensitive: false,
    strictPaths: false,
  })
})

test('a rule takes window and algorithm from the policy, and has no burst but its own', () => {
  const definition = {
    window: 'day',
    algorithm: 'fixed-window',
    ...rules(
      { name: 'a', quota: 5 },
      { name: 'b', quota: 5, burst: 1, window: '1s', algorithm: 'sliding-window' },
    ),
  }
  const limits = specOf(definition).rules.map(({ burst, windowMs, algorithm }) => [
    burst,
    windowMs,
    algorithm,
  ])
  assert.deepEqual(limits, [
    [0, DAY, 'fixed-window'],
    [1, 1000, 'sliding-window'],
  ])
})

test('methods are told in capitals', () => {
  assert.deepEqual(
    specOf(rules({ name: 'a', quota: 1, match: { method: ['get', 'Post'] } })).rules[0]?.match.method,
    ['GET', 'POST'],
  )
})

test('names that objects inherit name tiers like any other', () => {
  const named = JSON.parse('{"constructor":1,"__proto__":2,"toString":{"quota":3}}') as object
  const names = ['constructor', '__proto__', 'toString']
  const spec = specOf({ tiers: named })
  assert.deepEqual(Object.keys(spec.tiers), names)
  assert.deepEqual(
    Object.values(spec.tiers).map(({ quota }) => quota),
    [1, 2, 3],
  )
})

test('a rule may be per key, if there is a function for it', () => {
  const perRegion = rules({ name: 'a', quota: 1, per: ['tenant', 'region'] })
  assert.deepEqual(specOf(perRegion, ['region']).rules[0]?.per, ['tenant', 'region'])
})

const faults: [behaviour: string, definition: unknown, path: string, said: RegExp][] = [
  ['a policy that is null', null, '', /an object with defaultQuota/],
  ['a policy that is a list', [], '', /an array of 0/],
  ['an unknown option', { tires: {} }, 'tires', /did you mean tiers\?/],
  ['an algorithm that there is not', { algorithm: 'leaky' }, 'algorithm', /'token-bucket' or 'fixed-window'/],
  ['a month of another algorithm', { window: 'month' }, 'window', /the algorithm is 'token-bucket'/],
  ['a day of another algorithm', { window: 'day', algorithm: 'sliding-window' }, 'window', /given "day"/],
  ['a week', { window: 'week' }, 'window', /'day' or 'month'/],
  ['tiers that are a list', { tiers: ['free'] }, 'tiers', /an object of tiers by name/],
  ['a tier that is a word', { tiers: { free: 'some' } }, 'tiers.free', /'unlimited', or \{ quota/],
  ['a tier without quota', { tiers: { free: { burst: 1 } } }, 'tiers.free.quota', /quota is missing/],
  ['an infinite tier', { tiers: { free: Infinity } }, 'tiers.free', /written 'unlimited'/],
  [
    'a tier that is called unlimited',
    { tiers: { unlimited: 5 } },
    'tiers.unlimited',
    /other than 'unlimited'/,
  ],
  ['a tier whose name is a phrase', { tiers: { 'a b': 5 } }, 'tiers["a b"]', /not the name of a tier/],
  [
    'a tier by the month in buckets',
    { tiers: { free: { quota: 1, window: 'month' } } },
    'tiers.free.window',
    /'fixed-window'/,
  ],
  [
    'a tier that inherits a month it cannot count',
    { window: 'month', algorithm: 'fixed-window', tiers: { free: { quota: 1, algorithm: 'token-bucket' } } },
    'tiers.free.algorithm',
    /would be 'month'/,
  ],
  ['rules that are an object', { rules: {} }, 'rules', /a list of rules/],
  ['a rule that is null', rules({ name: 'a', quota: 1 }, null as never), 'rules[1]', /a rule \{ name/],
  ['a rule without a name', rules({ quota: 1 }), 'rules[0].name', /name is missing/],
  ['a rule named default', rules({ name: 'default', quota: 1 }), 'rules[0].name', /the tenant's own quota/],
  ['a rule named with a space', rules({ name: 'a b', quota: 1 }), 'rules[0].name', /1 to 64/],
  ['an unknown option of a rule', rules({ name: 'a', qouta: 1 }), 'rules[0].qouta', /did you mean quota\?/],
  [
    'an unknown field to match',
    rules({ name: 'a', quota: 1, match: { verb: 'GET' } }),
    'rules[0].match.verb',
    /path/,
  ],
  [
    'a path that is a number',
    rules({ name: 'a', quota: 1, match: { path: 1 } }),
    'rules[0].match.path',
    /given 1/,
  ],
  [
    'a path in a list that is a number',
    rules({ name: 'a', quota: 1, match: { path: ['/', 1] } }),
    'rules[0].match.path[1]',
    /given 1/,
  ],
  [
    'a list of no paths',
    rules({ name: 'a', quota: 1, match: { path: [] } }),
    'rules[0].match.path',
    /array of 0/,
  ],
  [
    'a concurrency of nothing',
    rules({ name: 'a', concurrency: 0 }),
    'rules[0].concurrency',
    /from 1 to 2147483648/,
  ],
  [
    'a mode that there is not',
    rules({ name: 'a', quota: 1, mode: 'dry' }),
    'rules[0].mode',
    /'enforce' or 'shadow'/,
  ],
  [
    'a rule per what there is not',
    rules({ name: 'a', quota: 1, per: 'usr' }),
    'rules[0].per',
    /did you mean user\?/,
  ],
  [
    'a rule per a key without a function',
    rules({ name: 'a', quota: 1, per: ['tenant', 'region'] }),
    'rules[0].per[1]',
    /no key of that name in keys.*'tenant', 'ip', 'user'/,
  ],
  ['an address that is a number', { deny: { addresses: [5] } }, 'deny.addresses[0]', /'10\.0\.0\.0\/8'/],
  ['an empty tenant that is allowed', { allow: { tenants: [''] } }, 'allow.tenants[0]', /1 to 256 bytes/],
  ['strictPaths that is a word', { strictPaths: 'yes' }, 'strictPaths', /true or false/],
]

for (const [behaviour, definition, path, said] of faults) {
  test(`${behaviour} is refused, with its path`, () => {
    const { issues } = check(definition)
    const [issue] = issues
    assert.equal(issues.length, 1, JSON.stringify(issues))
    assert.equal(issue?.path, path === '' ? 'policyDefinition' : `policyDefinition.${path}`)
    assert.match(`${issue?.hint}; given ${issue?.given}; accepted: ${issue?.accepted}`, said)
  })
}

test('what is sound is judged together with what is not, under its own index', () => {
  let judged: PolicySpec | undefined
  const definition = {
    defaultQuota: -1,
    tiers: { free: 'some', pro: { quota: 1, brust: 2 } },
    rules: [
      { name: 'a', quota: -1, match: { path: '//x' } },
      { name: 'b', concurrency: 1, match: { path: ['/ok', 5], tier: 'gold' } },
      5,
      { quota: 1, per: 'nobody', match: { path: '/y' } },
    ],
  }
  const { issues } = checkPolicy(definition, {
    keys: [],
    unknownTenant: 'reject',
    judge: (json) => {
      judged = JSON.parse(json) as PolicySpec
      return [
        { path: ['rules', 0, 'match', 'path', 0], given: '//x', accepted: 'single slashes' },
        { path: ['rules', 1, 'match', 'path', 1], given: '', accepted: 'a path' },
        { path: ['rules', 1, 'match', 'tier', 0], given: 'gold', accepted: 'free, pro' },
        { path: ['rules', 2, 'name'], given: 'unnamed.2', accepted: 'another name' },
      ]
    },
  })
  assert.deepEqual(issues.map(({ path }) => path.replace('policyDefinition.', '')).toSorted(), [
    'defaultQuota',
    'rules[0].match.path',
    'rules[0].quota',
    'rules[1].match.path[1]',
    'rules[1].match.tier',
    'rules[2]',
    'rules[3].name',
    'rules[3].per',
    'tiers.free',
    'tiers.pro.brust',
  ])
  assert.deepEqual(Object.keys(judged?.tiers ?? {}), ['free', 'pro'])
  assert.equal(judged?.unknownTenant, 'reject')
  assert.equal(judged?.rules.length, 4)
  assert.equal(new Set(judged?.rules.map(({ name }) => name)).size, 4)
})

test('what stands in for a fault makes no other', () => {
  const definition = {
    burstAllowance: -1,
    tiers: { a: { quota: 1e15, window: 'x' } },
    rules: [
      { name: 'a', quota: 1e15, burst: -1, cost: 1e15 },
      { name: 'b', concurrency: -1, cost: 100 },
    ],
  }
  const { spec } = check(definition)
  assert.deepEqual(
    [spec.default, ...Object.values(spec.tiers), ...spec.rules].map(
      ({ quota, concurrency }: Partial<RuleSpec>) => [quota, concurrency],
    ),
    [
      ['unlimited', undefined],
      ['unlimited', undefined],
      ['unlimited', undefined],
      [undefined, 2 ** 31],
    ],
  )
})

test('what the addon finds is told where it was written', () => {
  const definition = {
    tiers: { free: 60, pro: { quota: 600 } },
    rules: [{ name: 'a', match: { path: '/a', tier: ['x'] }, quota: 1 }],
  }
  const places: [Fault['path'], string][] = [
    [['defaultQuota'], 'defaultQuota'],
    [['tiers', 'free', 'quota'], 'tiers.free'],
    [['tiers', 'pro', 'window'], 'tiers.pro.window'],
    [['rules', 0, 'match', 'path', 0], 'rules[0].match.path'],
    [['rules', 0, 'match', 'tier', 0], 'rules[0].match.tier[0]'],
    [['rules', 0, 'concurrency'], 'rules[0].concurrency'],
    [[], ''],
  ]
  for (const [path, written] of places) {
    const { issues } = check(definition, [{ path, given: 'x', accepted: 'y' }])
    assert.deepEqual(
      issues.map((issue) => issue.path),
      [written === '' ? 'policyDefinition' : `policyDefinition.${written}`],
    )
  }
})

test('a rule with both kinds of limit, or with neither, is left to the addon as it was given', () => {
  const [both, neither] = specOf(
    rules({ name: 'a', quota: 1, window: 'day', concurrency: 2 }, { name: 'b', burst: 3 }),
  ).rules
  const { quota, windowMs, concurrency, algorithm } = both!
  assert.deepEqual(
    { quota, windowMs, concurrency, algorithm },
    { quota: 1, windowMs: DAY, concurrency: 2, algorithm: undefined },
  )
  assert.deepEqual(Object.keys(neither!).toSorted(), ['burst', 'match', 'mode', 'name', 'per'])
})

test('what is not well-formed text is told here, and does not come to the addon', () => {
  const lone = 'a\ud800'
  const definition = {
    tiers: { [lone]: 5 },
    rules: [
      { name: lone, quota: 1, per: lone, match: { method: lone, path: [lone], tier: lone, tenant: lone } },
    ],
    deny: { tenants: [lone], addresses: [lone] },
  }
  let judged = ''
  const judge = (json: string): Fault[] => {
    judged = json
    return []
  }
  const { issues } = checkPolicy(definition, { keys: [], unknownTenant: 'default', judge })
  assert.doesNotMatch(judged, /ud800/)
  assert.deepEqual(issues.map(({ path }) => path.replace('policyDefinition.', '')).toSorted(), [
    'deny.addresses[0]',
    'deny.tenants[0]',
    'rules[0].match.method',
    'rules[0].match.path[0]',
    'rules[0].match.tenant',
    'rules[0].match.tier',
    'rules[0].name',
    'rules[0].per',
    'tiers["a\\ud800"]',
  ])
})

test('a policy that was checked is not changed, however faulty', () => {
  const definition = { tiers: { free: { quota: -1 } }, rules: [{ name: 5, match: { path: [1] }, per: 'x' }] }
  const before = structuredClone(definition)
  assert.ok(check(definition).issues.length >= 4)
  assert.deepEqual(definition, before)
})
