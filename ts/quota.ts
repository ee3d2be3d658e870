/** Quotas: what the numbers of an override may be, and what they take from the defaults. */

import type { ConfigIssue } from './errors.ts'
import { ACCEPTED_WINDOW, milliseconds } from './duration.ts'
import { pathOf, printed } from './printed.ts'
import { nearest } from './suggestion.ts'

/** A limit with nothing left out. The quota is Infinity for no limit, 0 for nothing. */
export interface Grant {
  quota: number
  burst: number
  windowMs: number
}

export const ACCEPTED_QUOTA = `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, or 'unlimited'`
export const ACCEPTED_BURST = `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`
const ACCEPTED_OVERRIDE = `${ACCEPTED_QUOTA}, or { quota, burst?, window? }`

const FIELDS = ['quota', 'burst', 'window']
const ROW_FIELDS = ['tenant', ...FIELDS]

/** 10^9 tokens a second: the fastest rate, per millisecond. */
const FASTEST_PER_MS = 1e6
/** 2^60 ns (36.5 years) in milliseconds: the longest that a bucket may take to fill. */
const SLOWEST_FILL_MS = 2 ** 60 / 1e6

/** Reads overrides one after another, and collects their faults. */
export class QuotaReader {
  // Rows tend to repeat a handful of windows, and parsing one costs as much as the rest of its row.
  private readonly windows = new Map<string, number | undefined>()

  constructor(
    private readonly defaults: Grant,
    private readonly report: (issue: ConfigIssue) => void,
  ) {}

  /** Reads a value into `grant`; false if it had a fault, which is reported under the path that `at` gives. */
  read(value: unknown, grant: Grant, at: () => readonly unknown[], row: boolean): boolean {
    grant.burst = this.defaults.burst
    grant.windowMs = this.defaults.windowMs
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      if (row || !this.quota(value, grant)) {
        const accepted = row ? '{ tenant, quota, burst?, window? }' : ACCEPTED_OVERRIDE
        return this.fault(at(), value, accepted, hintFor(value))
      }
      return this.enforceable(grant, at)
    }
    const fields = value as Record<string, unknown>
    let sound = true
    const wanted = row ? ROW_FIELDS : FIELDS
    for (const name of Object.keys(fields)) {
      if (!wanted.includes(name)) {
        const near = nearest(name, wanted)
        const hint = `unknown option${near === undefined ? '' : `, did you mean ${near}?`}`
        sound = this.fault([...at(), name], fields[name], wanted.join(', '), hint)
      }
    }
    const { quota, burst, window } = fields
    if (quota === undefined) {
      const alone = [burst === undefined ? '' : 'burst', window === undefined ? '' : 'window'].filter(Boolean)
      const hint = alone.length === 0 ? 'quota is missing' : `${alone.join(' and ')} without quota`
      sound = this.fault([...at(), 'quota'], quota, ACCEPTED_QUOTA, hint)
    } else if (!this.quota(quota, grant)) {
      sound = this.fault([...at(), 'quota'], quota, ACCEPTED_QUOTA, hintFor(quota))
    }
    if (burst !== undefined) {
      if (Number.isSafeInteger(burst) && (burst as number) >= 0) grant.burst = burst as number
      else sound = this.fault([...at(), 'burst'], burst, ACCEPTED_BURST)
    }
    if (window !== undefined) {
      const time = this.window(window)
      if (time !== undefined) grant.windowMs = time
      else sound = this.fault([...at(), 'window'], window, ACCEPTED_WINDOW)
    }
    return sound && this.enforceable(grant, at)
  }

  private quota(value: unknown, grant: Grant): boolean {
    if (value === 'unlimited') grant.quota = Infinity
    else if (Number.isSafeInteger(value) && (value as number) >= 0) grant.quota = value as number
    else return false
    return true
  }

  private window(value: unknown): number | undefined {
    if (typeof value !== 'string') return milliseconds(value)
    if (this.windows.has(value)) return this.windows.get(value)
    const time = milliseconds(value)
    if (this.windows.size < 1000) this.windows.set(value, time)
    return time
  }

  private enforceable(grant: Grant, at: () => readonly unknown[]): boolean {
    const fault = unenforceable(grant)
    return (
      fault === undefined ||
      this.fault(at(), `${grant.quota} per ${grant.windowMs} ms`, fault, undefined, true)
    )
  }

  private fault(
    keys: readonly unknown[],
    given: unknown,
    accepted: string,
    hint?: string,
    verbatim = false,
  ): false {
    const issue = { path: pathOf(keys), given: verbatim ? String(given) : printed(given), accepted }
    this.report(hint === undefined ? issue : { ...issue, hint })
    return false
  }
}

function hintFor(quota: unknown): string | undefined {
  return quota === Infinity ? "no limit is written 'unlimited'" : undefined
}

/** What would make a limit enforceable, if it is not. */
export function unenforceable({ quota, burst, windowMs }: Grant): string | undefined {
  if (quota === 0 || quota === Infinity) return undefined
  if (quota > windowMs * FASTEST_PER_MS) return 'at most 1,000,000,000 tokens a second'
  if ((quota + burst) * (windowMs / quota) > SLOWEST_FILL_MS) {
    return 'a bucket (quota plus burst) that fills in at most 36 years'
  }
  return undefined
}
