/** What rules cost a decision: none, one and four that match, with and without a path to look at. */

import { enforceRateLimitPolicy, type ConsumeOptions, type Limiter, type Rule } from 'tollgate'
import { WINDOW_MS } from './limiters.ts'
import { calling, measure, tenantNames, type Measured } from './measure.ts'

const QUOTA = 1_000_000_000
const RULES = [0, 1, 2, 4]
const REQUEST: ConsumeOptions = { request: { method: 'GET', path: '/api/search/widgets' } }

export const name = (rules: number, path: boolean): string =>
  rules === 0 ? 'quota alone' : `${rules} ${rules === 1 ? 'rule' : 'rules'}${path ? ' by path' : ''}`

export async function ruleCosts(rounds: number, count: number): Promise<Measured[]> {
  const names = tenantNames(1000)
  const limiters: Limiter[] = []
  const contenders = []
  for (const path of [false, true]) {
    for (const rules of path ? RULES.slice(1) : RULES) {
      const limiter = await limiterOf(rules, path)
      limiters.push(limiter)
      const options = path ? REQUEST : undefined
      assertCharged(limiter, rules, options)
      contenders.push(calling(name(rules, path), names, (tenant) => limiter.tryConsume(tenant, options)))
    }
  }
  const measured = await measure(contenders, rounds, count)
  await Promise.all(limiters.map((limiter) => limiter.close()))
  return measured
}

/** What one rule more costs, from one to four, in nanoseconds. */
export function perRule(measured: readonly Measured[], path: boolean): number {
  const at = (rules: number): number =>
    measured.find((each) => each.name === name(rules, path))?.median ?? NaN
  return (at(4) - at(1)) / 3
}

function limiterOf(count: number, path: boolean): Promise<Limiter> {
  const match = path ? { method: 'GET', path: '/api/search/:thing' } : undefined
  const rules = Array.from(
    { length: count },
    // Each of its own burst, because rules that do the same are one.
    (_, index): Rule => ({ name: `rule-${index}`, match, quota: QUOTA, burst: index, window: WINDOW_MS }),
  )
  return enforceRateLimitPolicy({
    namespace: `benchmark-rules-${count}-${path}`,
    policyDefinition: { defaultQuota: QUOTA, burstAllowance: 0, window: WINDOW_MS, rules },
  })
}

function assertCharged(limiter: Limiter, rules: number, options: ConsumeOptions | undefined): void {
  const { limits } = limiter.tryConsume('a tenant', options)
  if (limits.length !== rules + 1) throw new Error(`${limits.length} limits were charged, not ${rules + 1}`)
}
