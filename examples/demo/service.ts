/**
 * A service as it would be written: Express, a policy with tiers, one line of middleware. Run by main.ts in a
 * process of its own; on its own it listens on PORT or 3000.
 */

import type { AddressInfo } from 'node:net'
import express from 'express'
import { enforceRateLimitPolicy } from 'tollgate'
import { nobody, tenantOverrides, tiers, window } from './tenants.ts'

const limiter = await enforceRateLimitPolicy({
  tenantResolutionStrategy: 'header-based',
  policyDefinition: {
    defaultQuota: nobody.quota,
    burstAllowance: nobody.burst,
    window,
    tiers,
    tenantOverrides,
  },
})

const app = express()
app.use(limiter.middleware())
app.get('/', (req, res) => {
  res.json({ hello: req.headers['x-tenant-id'] ?? 'stranger', remaining: req.rateLimit?.remaining })
})

const server = app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port })
})

// Ends with the process that started it, whatever happens to that.
process.on('disconnect', () => process.exit())
