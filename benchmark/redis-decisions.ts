/** One decision at once, with a backend and without. */

import { setTimeout } from 'node:timers/promises'
import { enforceRateLimitPolicy } from 'tollgate'
import { WINDOW_MS } from './limiters.ts'
import { calling, measure, type Measured } from './measure.ts'

/** More than is ever asked for. */
const QUOTA = 1_000_000_000

export interface Decisions {
  measured: Measured[]
  /** Of the decisions that were timed with a backend, the share that was admitted: a refusal costs something else. */
  admitted: number
}

export async function redisDecisions(
  url: string,
  tenants: readonly string[],
  rounds: number,
  count: number,
): Promise<Decisions> {
  const policyDefinition = { defaultQuota: QUOTA, burstAllowance: 0, window: WINDOW_MS }
  const namespace = 'benchmark-decisions'
  const alone = await enforceRateLimitPolicy({ namespace: `${namespace}-alone`, policyDefinition })
  const shared = await enforceRateLimitPolicy({ namespace, policyDefinition, backends: [url] })
  for (const tenant of tenants) await shared.consume(tenant)
  const decided = { admitted: 0, asked: 0 }
  const one = calling('tollgate', tenants, (tenant) => alone.tryConsume(tenant))
  const other = calling('tollgate, Redis', tenants, (tenant) => {
    decided.asked += 1
    if (shared.tryConsume(tenant).allowed) decided.admitted += 1
  })
  // Demand is learned over some rounds, and a turn of the event loop between them.
  for (let round = 0; round < 10; round += 1) {
    await other.run(count / 10)
    await setTimeout(100)
  }
  decided.admitted = decided.asked = 0
  const measured = await measure([one, other], rounds, count)
  await Promise.all([alone.close(), shared.close()])
  return { measured, admitted: decided.admitted / decided.asked }
}
