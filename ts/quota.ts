/** Quotas of tenants: what their numbers may be, and what they take from their tier and the policy's defaults. */

import { calendarFault } from './calendar.ts'
import { ACCEPTED_WINDOW, DAY_MS, milliseconds } from './duration.ts'
import type { ConfigIssue } from './errors.ts'
import { hintFor, issueOf, unknownName } from './fault.ts'
import { algorithmOf, MONTH, unenforceable, withAlgorithm, type Grant, type Grants } from './grant.ts'
import type { Algorithm } from './policy-types.ts'
import { printed } from './printed.ts'
import {
  ACCEPTED_ALGORITHM,
  ACCEPTED_QUOTA,
  ACCEPTED_TOKENS,
  ALGORITHMS,
  isObject,
  isTokens,
} from './schema/value.ts'

const ACCEPTED_TIER = 'the name of a tier'
const ACCEPTED_OVERRIDE = `${ACCEPTED_QUOTA}, ${ACCEPTED_TIER}, or { quota, tier?, burst?, window?, algorithm? }`
const ACCEPTED_ROW = '{ tenant, quota, tier?, burst?, window?, algorithm? }'

const FIELDS = ['tier', 'quota', 'burst', 'window', 'algorithm']
const ROW_FIELDS = ['tenant', ...FIELDS]

type Path = readonly (string | number)[]

/** Reads overrides one after another, and collects their faults. */
export class QuotaReader {
  // Rows tend to repeat a handful of windows, and parsing one costs as much as the rest of its row.
  private readonly windows = new Map<string, number | undefined>()

  constructor(
    private readonly grants: Grants,
    private readonly report: (issue: ConfigIssue) => void,
  ) {}

  /** Reads a value into `grant`; false if it had a fault, which is reported under the path that `at` gives. */
  read(value: unknown, grant: Grant, at: () => Path, row: boolean): boolean {
    copy(this.grants.default, grant)
    if (isObject(value)) return this.fields(value, grant, at, row)
    if (row) return this.fault(at(), value, ACCEPTED_ROW)
    if (takesQuota(value, grant)) return this.enforceable(grant, at)
    if (typeof value === 'string') return this.tier(value, grant, at, ACCEPTED_OVERRIDE)
    return this.fault(at(), value, ACCEPTED_OVERRIDE, hintFor(value))
  }

  private fields(fields: Record<string, unknown>, grant: Grant, at: () => Path, row: boolean): boolean {
    let sound = true
    const wanted = row ? ROW_FIELDS : FIELDS
    for (const name of Object.keys(fields)) {
      if (wanted.includes(name)) continue
      sound = this.fault(
        [...at(), name],
        fields[name],
        wanted.join(', '),
        unknownName('unknown option', name, wanted),
      )
    }
    const { tier, quota, burst, window, algorithm } = fields
    const measured = burst !== undefined || window !== undefined || algorithm !== undefined
    if (tier !== undefined) {
      sound = this.tier(tier, grant, () => [...at(), 'tier'], ACCEPTED_TIER) && sound
      if (quota === undefined && !measured) return sound
      grant.quota = this.grants.tiers.get(tier as string)?.quota ?? 0
    }
    if (quota !== undefined) {
      if (!takesQuota(quota, grant))
        sound = this.fault([...at(), 'quota'], quota, ACCEPTED_QUOTA, hintFor(quota))
    } else if (tier === undefined) {
      sound = this.fault([...at(), 'quota'], quota, ACCEPTED_QUOTA, withoutQuota(fields))
    }
    if (burst !== undefined) {
      if (isTokens(burst)) grant.burst = burst
      else sound = this.fault([...at(), 'burst'], burst, ACCEPTED_TOKENS)
    }
    if (algorithm !== undefined) {
      if (isAlgorithm(algorithm)) grant.kind = withAlgorithm(grant.kind, algorithm)
      else sound = this.fault([...at(), 'algorithm'], algorithm, ACCEPTED_ALGORITHM)
    }
    if (window !== undefined) {
      const time = this.window(window)
      if (time !== undefined) grant.windowMs = time
      else sound = this.fault([...at(), 'window'], window, ACCEPTED_WINDOW)
    }
    return sound && this.fitting(window, algorithm, grant, at) && this.enforceable(grant, at)
  }

  /** Reads what a tier grants, marked as no more than that. */
  private tier(name: unknown, grant: Grant, at: () => Path, accepted: string): boolean {
    const { tiers } = this.grants
    const found = typeof name === 'string' ? tiers.get(name) : undefined
    if (found !== undefined) {
      copy(found, grant)
      grant.quota = NaN
      return true
    }
    if (typeof name !== 'string') return this.fault(at(), name, accepted)
    return this.fault(at(), name, accepted, unknownName('no tier has this name', name, [...tiers.keys()]))
  }

  private window(value: unknown): number | undefined {
    if (typeof value !== 'string') return milliseconds(value)
    if (this.windows.has(value)) return this.windows.get(value)
    const time = windowOf(value)
    if (this.windows.size < 1000) this.windows.set(value, time)
    return time
  }

  private fitting(window: unknown, algorithm: unknown, grant: Grant, at: () => Path): boolean {
    const fault = calendarFault(window, grant.windowMs === MONTH, algorithmOf(grant))
    if (fault === undefined) return true
    const { field, accepted, hint } = fault
    return this.fault([...at(), field], field === 'window' ? window : algorithm, accepted, hint)
  }

  private enforceable(grant: Grant, at: () => Path): boolean {
    const accepted = unenforceable(grant)
    if (accepted === undefined) return true
    const window = grant.windowMs === MONTH ? 'month' : `${grant.windowMs} ms`
    const given = `${grant.quota} per ${window}${grant.burst === 0 ? '' : ` and ${grant.burst} on top`}`
    this.report(issueOf({ path: at(), given, accepted }))
    return false
  }

  private fault(path: Path, given: unknown, accepted: string, hint?: string): false {
    this.report(issueOf({ path, given: printed(given), accepted, hint }))
    return false
  }
}

function copy(from: Grant, to: Grant): void {
  to.quota = from.quota
  to.burst = from.burst
  to.windowMs = from.windowMs
  to.kind = from.kind
}

/** Reads a quota, if it is one. */
function takesQuota(value: unknown, grant: Grant): boolean {
  if (value === 'unlimited') grant.quota = Infinity
  else if (isTokens(value)) grant.quota = value
  else return false
  return true
}

function windowOf(value: string): number | undefined {
  if (value === 'month') return MONTH
  return value === 'day' ? DAY_MS : milliseconds(value)
}

function isAlgorithm(value: unknown): value is Algorithm {
  return (ALGORITHMS as readonly unknown[]).includes(value)
}

function withoutQuota(fields: Record<string, unknown>): string {
  const alone = ['burst', 'window', 'algorithm'].filter((name) => fields[name] !== undefined)
  return alone.length === 0 ? 'quota is missing' : `${alone.join(' and ')} without quota`
}
