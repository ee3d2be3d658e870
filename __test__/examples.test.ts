import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import express from 'express'
import { parse } from 'yaml'
import { enforceRateLimitPolicy, type Limiter, type PolicyDefinition } from 'tollgate'
import { policyDefinition as tiers } from '../examples/policies/tiers.ts'
import { fakeClock } from './harness.ts'
import { left, served } from './services.ts'

const START = Date.UTC(2024, 1, 29, 12)
const clock = fakeClock(START)

async function loadTenantTiers(): Promise<Record<string, number>> {
  return { acme: 1_000, trial: 10 }
}

function limiterOf(policyDefinition: PolicyDefinition): Promise<Limiter> {
  return enforceRateLimitPolicy({ namespace: 'examples', policyDefinition, clock: clock.now })
}

test('the object of the design works, as far as it goes without backends', async () => {
  const limiter = await enforceRateLimitPolicy({
    tenantResolutionStrategy: 'header-based',
    policyDefinition: {
      defaultQuota: 100,
      burstAllowance: 20,
      tenantOverrides: await loadTenantTiers(),
    },
    backends: [],
    rollbackThreshold: 0.05,
    metricsExport: 'prometheus',
  })
  await using server = await served(limiter, express())
  const policyOf = async (tenant: string): Promise<unknown> =>
    (await server.get('/', { 'x-tenant-id': tenant })).headers['ratelimit-policy']
  assert.equal(await policyOf('acme'), '"default";q=1000;w=60')
  assert.equal(await policyOf('trial'), '"default";q=10;w=60')
  assert.equal(await policyOf('anybody'), '"default";q=100;w=60')
  assert.equal(limiter.peek('acme').limit, 1_020)
})

test('nothing at all is a policy: 100 a minute and a burst of 20', async () => {
  await using limiter = await enforceRateLimitPolicy()
  assert.equal(limiter.tryConsume('acme').remaining, 119)
})

test('examples/policies/tiers.ts: tenants in tiers, and rules on top', async () => {
  await using limiter = await limiterOf(tiers)
  const search = { request: { method: 'GET', path: '/search', user: 'ann' } }
  const exported = { request: { path: '/exports/2024' } }
  assert.deepEqual(left(limiter.peek('acme', search)), { search: 10, default: 700 })
  assert.deepEqual(left(limiter.peek('acme', exported)), { exports: 2, default: 700 })
  // Not in the tiers that the rule is for.
  assert.deepEqual(left(limiter.peek('globex', exported)), { default: 20_020 })
  assert.deepEqual(left(limiter.peek('initech', search)), { search: 10, default: 520 })
  assert.deepEqual(left(limiter.peek('internal', search)), { search: 10 })
  for (let turn = 0; turn < 10; turn++) assert.equal(limiter.tryConsume('initech', search).allowed, true)
  assert.equal(limiter.tryConsume('initech', search).rule, 'search')
  const reports = { request: { path: '/reports/7' } }
  limiter.tryConsume('initech', { ...reports, cost: 500 })
  assert.deepEqual(left(limiter.peek('initech', reports)), { default: 10, 'reports-monthly': 500 })
  const { limits } = limiter.peek('initech', reports)
  assert.equal(limits.find(({ rule }) => rule === 'reports-monthly')?.resetMs, Date.UTC(2024, 2) - START)
  assert.equal(limiter.peek('health', search).limit, Infinity)
  assert.equal(limiter.peek('acme', { request: { ip: '10.9.8.7' } }).limit, Infinity)
  assert.equal(limiter.peek('acme', { request: { ip: '2001:db8::1' } }).reason, 'denied')
})

test('examples/policies/gateway.yaml: a policy out of a file, over HTTP', async () => {
  const text = await readFile(new URL('../examples/policies/gateway.yaml', import.meta.url), 'utf8')
  const limiter = await limiterOf(parse(text) as PolicyDefinition)
  await using server = await served(limiter)
  const policy = async (tenant: string, method: string, path: string): Promise<unknown> => {
    const headers = { 'x-tenant-id': tenant, 'x-forwarded-for': '192.0.2.1' }
    return (await server.get(path, headers, method)).headers['ratelimit-policy']
  }
  assert.equal(await policy('acme', 'POST', '/login'), '"login";q=5;w=60, "default";q=600;w=60')
  assert.equal(await policy('acme', 'POST', '/api/orders'), '"writes";q=20;w=10, "default";q=600;w=60')
  assert.equal(await policy('globex', 'POST', '/api/orders'), '"default";q=5000000;w=2505600')
  assert.equal(await policy('acme', 'GET', '/reports/7/pdf/2'), '"default";q=600;w=60')
  assert.equal(await policy('acme', 'GET', '/reports/7/pdf'), '"reports";q=100;w=86400, "default";q=600;w=60')
  assert.equal(
    await policy('acme', 'PUT', '/files/a/b'),
    '"uploads";q=4;qu="concurrent-requests", "default";q=600;w=60',
  )
  assert.equal(await policy('acme', 'GET', '/search'), '"default";q=600;w=60')
  assert.equal(await policy('internal', 'GET', '/'), undefined)
  // Five logins of one address, whatever tenants it names.
  for (const tenant of ['a', 'b', 'c', 'd']) await policy(tenant, 'POST', '/login')
  const refused = await server.get('/login', { 'x-forwarded-for': '192.0.2.1' }, 'POST')
  assert.deepEqual((refused.json() as Record<string, unknown>)['violated-policies'], ['login'])
  assert.equal((await server.get('/', { 'x-forwarded-for': '203.0.113.7' })).status, 403)
})
