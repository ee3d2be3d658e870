/** Every error that Tollgate throws: a class to catch by, a stable `code` to branch on, a message to act on. */

import type { ExecutionLog } from './rollout-types.ts'

/** The codes of Tollgate's errors. They do not change between versions. */
export type TollgateErrorCode =
  | 'TOLLGATE_CONFIG'
  | 'TOLLGATE_TENANT_LOADER'
  | 'TOLLGATE_NAMESPACE_CONFLICT'
  | 'TOLLGATE_INVALID_TENANT'
  | 'TOLLGATE_INVALID_COST'
  | 'TOLLGATE_INVALID_KEY'
  | 'TOLLGATE_UNKNOWN_RULE'
  | 'TOLLGATE_ROLLOUT_REFUSED'
  | 'TOLLGATE_CLOSED'
  | 'TOLLGATE_ADDON_MISSING'
  | 'TOLLGATE_INTERNAL'

/** What all of Tollgate's errors are. */
export class TollgateError extends Error {
  /** What went wrong, for code to branch on. */
  readonly code: TollgateErrorCode

  constructor(code: TollgateErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }

  override get name(): string {
    return this.constructor.name
  }
}

/** One fault in the options. */
export interface ConfigIssue {
  /** The option at fault: `'policyDefinition.tenantOverrides.acme.quota'`. */
  path: string
  /** What was given there, escaped and cut short. */
  given: string
  /** What is accepted there. */
  accepted: string
  /** What is wrong, where the values alone do not say it. */
  hint?: string
}

/** Faults that an error keeps. A table with the wrong column has one in each of a million rows. */
export const MOST_ISSUES = 1_000

/** Faults that a message spells out; the rest are in `issues`. */
const SPELLED_OUT = 10

function line(issue: ConfigIssue): string {
  const hint = issue.hint === undefined ? '' : `${issue.hint}; `
  return `${issue.path || 'options'}: ${hint}given ${issue.given}; accepted: ${issue.accepted}`
}

function messageOf(issues: readonly ConfigIssue[]): string {
  const [first] = issues
  if (first !== undefined && issues.length === 1) return line(first)
  const lines = issues.slice(0, SPELLED_OUT).map((issue) => `\n  ${line(issue)}`)
  const rest = issues.length > SPELLED_OUT ? `\n  and ${issues.length - SPELLED_OUT} more` : ''
  return `${issues.length} faults in the configuration${lines.join('')}${rest}`
}

/** The configuration is at fault. Nothing was started. */
export class TollgateConfigError extends TollgateError {
  /** Every fault that was found, up to 1,000. */
  readonly issues: readonly ConfigIssue[]

  constructor(
    issues: readonly ConfigIssue[],
    code: TollgateErrorCode = 'TOLLGATE_CONFIG',
    options?: ErrorOptions,
  ) {
    const kept = issues.slice(0, MOST_ISSUES)
    super(code, messageOf(kept), options)
    this.issues = kept
  }

  /** The first option at fault. */
  get path(): string {
    return this.issues[0]?.path ?? ''
  }

  /** What was given there. */
  get given(): string {
    return this.issues[0]?.given ?? ''
  }

  /** What is accepted there. */
  get accepted(): string {
    return this.issues[0]?.accepted ?? ''
  }
}

/** An argument of a call is at fault: `TOLLGATE_INVALID_TENANT`, `TOLLGATE_INVALID_COST`, `TOLLGATE_INVALID_KEY` or
 * `TOLLGATE_UNKNOWN_RULE`. */
export class TollgateInputError extends TollgateError {}

/** A rollout does not begin, or what was asked of one is not done: `TOLLGATE_ROLLOUT_REFUSED`. Nothing has changed. */
export class TollgateRolloutError extends TollgateError {
  constructor(
    message: string,
    /** How far it had come; null where nothing had begun. */
    readonly log: ExecutionLog | null = null,
    options?: ErrorOptions,
  ) {
    super('TOLLGATE_ROLLOUT_REFUSED', message, options)
  }
}

/** The limiter was closed: `TOLLGATE_CLOSED`. */
export class TollgateClosedError extends TollgateError {
  constructor() {
    super('TOLLGATE_CLOSED', 'the limiter is closed')
  }
}
