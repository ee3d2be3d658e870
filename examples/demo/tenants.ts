/** The demo's tenants: what they are granted, and what they ask for. */

export const window = '1s'

export interface Tenant {
  name: string
  tier: string
  /** Requests per second. */
  quota: number
  burst: number
  /** Requests per second that the demo sends in its name. */
  sends: number
}

export const tenants: readonly Tenant[] = [
  { name: 'initech', tier: 'enterprise', quota: 600, burst: 200, sends: 900 },
  { name: 'globex', tier: 'pro', quota: 150, burst: 50, sends: 300 },
  { name: 'hooli', tier: 'pro', quota: 150, burst: 50, sends: 100 },
  { name: 'acme', tier: 'free', quota: 20, burst: 10, sends: 60 },
  { name: 'umbrella', tier: 'free', quota: 20, burst: 10, sends: 200 },
  { name: 'vandelay', tier: 'suspended', quota: 0, burst: 0, sends: 20 },
  { name: 'a newcomer', tier: 'default', quota: 10, burst: 5, sends: 40 },
]

/** What the policy says of them; the newcomer is not in it. */
export const tenantOverrides = new Map(
  tenants.filter(({ tier }) => tier !== 'default').map(({ name, quota, burst }) => [name, { quota, burst }]),
)
