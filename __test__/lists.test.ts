import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enforceRateLimitPolicy, type Limiter, type PolicyDefinition } from 'tollgate'
import { listen, type Answer } from './harness.ts'
import { FRAMEWORKS } from './services.ts'

const LISTS = {
  allow: { tenants: ['partner'], addresses: ['10.0.0.0/8', '198.51.100.7', '2001:db8:1::/48'] },
  deny: { tenants: ['bad'], addresses: ['203.0.113.7', '10.66.0.0/16', '2001:db8:1:bad::/64'] },
} satisfies PolicyDefinition

/** One a minute for everybody, and nothing for a path, unless a list says otherwise. */
const policyDefinition: PolicyDefinition = {
  defaultQuota: 1,
  burstAllowance: 0,
  tenantOverrides: { closed: 0 },
  rules: [{ name: 'closed', match: { path: '/closed' }, quota: 0 }],
  ...LISTS,
}

function limiterOf(policy = policyDefinition): Promise<Limiter> {
  return enforceRateLimitPolicy({ namespace: 'lists', policyDefinition: policy, clock: () => 0 })
}

/** Not a refusal that more quota would end: there are no limits to tell of. */
function assertForbidden(answer: Answer): void {
  assert.equal(answer.status, 403)
  assert.equal(answer.headers['content-type'], 'application/problem+json')
  assert.equal((answer.json() as { title: string }).title, 'Forbidden')
  assert.equal(answer.headers['retry-after'], undefined)
  assert.equal(answer.headers.ratelimit, undefined)
}

for (const [name, before] of FRAMEWORKS.slice(0, 2)) {
  test(`${name}: addresses are allowed and denied by network, and the deny list is above the other`, async () => {
    await using limiter = await limiterOf()
    await using server = await listen(before(limiter.middleware(), (_req, res) => void res.end('in')))
    const from = (address: string, path = '/'): Promise<Answer> =>
      server.get(path, { 'x-forwarded-for': address, 'x-tenant-id': 'acme' })
    for (const address of [
      '10.1.2.3',
      '::ffff:10.1.2.3',
      '198.51.100.7',
      '2001:db8:1::7',
      '2001:DB8:1:0:0::8',
    ]) {
      for (let turn = 0; turn < 3; turn++) {
        const answer = await from(address, '/closed')
        assert.deepEqual([answer.status, answer.headers.ratelimit], [200, undefined], address)
      }
    }
    for (const address of [
      '203.0.113.7',
      '::ffff:203.0.113.7',
      '::ffff:cb00:7107',
      '10.66.1.1',
      '2001:db8:1:bad::9',
    ]) {
      assertForbidden(await from(address))
    }
    for (const address of ['203.0.113.8', '11.0.0.1', 'not an address', '10.0.0.1, 192.0.2.1']) {
      limiter.reset('acme')
      assert.equal((await from(address)).headers.ratelimit, '"default";r=0;t=60', address)
    }
  })
}

for (const [name, before] of FRAMEWORKS) {
  test(`${name}: tenants are allowed and denied by name`, async () => {
    await using limiter = await limiterOf()
    await using server = await listen(before(limiter.middleware(), (_req, res) => void res.end('in')))
    const as = (tenant: string, path = '/'): Promise<Answer> => server.get(path, { 'x-tenant-id': tenant })
    for (let turn = 0; turn < 3; turn++) assert.equal((await as('partner', '/closed')).status, 200)
    assertForbidden(await as('bad'))
    assertForbidden(await as('bad', '/closed'))
    assert.deepEqual([(await as('Bad')).status, (await as('Bad')).status], [200, 429])
    // A quota of nothing is a quota.
    assert.equal((await as('closed')).status, 429)
  })
}

test('lists of tenants alone, and lists of addresses alone', async () => {
  const tenants = { allow: { tenants: ['partner'] }, deny: { tenants: ['bad'] } }
  const addresses = { allow: { addresses: ['10.0.0.0/8'] }, deny: { addresses: ['10.66.0.0/16'] } }
  for (const [lists, denied, allowed] of [
    [tenants, { 'x-tenant-id': 'bad' }, { 'x-tenant-id': 'partner' }],
    [addresses, { 'x-forwarded-for': '10.66.0.1' }, { 'x-forwarded-for': '10.0.0.1' }],
  ] as const) {
    await using limiter = await limiterOf({ defaultQuota: 1, burstAllowance: 0, ...lists })
    const [, before] = FRAMEWORKS[1]!
    await using server = await listen(before(limiter.middleware(), (_req, res) => void res.end('in')))
    assertForbidden(await server.get('/', denied))
    assert.deepEqual(
      [(await server.get('/', allowed)).status, (await server.get('/', allowed)).status],
      [200, 200],
    )
  }
})

test('who is denied is answered by onLimited, too, and is not an unknown tenant', async () => {
  const limiter = await enforceRateLimitPolicy({
    namespace: 'lists-unknown',
    unknownTenant: 'reject',
    policyDefinition: { ...policyDefinition, tenantOverrides: { acme: 1 } },
  })
  const handle = limiter.middleware({
    statusCode: 503,
    onLimited: (_req, res, _next, { reason, limits }) =>
      res.end(`${res.statusCode} ${reason} ${limits.length}`),
  })
  await using server = await listen(async (req, res) => {
    if (await handle(req, res)) res.end('in')
  })
  const as = async (tenant: string): Promise<string> =>
    (await server.get('/', { 'x-tenant-id': tenant })).body
  assert.deepEqual(
    [await as('bad'), await as('nobody'), await as('partner')],
    ['403 denied 0', '403 denied 0', 'in'],
  )
  assert.deepEqual([await as('acme'), await as('acme')], ['in', '503 quota 1'])
  await limiter.close()
})

test('without HTTP, the service says the address', async () => {
  await using limiter = await limiterOf()
  const from = (ip: string | undefined): string => limiter.tryConsume('acme', { request: { ip } }).reason
  assert.deepEqual(
    [from('10.1.2.3'), from('10.66.0.1'), from('::ffff:203.0.113.7'), from('fe80::1%eth0'), from(undefined)],
    ['ok', 'denied', 'denied', 'ok', 'quota'],
  )
  assert.equal(limiter.peek('bad', { request: { ip: '10.1.2.3' } }).reason, 'ok')
  assert.deepEqual(
    [
      limiter.tryConsume('partner').limit,
      limiter.tryConsume('bad').retryAfterMs,
      limiter.tryConsume('bad').limits,
    ],
    [Infinity, Infinity, []],
  )
})

test('an address is on a list whether or not a proxy hands on its port', async () => {
  const ips = ['203.0.113.7:51234', '[2001:db8:1:bad::9]:443', '::ffff:203.0.113.7']
  for (const ip of ips) {
    await using limiter = await enforceRateLimitPolicy({
      namespace: `lists-port-${ip}`,
      policyDefinition: { deny: { addresses: ['203.0.113.7', '2001:db8:1:bad::/64'] } },
      clientIp: () => ip,
    })
    assert.equal(limiter.tryConsume('acme', { request: { ip } }).reason, 'denied', ip)
    const handle = limiter.middleware()
    await using server = await listen((req, res) => {
      if (handle(req, res) === true) res.end()
    })
    assert.equal((await server.get('/', { 'x-tenant-id': 'acme' })).status, 403, ip)
  }
})

test('the address is asked for once, whoever wants to know it', async () => {
  let asked = 0
  await using limiter = await enforceRateLimitPolicy({
    namespace: 'lists-once',
    tenantResolutionStrategy: 'ip',
    policyDefinition: {
      deny: { addresses: ['192.0.2.1'] },
      rules: [{ name: 'client', per: 'ip', quota: 5 }],
    },
    clientIp: () => {
      asked += 1
      return '203.0.113.7:51234'
    },
  })
  const [first, second] = [limiter.middleware(), limiter.middleware({ rule: 'client' })]
  await using server = await listen((req, res) => {
    if (first(req, res) === true && second(req, res) === true) res.end()
  })
  assert.equal((await server.get()).status, 200)
  assert.equal(asked, 1)
  const { limits } = limiter.peek('203.0.113.7', { request: { ip: '203.0.113.7' } })
  assert.deepEqual(
    limits.map(({ remaining }) => remaining),
    [4, 119],
  )
})
