/** What a fleet may admit in a time, and what it has to. */

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Report } from './fleet-report.ts'

/** A token bucket of a tenant, in a policy's own words. `window` in milliseconds. */
export interface Grant {
  defaultQuota: number
  burstAllowance: number
  window: number
}

/** Until when a lease of an instance is its own, unless options say otherwise; in seconds. */
export const LEASE_TTL = 2

/** What a tenant earns in so many seconds, a full bucket to begin with. */
export function earned({ defaultQuota, burstAllowance, window }: Grant, seconds: number): number {
  return defaultQuota + burstAllowance + (defaultQuota / window) * 1_000 * seconds
}

/** The bound: what was leased in a time may be spent until the lease is over. */
export function most(grant: Grant, seconds: number, leaseTtl = LEASE_TTL): number {
  return Math.floor(earned(grant, seconds + leaseTtl))
}

/** Holds that the admitted are within the bound of one tenant, and at least a share of what it has earned. */
export function assertWithin(t: TestContext, grant: Grant, report: Report, share: number): void {
  const { admitted, seconds } = report
  const [least, bound] = [share * earned(grant, seconds), most(grant, seconds)]
  const used = ((100 * admitted) / earned(grant, seconds)).toFixed(1)
  t.diagnostic(
    `${admitted} admitted in ${seconds.toFixed(2)} s, ${used} % of what was earned; bound ${bound}`,
  )
  t.diagnostic(
    `longest wait ${report.longestWait.toFixed(1)} ms, longest stall ${report.longestStall.toFixed(1)} ms`,
  )
  assert.ok(admitted <= bound, `${admitted} admitted: more than ${bound}`)
  assert.ok(admitted >= least, `${admitted} admitted: less than ${least.toFixed(0)}`)
}
