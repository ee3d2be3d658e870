/**
 * Checks a policy, and folds it into one with nothing left out. Its shape is checked here, and what it means by the addon,
 * which is given the sound parts even if others are not: so every fault is told at once.
 */

import * as v from 'valibot'
import { calendarFault } from './calendar.ts'
import { DAY_MS } from './duration.ts'
import { MOST_ISSUES, type ConfigIssue } from './errors.ts'
import { issueOf, shaped, unknownName, type Fault } from './fault.ts'
import { isWithin, mend } from './policy-mending.ts'
import { asWritten } from './policy-path.ts'
import type { LimitSpec, PolicySpec, RuleSpec } from './policy-spec.ts'
import { printed } from './printed.ts'
import { policyObject, tier, tierName } from './schema/policy.ts'
import { isObject } from './schema/value.ts'
import { isWellFormed } from './tenant-name.ts'

type Declared = v.InferOutput<typeof policyObject>
type DeclaredRule = Declared['rules'][number]
/** What may be left out of a limit. */
type Measure = Partial<Pick<DeclaredRule, 'burst' | 'window' | 'algorithm'>>

/** What a policy is checked against. */
export interface PolicyContext {
  /** What `per` may name besides what it always may. */
  keys: readonly string[]
  unknownTenant: 'default' | 'reject'
  /** Finds what is wrong with a policy whose shape is right, in the JSON of its {@link PolicySpec}. */
  judge: (specJson: string) => readonly Fault[]
}

export interface CheckedPolicy {
  /** Of use only if there are no issues. */
  spec: PolicySpec
  issues: ConfigIssue[]
  tenantOverrides: unknown
  /** In milliseconds. */
  tenantRefresh: number | undefined
}

const ROOT = ['policyDefinition']
/** What `per` may always name. */
const PARTS = ['tenant', 'ip', 'user']

export function checkPolicy(definition: unknown, context: PolicyContext): CheckedPolicy {
  const { output, faults } = shaped(policyObject, definition)
  const declared: Declared = isObject(output) ? output : v.parse(policyObject, {})
  mend(declared, faults)
  const spec = new Reading(faults, (path) => asWritten(path, definition)).policy(declared, context)
  // Nobody reads more, and each is compared with those that the addon finds.
  const judged = faults.length < MOST_ISSUES ? context.judge(JSON.stringify(spec)) : []
  for (const fault of judged) {
    const path = asWritten(fault.path, definition)
    // What stands in for a faulty part is nobody's fault.
    if (!faults.some((known) => isWithin(path, known.path))) faults.push({ ...fault, path })
  }
  return {
    spec,
    issues: faults.map((fault) => issueOf(fault, ROOT)),
    tenantOverrides: declared.tenantOverrides,
    tenantRefresh: declared.tenantRefresh,
  }
}

/** Fills in what was left out, and collects what shapes alone do not tell. */
class Reading {
  constructor(
    private readonly faults: Fault[],
    private readonly written: (path: Fault['path']) => Fault['path'],
  ) {}

  policy(declared: Declared, { keys, unknownTenant }: PolicyContext): PolicySpec {
    const base: LimitSpec = {
      quota: declared.defaultQuota,
      burst: declared.burstAllowance,
      ...this.measure(declared, { windowMs: DAY_MS, algorithm: 'token-bucket' }, []),
    }
    const tiers = Object.entries(declared.tiers).map(
      ([name, given]) => [name, this.tier(name, given, base)] as const,
    )
    const parts = [...new Set([...PARTS, ...keys])]
    return {
      default: base,
      unknownTenant,
      // Defines properties, where an assignment would not for each name.
      tiers: Object.fromEntries(tiers.filter(([name]) => isWellFormed(name))),
      rules: declared.rules.map((rule, index) => this.rule(rule, index, base, parts)),
      allow: declared.allow,
      deny: declared.deny,
      caseSensitive: declared.caseSensitivePaths,
      strictPaths: declared.strictPaths,
    }
  }

  private tier(name: string, given: unknown, base: LimitSpec): LimitSpec {
    const path = ['tiers', name]
    for (const fault of shaped(tierName, name).faults) {
      this.faults.push({ ...fault, path, hint: 'not the name of a tier' })
    }
    const { output, faults } = shaped(tier, given)
    this.faults.push(...faults.map((fault) => ({ ...fault, path: [...path, ...fault.path] })))
    if (!isObject(output)) return { ...base, quota: faults.length === 0 ? output : 'unlimited' }
    mend(output, faults)
    const { quota, burst = base.burst } = output
    return { quota, burst, ...this.measure(output, base, path) }
  }

  private rule(given: DeclaredRule, index: number, base: LimitSpec, parts: readonly string[]): RuleSpec {
    const path = ['rules', index]
    for (const [place, part] of given.per.entries()) {
      if (!parts.includes(part))
        this.faults.push(unknownPart(part, parts, this.written([...path, 'per', place])))
    }
    const { name, match, per, quota, burst, concurrency, cost, mode } = given
    const { method = [], path: paths = [], tier: tiers = [], tenant = [] } = match
    const rule = { name, match: { method, path: paths, tier: tiers, tenant }, per, cost, mode }
    if (quota !== undefined && concurrency === undefined) {
      // A burst of its own: the policy's would come on top of each rule.
      return { ...rule, quota, burst: burst ?? 0, ...this.measure(given, base, path) }
    }
    // Both or neither is for the addon to refuse, which is told what was given.
    const { algorithm } = given
    const windowMs = given.window === 'day' ? DAY_MS : given.window
    return { ...rule, quota, burst, windowMs, algorithm, concurrency }
  }

  private measure(
    { window, algorithm }: Measure,
    base: Pick<LimitSpec, 'windowMs' | 'algorithm'>,
    path: Fault['path'],
  ): Pick<LimitSpec, 'windowMs' | 'algorithm'> {
    const counted = algorithm ?? base.algorithm
    const windowMs = window === 'day' ? DAY_MS : (window ?? base.windowMs)
    const fault = calendarFault(window, windowMs === 'month', counted)
    if (fault === undefined) return { windowMs, algorithm: counted }
    const { field, accepted, hint } = fault
    const given = printed(field === 'window' ? window : algorithm)
    this.faults.push({ path: [...path, field], given, accepted, hint })
    return { windowMs: DAY_MS, algorithm: counted }
  }
}

function unknownPart(part: string, parts: readonly string[], path: Fault['path']): Fault {
  const accepted = parts.map((name) => `'${name}'`).join(', ')
  return {
    path,
    given: printed(part),
    accepted,
    hint: unknownName('no key of that name in keys', part, parts),
  }
}
