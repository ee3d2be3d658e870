/** What policies cost to compile, in bytes and time, and what a decision costs under a small and under a large one. */

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { enforceRateLimitPolicy, type Limiter, type TenantOverride } from 'tollgate'
import { WINDOW_MS } from './limiters.ts'
import { calling, measure, median, tenantNames, type Measured } from './measure.ts'

export const FEW = 127
export const MANY = 1_000_000
const QUOTA = 1_000_000_000

export interface Compiled {
  tenants: number
  /** From the call to a limiter, in milliseconds. */
  readyMs: number
  imageBytes: number
  /** The longest that the event loop was held meanwhile, in milliseconds. */
  longestHoldMs: number
}

export interface Policies {
  compiled: Compiled[]
  measured: Measured[]
}

export async function policies(rounds: number, count: number): Promise<Policies> {
  const names = tenantNames(MANY)
  const [few, small] = await smallPolicy(names.slice(0, FEW))
  const [many, large] = await opened('many', names)
  // The same tenants under both: what differs is the policy, not how much of a table is in the processor's cache.
  const asked = names.slice(0, FEW)
  const contenders = [small, large].map((limiter, index) =>
    calling(index === 0 ? `${FEW} overrides` : `${MANY} overrides`, asked, (tenant) =>
      limiter.tryConsume(tenant),
    ),
  )
  const measured = await measure(contenders, rounds, count)
  await Promise.all([small.close(), large.close()])
  return { compiled: [few, many], measured }
}

/** The median of many, since one takes less than the timer's grain. */
async function smallPolicy(names: readonly string[]): Promise<[Compiled, Limiter]> {
  const taken: number[] = []
  for (let turn = 0; turn < 50; turn += 1) {
    const [{ readyMs }, limiter] = await opened(`few-${turn}`, names)
    taken.push(readyMs)
    await limiter.close()
  }
  const [compiled, limiter] = await opened('few', names)
  return [{ ...compiled, readyMs: median(taken) }, limiter]
}

async function opened(namespace: string, names: readonly string[]): Promise<[Compiled, Limiter]> {
  // Limits that all differ where there are few, and a thousand different ones where there are many.
  const tenantOverrides = new Map<string, TenantOverride>(
    names.map((name, index) => [name, { quota: QUOTA - (index % 1000), burst: 0 }]),
  )
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const start = performance.now()
  const limiter = await enforceRateLimitPolicy({
    namespace: `benchmark-policies-${namespace}`,
    policyDefinition: { defaultQuota: QUOTA, burstAllowance: 0, window: WINDOW_MS, tenantOverrides },
  })
  const readyMs = performance.now() - start
  delay.disable()
  const { tenants, imageBytes } = limiter.status().policy
  return [{ tenants, readyMs, imageBytes, longestHoldMs: delay.max / 1e6 }, limiter]
}
