import assert from 'node:assert/strict'
import { test } from 'node:test'
import express from 'express'
import express4 from 'express4'
import { enforceRateLimitPolicy } from 'tollgate'
import { fakeClock, listen } from './harness.ts'

for (const [name, framework] of [
  ['Express 4', express4],
  ['Express 5', express],
] as const) {
  test(`${name} holds each tenant to its own quota`, async (t) => {
    const clock = fakeClock()
    const limiter = await enforceRateLimitPolicy({
      namespace: t.name,
      policyDefinition: {
        defaultQuota: 2,
        burstAllowance: 1,
        tenantOverrides: { acme: { quota: 3, burst: 2 } },
      },
      clock: clock.now,
    })
    const app = framework()
    app.use(limiter.middleware())
    app.get('/', (req, res) => void res.json(req.rateLimit))
    await using server = await listen(app)
    for (const [tenant, capacity] of [
      ['acme', 5],
      ['other', 3],
    ] as const) {
      for (let left = capacity - 1; left >= 0; left--) {
        const response = await server.get('/', { 'x-tenant-id': tenant })
        assert.equal(response.status, 200)
        assert.equal((response.json() as { remaining: number }).remaining, left)
      }
      const refused = await server.get('/', { 'x-tenant-id': tenant })
      assert.equal(refused.status, 429)
      assert.equal(refused.headers['content-type'], 'application/problem+json')
    }
    clock.advance(30_000)
    assert.equal((await server.get('/', { 'x-tenant-id': 'other' })).status, 200)
    assert.equal((await server.get('/', { 'x-tenant-id': 'other' })).status, 429)
    await limiter.close()
  })
}
