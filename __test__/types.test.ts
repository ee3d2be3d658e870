import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Request } from 'express'
import { enforceRateLimitPolicy } from 'tollgate'
import type {
  Limiter,
  PolicyDefinition,
  RateLimitPolicyOptions,
  Rule,
  TenantOverride,
  TenantRow,
} from 'tollgate'

// These compile, or the build fails; little of it needs to run.

async function loadTenantTiers(): Promise<Record<string, { quota: number; burst?: number }>> {
  return { acme: { quota: 1000 } }
}

test('the example of the design is accepted by the types, and runs without its backends', async () => {
  const options = {
    tenantResolutionStrategy: 'header-based',
    policyDefinition: { defaultQuota: 100, burstAllowance: 20, tenantOverrides: await loadTenantTiers() },
    backends: ['redis-cluster-1', 'redis-cluster-2'],
    rollbackThreshold: 0.05,
    metricsExport: 'prometheus',
  } satisfies RateLimitPolicyOptions
  const limiter: Limiter = await enforceRateLimitPolicy({ ...options, namespace: 'design', backends: [] })
  assert.equal(limiter.tryConsume('acme').limit, 1020)
  await limiter.close()
})

test("callbacks may declare their framework's request", async () => {
  await using limiter = await enforceRateLimitPolicy({
    namespace: 'callbacks',
    tenantResolutionStrategy: (req: Request) => req.header('x-org'),
    policyDefinition: { tenantOverrides: loadTenantTiers },
  })
  limiter.middleware({
    skip: (req: Request) => req.path === '/health',
    cost: (req) => (req.method === 'POST' ? 5 : 1),
  })
  // @ts-expect-error -- a strategy that there is not
  await assert.rejects(enforceRateLimitPolicy({ tenantResolutionStrategy: 'cookie' }))
})

test('a policy says what it means, or does not compile', () => {
  const tierOfRow: string = 'pro'
  const rows: TenantRow[] = [
    { tenant: 'a', tier: tierOfRow },
    { tenant: 'b', quota: 5, window: 'day', algorithm: 'fixed-window' },
    // @ts-expect-error -- neither a tier nor a quota
    { tenant: 'c', burst: 5 },
  ]
  const overrides: Record<string, TenantOverride> = {
    a: 'pro',
    b: 'unlimited',
    c: 5,
    d: { tier: 'pro', burst: 1 },
    // @ts-expect-error -- neither a tier nor a quota
    e: { window: '1m' },
  }
  const rules: Rule[] = [
    { name: 'a', quota: 'unlimited', per: 'ip' },
    { name: 'b', concurrency: 1, match: { path: ['/x'] as const }, mode: 'shadow' },
    // @ts-expect-error -- both kinds of limit
    { name: 'c', quota: 1, concurrency: 1 },
    // @ts-expect-error -- requests in flight have no window
    { name: 'd', concurrency: 1, window: '1s' },
    // @ts-expect-error -- an algorithm that there is not
    { name: 'e', quota: 1, algorithm: 'leaky-bucket' },
    // @ts-expect-error -- no limit
    { name: 'f' },
  ]
  const policy: PolicyDefinition = { tiers: { pro: 5 }, tenantOverrides: rows, rules, window: 60_000 }
  const options: RateLimitPolicyOptions = {
    policyDefinition: policy,
    optimizationLevel: 1,
    keys: { region: (req) => req.headers['x-region'], plan: (req: Request) => req.header('x-plan') },
  }
  assert.ok([policy, overrides, options])
})
