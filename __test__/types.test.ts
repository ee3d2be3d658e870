import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Request } from 'express'
import { enforceRateLimitPolicy, type Limiter, type RateLimitPolicyOptions } from 'tollgate'

// These compile, or the build fails; little of it needs to run.

async function loadTenantTiers(): Promise<Record<string, { quota: number; burst?: number }>> {
  return { acme: { quota: 1000 } }
}

test('the example of the design is accepted by the types, and by the service without backends', async () => {
  const options = {
    tenantResolutionStrategy: 'header-based',
    policyDefinition: { defaultQuota: 100, burstAllowance: 20, tenantOverrides: await loadTenantTiers() },
    backends: ['redis-cluster-1', 'redis-cluster-2'],
    rollbackThreshold: 0.05,
    metricsExport: 'prometheus',
  } satisfies RateLimitPolicyOptions
  await assert.rejects(enforceRateLimitPolicy(options), { code: 'TOLLGATE_BACKENDS_UNSUPPORTED' })
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
