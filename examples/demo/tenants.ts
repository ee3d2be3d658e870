/** The demo's tiers and tenants: what they are granted, and what they ask for. */

export const window = '1s'

/** Requests per second, and on top. */
export const tiers = {
  enterprise: { quota: 600, burst: 200 },
  pro: { quota: 150, burst: 50 },
  free: { quota: 20, burst: 10 },
  suspended: { quota: 0, burst: 0 },
}

/** What tenants have that the policy does not name. */
export const nobody = { quota: 10, burst: 5 }

export interface Tenant {
  name: string
  tier: string
  /** Requests per second. */
  quota: number
  burst: number
  /** Requests per second that the demo sends in its name. */
  sends: number
}

function tenant(name: string, tier: keyof typeof tiers, sends: number): Tenant {
  return { name, tier, ...tiers[tier], sends }
}

const named: readonly Tenant[] = [
  tenant('initech', 'enterprise', 900),
  tenant('globex', 'pro', 300),
  tenant('hooli', 'pro', 100),
  tenant('acme', 'free', 60),
  tenant('umbrella', 'free', 200),
  tenant('vandelay', 'suspended', 20),
]

/** What the policy says of them; the newcomer is not in it. */
export const tenantOverrides = new Map(named.map(({ name, tier }) => [name, tier]))

export const tenants: readonly Tenant[] = [
  ...named,
  { name: 'a newcomer', tier: 'default', ...nobody, sends: 40 },
]
