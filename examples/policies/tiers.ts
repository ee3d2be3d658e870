/** Tiers, tenants in them, and rules on top: a policy as a service writes it. */

import type { PolicyDefinition } from 'tollgate'

export const policyDefinition = {
  defaultQuota: 100,
  window: '1m',
  burstAllowance: 20,
  tiers: {
    free: 60,
    pro: { quota: 600, burst: 100 },
    enterprise: { quota: 10_000, algorithm: 'fixed-window' },
  },
  tenantOverrides: {
    // In a tier; in a tier, with more; with a quota of its own; without a limit.
    acme: 'pro',
    globex: { tier: 'enterprise', quota: 20_000 },
    initech: 500,
    internal: 'unlimited',
  },
  rules: [
    // Nobody searches more than 10 times a second, however large the tenant.
    {
      name: 'search',
      match: { method: 'GET', path: '/search' },
      per: ['tenant', 'user'],
      quota: 10,
      window: '1s',
    },
    // Exports are slow: two at a time, and a third is refused until one of them is done.
    {
      name: 'exports',
      match: { path: ['/exports', '/exports/*rest'], tier: ['free', 'pro'] },
      concurrency: 2,
    },
    // Would a monthly limit hurt? It counts and reports, and refuses nothing.
    {
      name: 'reports-monthly',
      match: { path: '/reports/*rest' },
      quota: 1000,
      window: 'month',
      algorithm: 'fixed-window',
      mode: 'shadow',
    },
  ],
  allow: { tenants: ['health'], addresses: ['10.0.0.0/8'] },
  deny: { addresses: ['203.0.113.7', '2001:db8::/32'] },
} satisfies PolicyDefinition
