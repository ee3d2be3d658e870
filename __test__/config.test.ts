import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  enforceRateLimitPolicy,
  TollgateConfigError,
  TollgateError,
  type RateLimitPolicyOptions,
} from 'tollgate'

/** What a service in JavaScript may pass. */
async function refusal(options: unknown): Promise<TollgateConfigError> {
  try {
    await (await enforceRateLimitPolicy(options as RateLimitPolicyOptions)).close()
  } catch (error) {
    assert.ok(error instanceof TollgateConfigError, String(error))
    assert.ok(error instanceof TollgateError)
    assert.equal(error.name, 'TollgateConfigError')
    return error
  }
  return assert.fail('it was accepted')
}

const overrides = (tenantOverrides: unknown): unknown => ({ policyDefinition: { tenantOverrides } })
const policy = (policyDefinition: unknown): unknown => ({ policyDefinition })
const fleet = (options: object): unknown => ({ backends: ['redis://127.0.0.1:1'], ...options })
const LONG = 'x'.repeat(257)

const faults: [behaviour: string, options: unknown, path: string, said: RegExp][] = [
  ['an unknown option', { maxKey: 5000 }, 'maxKey', /unknown option, did you mean maxKeys\?/],
  [
    'an unknown option of a policy',
    policy({ defaultQuotas: 1 }),
    'policyDefinition.defaultQuotas',
    /defaultQuota\?/,
  ],
  ['an unknown option that every object has', { constructor: 1 }, 'constructor', /unknown option/],
  ['an own __proto__', JSON.parse('{"__proto__":{"maxKeys":1}}'), '__proto__', /unknown option/],
  ['options that are an array', [], '', /given an array of 0/],
  [
    'a NaN quota',
    policy({ defaultQuota: NaN }),
    'policyDefinition.defaultQuota',
    /given NaN; accepted: a whole number/,
  ],
  ['a negative quota', policy({ defaultQuota: -1 }), 'policyDefinition.defaultQuota', /given -1/],
  ['a fractional quota', policy({ defaultQuota: 0.5 }), 'policyDefinition.defaultQuota', /given 0\.5/],
  ['a quota in a string', policy({ defaultQuota: '10' }), 'policyDefinition.defaultQuota', /given "10"/],
  [
    'an infinite quota',
    policy({ defaultQuota: Infinity }),
    'policyDefinition.defaultQuota',
    /written 'unlimited'/,
  ],
  ['a fractional burst', policy({ burstAllowance: 1.5 }), 'policyDefinition.burstAllowance', /given 1\.5/],
  ['a window of digits', policy({ window: '60' }), 'policyDefinition.window', /given "60".*'1m'/],
  ['a window that does not parse', policy({ window: 'soon' }), 'policyDefinition.window', /given "soon"/],
  ['an empty window', policy({ window: '' }), 'policyDefinition.window', /given ""/],
  ['a window of nothing', policy({ window: 0 }), 'policyDefinition.window', /given 0/],
  ['a window of 367 days', policy({ window: '367d' }), 'policyDefinition.window', /366 days/],
  ['a window in part of a millisecond', policy({ window: 0.5 }), 'policyDefinition.window', /given 0\.5/],
  [
    'a rate above 10^9 a second',
    policy({ defaultQuota: 1_000_001, window: 1 }),
    'policyDefinition.defaultQuota',
    /1,000,000,000/,
  ],
  [
    'a bucket that fills in 37 years',
    policy({ defaultQuota: 1, burstAllowance: 40, window: '366d' }),
    'policyDefinition.defaultQuota',
    /36 years/,
  ],
  [
    'an override that is negative',
    overrides({ acme: { quota: -5 } }),
    'policyDefinition.tenantOverrides.acme.quota',
    /given -5/,
  ],
  [
    'an override in a number that is NaN',
    overrides({ acme: NaN }),
    'policyDefinition.tenantOverrides.acme',
    /given NaN/,
  ],
  [
    'an override that is null',
    overrides({ acme: null }),
    'policyDefinition.tenantOverrides.acme',
    /given null/,
  ],
  [
    'burst without quota',
    overrides({ acme: { burst: 5 } }),
    'policyDefinition.tenantOverrides.acme.quota',
    /burst without quota/,
  ],
  [
    'window without quota',
    overrides({ acme: { window: '1m' } }),
    'policyDefinition.tenantOverrides.acme.quota',
    /window without quota/,
  ],
  [
    'an unknown option of an override',
    overrides({ acme: { quota: 1, brust: 5 } }),
    'policyDefinition.tenantOverrides.acme.brust',
    /did you mean burst\?/,
  ],
  [
    'an override whose rate is too high',
    overrides({ acme: { quota: 2e9, window: '1s' } }),
    'policyDefinition.tenantOverrides.acme',
    /1,000,000,000/,
  ],
  [
    'an override whose window does not parse',
    overrides({ acme: { quota: 1, window: 'x' } }),
    'policyDefinition.tenantOverrides.acme.window',
    /given "x"/,
  ],
  [
    'an empty tenant name',
    overrides({ '': 1 }),
    'policyDefinition.tenantOverrides',
    /not a tenant name; given ""/,
  ],
  [
    'a tenant name of 257 bytes',
    overrides({ [LONG]: 1 }),
    'policyDefinition.tenantOverrides',
    /257 characters/,
  ],
  [
    'a tenant name of 258 bytes in 86 characters',
    overrides({ ['€'.repeat(86)]: 1 }),
    'policyDefinition.tenantOverrides',
    /256 bytes/,
  ],
  [
    'a tenant name with a lone surrogate',
    overrides(new Map([['a\ud800', 1]])),
    'policyDefinition.tenantOverrides',
    /"a\\ud800"/,
  ],
  [
    'a tenant name that is a number',
    overrides(new Map([[5, 1]])),
    'policyDefinition.tenantOverrides',
    /given 5/,
  ],
  [
    'duplicate rows',
    overrides([
      { tenant: 'a', quota: 1 },
      { tenant: 'b', quota: 1 },
      { tenant: 'a', quota: 2 },
    ]),
    'policyDefinition.tenantOverrides[2].tenant',
    /rows 0 and 2 name the same tenant/,
  ],
  [
    'a row without a tenant',
    overrides([{ quota: 1 }]),
    'policyDefinition.tenantOverrides[0].tenant',
    /given undefined/,
  ],
  [
    'a row that is a number',
    overrides([5]),
    'policyDefinition.tenantOverrides[0]',
    /given 5; accepted: \{ tenant, quota/,
  ],
  [
    'overrides that are a Set',
    overrides(new Set(['a'])),
    'policyDefinition.tenantOverrides',
    /a record, a Map or an array/,
  ],
  [
    'overrides that are a string',
    overrides('acme'),
    'policyDefinition.tenantOverrides',
    /a record, a Map or an array/,
  ],
  [
    'a promise of overrides',
    overrides(Promise.resolve({})),
    'policyDefinition.tenantOverrides',
    /a function that gives one/,
  ],
  [
    'a loader that gives nothing',
    overrides(() => undefined),
    'policyDefinition.tenantOverrides',
    /given undefined/,
  ],
  [
    'a strategy that there is not',
    { tenantResolutionStrategy: 'cookie' },
    'tenantResolutionStrategy',
    /'header-based'/,
  ],
  [
    'a strategy object that there is not',
    { tenantResolutionStrategy: { strategy: 'cookie' } },
    'tenantResolutionStrategy.strategy',
    /'header-based'/,
  ],
  [
    'an unknown option of a strategy',
    { tenantResolutionStrategy: { strategy: 'path', segmnt: 1 } },
    'tenantResolutionStrategy.segmnt',
    /did you mean segment\?/,
  ],
  [
    'a header that is not a field name',
    { tenantResolutionStrategy: { strategy: 'header-based', header: 'a b' } },
    'tenantResolutionStrategy.header',
    /name of a header/,
  ],
  ['missingTenant that there is not', { missingTenant: 'allow' }, 'missingTenant', /'anonymous' or 'reject'/],
  ['unknownTenant that there is not', { unknownTenant: null }, 'unknownTenant', /given null/],
  ['an empty namespace', { namespace: '' }, 'namespace', /1 to 256/],
  ['maxKeys below 1,024', { maxKeys: 1000 }, 'maxKeys', /1024 to 100000000/],
  ['a keyShare of 0', { keyShare: 0 }, 'keyShare', /above 0/],
  ['an ipv6Subnet of 16', { ipv6Subnet: 16 }, 'ipv6Subnet', /32 to 128/],
  ['a clock that is a number', { clock: 5 }, 'clock', /a function/],
  ['a clock that gives NaN', { clock: () => NaN }, 'clock', /returned NaN/],
  ['a rollbackThreshold of 5 %', { rollbackThreshold: 5 }, 'rollbackThreshold', /from 0 to 1/],
  ['metricsExport that there is not', { metricsExport: 'statsd' }, 'metricsExport', /'prometheus' or 'none'/],
  ['an optimizationLevel of 3', { optimizationLevel: 3 }, 'optimizationLevel', /0, 1 or 2/],
  ['a key without a function', { keys: { region: 'x-region' } }, 'keys.region', /a function/],
  ['a key that is there already', { keys: { tenant: () => 'a' } }, 'keys.tenant', /which is there already/],
  ['a key whose name is a phrase', { keys: { 'a b': () => 'a' } }, 'keys["a b"]', /1 to 64/],
  ['keys in a list', { keys: [() => 'a'] }, 'keys', /an object of functions/],
  [
    'a rule per a key without a function',
    policy({ rules: [{ name: 'a', quota: 1, per: 'region' }] }),
    'policyDefinition.rules[0].per',
    /no key of that name/,
  ],
  [
    'a tenant in a tier that there is not',
    policy({ tiers: { pro: 5 }, tenantOverrides: { acme: 'prod' } }),
    'policyDefinition.tenantOverrides.acme',
    /did you mean pro\?/,
  ],
  ['backends that are a string', { backends: 'redis' }, 'backends', /an array/],
  ['nine backends', { backends: [...'abcdefghi'] }, 'backends', /at most 8/],
  ['a backend without a name', { backends: ['redis-1', ''] }, 'backends[1]', /given ""; accepted: a URL/],
  ['a backend that is a number', { backends: [6379] }, 'backends[0]', /given 6379/],
  ['a backend twice', { backends: ['a', 'b', 'a'] }, 'backends[2]', /each backend once/],
  ['a maxWait of 11 seconds', fleet({ maxWait: '11s' }), 'maxWait', /from 0 to 10 s/],
  ['a maxWait of digits', fleet({ maxWait: '50' }), 'maxWait', /given "50".*'50ms'/],
  ['a syncInterval of 5 ms', fleet({ syncInterval: 5 }), 'syncInterval', /10 ms to 10 s/],
  ['a leaseTtl of 61 seconds', fleet({ leaseTtl: '61s' }), 'leaseTtl', /200 ms to 60 s/],
  [
    'a leaseTtl that leaves no time to renew leases',
    fleet({ leaseTtl: '1s', syncInterval: '300ms' }),
    'leaseTtl',
    /given "1s"; accepted: at least four times syncInterval, which is 300 ms/,
  ],
  ['a backendTimeout of nothing', fleet({ backendTimeout: 0 }), 'backendTimeout', /50 ms to 10 s/],
  ['a coldStart that there is not', fleet({ coldStart: 'warm' }), 'coldStart', /'wait' or 'credit'/],
  ['a credit of nothing', fleet({ coldStart: 'credit', credit: 0 }), 'credit', /1 to 1000000/],
  ['a credit that nobody spends', fleet({ credit: 5 }), 'credit', /with coldStart: 'credit'/],
  [
    'an onBackendFailure that there is not',
    fleet({ onBackendFailure: 'open' }),
    'onBackendFailure',
    /'local' or 'allow' or 'deny'/,
  ],
  ['a clock of tests with backends', fleet({ clock: () => 0 }), 'clock', /without backends/],
  ['a maxWait without backends', { maxWait: '50ms' }, 'maxWait', /maxWait says nothing without backends/],
  ['onBackendFailure without backends', { onBackendFailure: 'deny' }, 'onBackendFailure', /given "deny"/],
]

for (const [behaviour, options, path, said] of faults) {
  test(`${behaviour} is refused, with its path`, async () => {
    const error = await refusal(options)
    assert.equal(error.code, 'TOLLGATE_CONFIG')
    assert.equal(error.path, path)
    assert.match(error.message, said)
    assert.equal(error.issues.length, 1, error.message)
  })
}

test('every fault is named, in one error', async () => {
  const error = await refusal({
    maxKeys: 1,
    nmespace: 'x',
    tenants: 1,
    policyDefinition: {
      window: 'x',
      defaultQuota: -1,
      tiers: { pro: { quota: 'lots' } },
      rules: [{ name: 'a', quota: 1, mode: 'dry' }],
      tenantOverrides: { acme: 'pro', globex: -1 },
    },
  })
  const paths = error.issues.map((issue) => issue.path).toSorted()
  assert.deepEqual(paths, [
    'maxKeys',
    'nmespace',
    'policyDefinition.defaultQuota',
    'policyDefinition.rules[0].mode',
    'policyDefinition.tenantOverrides.globex',
    'policyDefinition.tiers.pro.quota',
    'policyDefinition.window',
    'tenants',
  ])
  for (const path of paths) assert.ok(error.message.includes(path), path)
})

test('a table full of faults gives a message that can be read', async () => {
  const rows = Array.from({ length: 20_000 }, (_, row) => ({ tenant: `t${row}`, quota: -1 }))
  const error = await refusal(overrides(rows))
  assert.equal(error.issues.length, 1000)
  assert.ok(error.message.length < 3000)
  assert.match(error.message, /and 990 more$/)
})

test('what an error shows of a value is escaped and cut short', async () => {
  const error = await refusal({ missingTenant: `\u001b[2J\u009b\u202e${'x'.repeat(1e6)}` })
  assert.ok(error.message.length < 300)
  // eslint-disable-next-line no-control-regex -- controls are what is looked for
  assert.doesNotMatch(error.message, /[\u0000-\u001f\u007f-\u009f\u202e]/)
})

test('a loader that throws gives TOLLGATE_TENANT_LOADER with its cause', async () => {
  const cause = new Error('the database is away')
  for (const loader of [
    () => Promise.reject(cause),
    () => {
      throw cause
    },
  ]) {
    const error = await refusal(overrides(loader))
    assert.equal(error.code, 'TOLLGATE_TENANT_LOADER')
    assert.equal(error.path, 'policyDefinition.tenantOverrides')
    assert.equal(error.cause, cause)
    assert.match(error.message, /the database is away/)
  }
})

test('an empty list of backends is a process by itself, whatever else is said of them', async () => {
  const options = { backends: [], onBackendFailure: 'deny', leaseTtl: '5s', maxWait: 0 } as const
  await using limiter = await enforceRateLimitPolicy({
    ...options,
    rollbackThreshold: 0.05,
    metricsExport: 'prometheus',
  })
  assert.equal(limiter.tryConsume('a').allowed, true)
  const { backends, instances, liveInstances } = limiter.status()
  assert.deepEqual([backends, instances.length, liveInstances], [[], 1, 1])
})

test('a fault does not show the password of a backend', async () => {
  for (const backends of [
    'redis://me:s3cret@redis-1:6379',
    ['redis://me:s3cret@redis-1', 'redis://me:s3cret@redis-1'],
    [`redis://${'m'.repeat(50)}:s3cret/@redis-1:6379`, `redis://${'m'.repeat(50)}:s3cret/@redis-1:6379`],
    [`ftp://:s3cret@redis-1`],
  ]) {
    const error = await refusal({ backends })
    assert.doesNotMatch(JSON.stringify([error.message, error.issues]), /s3c/)
    assert.match(error.path, /^backends/)
    assert.match(error.given, /redis-1|:\*\*\*@/)
  }
})

test('a policy that was refused leaves its namespace free', async () => {
  await refusal({ namespace: 'half', ...(overrides({ a: -1 }) as object) })
  const limiter = await enforceRateLimitPolicy({ namespace: 'half' })
  assert.equal(limiter.tryConsume('a').limit, 120)
  await limiter.close()
})

test('one namespace takes one policy', async () => {
  const first = await enforceRateLimitPolicy({ namespace: 'one' })
  const error = await refusal({ namespace: 'one', policyDefinition: { defaultQuota: 5 } })
  assert.equal(error.code, 'TOLLGATE_NAMESPACE_CONFLICT')
  assert.equal(error.path, 'namespace')
  const second = await enforceRateLimitPolicy({ namespace: 'one' })
  first.tryConsume('shared')
  assert.equal(second.peek('shared').remaining, 119)
  await first.close()
  await second.close()
  await (await enforceRateLimitPolicy({ namespace: 'one', policyDefinition: { defaultQuota: 5 } })).close()
})

test('options of a mount are checked when it is mounted', async () => {
  const limiter = await enforceRateLimitPolicy({ namespace: 'mounts' })
  const wrong: [object, string][] = [
    [{ cots: 1 }, 'middleware.cots'],
    [{ cost: -1 }, 'middleware.cost'],
    [{ headers: 'draft-7' }, 'middleware.headers'],
    [{ statusCode: 200 }, 'middleware.statusCode'],
    [{ skip: true }, 'middleware.skip'],
  ]
  for (const [options, path] of wrong) {
    assert.throws(() => limiter.middleware(options), { name: 'TollgateConfigError', path })
  }
  await limiter.close()
})
