import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { test } from 'node:test'
import { enforceRateLimitPolicy, type Decision, type TenantResolutionStrategy } from 'tollgate'

/** The tenant that a request is charged to, without a server around it: undefined if to its client's address. */
async function tenantOf(strategy: TenantResolutionStrategy, request: object): Promise<string | undefined> {
  await using limiter = await enforceRateLimitPolicy({
    namespace: 'strategies',
    tenantResolutionStrategy: strategy,
  })
  const req = {
    headers: {},
    socket: { remoteAddress: '198.51.100.1' },
    url: '/',
    ...request,
  } as IncomingMessage & {
    rateLimit: Decision
  }
  assert.equal(await limiter.middleware({ headers: 'none' })(req, {} as ServerResponse), true)
  return req.rateLimit.tenant
}

const header = (name: string, value: unknown): object => ({ headers: { [name]: value } })
const latin1 = (text: string): string => Buffer.from(text).toString('latin1')

const found: [
  behaviour: string,
  strategy: TenantResolutionStrategy,
  request: object,
  tenant: string | undefined,
][] = [
  ['x-tenant-id names the tenant', 'header-based', header('x-tenant-id', 'acme'), 'acme'],
  ['another header can', { strategy: 'header-based', header: 'X-Org' }, header('x-org', 'acme'), 'acme'],
  [
    'a header in UTF-8 is read as it was meant',
    'header-based',
    header('x-tenant-id', latin1('köln-東京')),
    'köln-東京',
  ],
  ['a header in invalid UTF-8 names nobody', 'header-based', header('x-tenant-id', 'a\xff'), undefined],
  ['a header in overlong UTF-8 names nobody', 'header-based', header('x-tenant-id', '\xc1\xa1'), undefined],
  [
    'a header with U+FFFD is a name of its own',
    'header-based',
    header('x-tenant-id', latin1('a\ufffd')),
    'a\ufffd',
  ],
  ['an empty header names nobody', 'header-based', header('x-tenant-id', ''), undefined],
  ['a header of 257 bytes names nobody', 'header-based', header('x-tenant-id', 'x'.repeat(257)), undefined],
  [
    'a header of 256 bytes names a tenant',
    'header-based',
    header('x-tenant-id', 'x'.repeat(256)),
    'x'.repeat(256),
  ],
  [
    'a byte order mark is part of a name',
    'header-based',
    header('x-tenant-id', latin1('\ufeffacme')),
    '\ufeffacme',
  ],
  ['a header that came twice is a name of its own', 'header-based', header('x-tenant-id', 'a, b'), 'a, b'],
  ['no header names nobody', 'header-based', {}, undefined],
  ['x-api-key names the tenant', 'api-key', header('x-api-key', 'k1'), 'k1'],
  [
    'a key is looked up',
    { strategy: 'api-key', lookup: (key) => ({ k1: 'acme' })[key] },
    header('x-api-key', 'k1'),
    'acme',
  ],
  [
    'a key is looked up elsewhere',
    { strategy: 'api-key', lookup: async () => 'acme' },
    header('x-api-key', 'k1'),
    'acme',
  ],
  [
    'a key that is looked up may be longer than a name',
    { strategy: 'api-key', lookup: (key) => (key.length === 2_000 ? 'acme' : undefined) },
    header('x-api-key', 'k'.repeat(2_000)),
    'acme',
  ],
  [
    'a key that nobody knows names nobody',
    { strategy: 'api-key', lookup: () => undefined },
    header('x-api-key', 'k2'),
    undefined,
  ],
  ['no key is not looked up', { strategy: 'api-key', lookup: () => assert.fail() }, {}, undefined],
  [
    'the first of three labels names the tenant',
    'subdomain',
    header('host', 'ACME.example.com:8080'),
    'acme',
  ],
  ['a bare domain names nobody', 'subdomain', header('host', 'example.com'), undefined],
  ['an address names nobody', 'subdomain', header('host', '10.0.0.1:80'), undefined],
  ['an IPv6 host names nobody', 'subdomain', header('host', '[2001:db8::1]:80'), undefined],
  [
    'the label left of the domain names the tenant',
    { strategy: 'subdomain', domain: 'api.Example.com' },
    header('host', 'acme.api.example.com.'),
    'acme',
  ],
  [
    'a deeper label belongs to that tenant',
    { strategy: 'subdomain', domain: 'example.com' },
    header('host', 'www.acme.example.com'),
    'acme',
  ],
  [
    'another domain names nobody',
    { strategy: 'subdomain', domain: 'example.com' },
    header('host', 'acme.example.com.evil.net'),
    undefined,
  ],
  [
    'a suffix of a label is not the domain',
    { strategy: 'subdomain', domain: 'example.com' },
    header('host', 'acme.notexample.com'),
    undefined,
  ],
  [
    'the hostname of a framework goes before',
    'subdomain',
    { hostname: 'acme.example.com', headers: { host: 'x.y.z' } },
    'acme',
  ],
  ['the first segment names the tenant', 'path', { url: '/acme/orders?x=/y' }, 'acme'],
  ['any segment can', { strategy: 'path', segment: 1 }, { url: '/t/acme' }, 'acme'],
  ['doubled slashes do not count', 'path', { url: '//acme//orders' }, 'acme'],
  ['a segment is percent-decoded', 'path', { url: '/k%C3%B6ln' }, 'köln'],
  ['a segment that does not decode names nobody', 'path', { url: '/%ff' }, undefined],
  ['a path without the segment names nobody', 'path', { url: '/?a' }, undefined],
  [
    'the path before a router strips it counts',
    'path',
    { url: '/orders', originalUrl: '/acme/orders' },
    'acme',
  ],
  ['a whole URL has a path too', 'path', { url: 'http://host.test/acme?x' }, 'acme'],
  ['the address names the tenant', 'ip', {}, '198.51.100.1'],
  ['the address that a framework trusts names the tenant', 'ip', { ip: '::ffff:203.0.113.9' }, '203.0.113.9'],
  ['an address that cannot be read names nobody', 'ip', { ip: 'garbage' }, undefined],
  ['a claim of req.auth names the tenant', 'jwt-claim', { auth: { tenant_id: 'acme' } }, 'acme'],
  ['a claim of req.auth.payload does', 'jwt-claim', { auth: { payload: { tenant_id: 'acme' } } }, 'acme'],
  ['a claim of req.user does', { strategy: 'jwt-claim', claim: 'org' }, { user: { org: 42 } }, '42'],
  [
    'a token that nobody has verified names nobody',
    'jwt-claim',
    header('authorization', 'Bearer eyJhbGciOiJub25lIn0.eyJ0ZW5hbnRfaWQiOiJhY21lIn0.'),
    undefined,
  ],
  ['a claim that is an object names nobody', 'jwt-claim', { user: { tenant_id: {} } }, undefined],
  [
    'what every object inherits is no claim',
    { strategy: 'jwt-claim', claim: 'constructor' },
    { user: {} },
    undefined,
  ],
  ['a function names the tenant', (req) => req.url?.slice(1), { url: '/acme' }, 'acme'],
  ['an async function does', async () => 'acme', {}, 'acme'],
  ['a function that gives null names nobody', () => null, {}, undefined],
]

for (const [behaviour, strategy, request, tenant] of found) {
  test(behaviour, async () => assert.equal(await tenantOf(strategy, request), tenant))
}

test('a resolver that gives what is not a string is an error, not an anonymous request', async () => {
  const number = (() => 42) as unknown as () => string
  await assert.rejects(tenantOf(number, {}), {
    code: 'TOLLGATE_INVALID_TENANT',
    message: /resolver returned 42/,
  })
  const later = (async () => ({})) as unknown as () => Promise<string>
  await assert.rejects(tenantOf(later, {}), { code: 'TOLLGATE_INVALID_TENANT' })
})

test('requests without a tenant are told apart by address, and never meet a tenant of that name', async () => {
  const policyDefinition = { defaultQuota: 1, burstAllowance: 0 }
  await using limiter = await enforceRateLimitPolicy({
    namespace: 'anonymous',
    policyDefinition,
    clock: () => 0,
  })
  const handler = limiter.middleware({ headers: 'none', onLimited: () => undefined })
  const admit = (remoteAddress: string): unknown =>
    handler(
      { headers: {}, socket: { remoteAddress } } as IncomingMessage,
      {
        setHeader: () => undefined,
      } as unknown as ServerResponse,
    )
  assert.equal(admit('198.51.100.1'), true)
  assert.equal(admit('::ffff:198.51.100.1'), false)
  assert.equal(admit('198.51.100.2'), true)
  assert.equal(admit('2001:db8::1'), true)
  assert.equal(admit('2001:db8:0:ff::2'), false)
  assert.equal(limiter.tryConsume('198.51.100.1').allowed, true)
})
