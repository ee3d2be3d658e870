/** What a refused request is answered: problem details (RFC 9457). Nothing of the request is in them. */

import { Buffer } from 'node:buffer'
import type { ServerResponse } from 'node:http'
import { QUOTA } from './ledger.ts'
import { Outcome } from './native.ts'
import type { Decision, Reason } from './types.ts'

const QUOTA_EXCEEDED = 'https://iana.org/assignments/http-problem-types#quota-exceeded'

/** A status and a body, ready to be sent. */
export interface Refusal {
  status: number
  body: Buffer
  length: string
}

function composed(problem: { status: number } & Record<string, unknown>): Refusal {
  const body = Buffer.from(JSON.stringify(problem))
  return { status: problem.status, body, length: String(body.length) }
}

const DETAILS: Partial<Record<Reason, string>> = {
  quota: 'The quota is used up. Try again after the time in Retry-After.',
  blocked: 'Requests are blocked for a time. Try again after the time in Retry-After.',
  denied: 'The quota admits no requests.',
  concurrency: 'As many requests are in flight as may be. Try again when one of them has ended.',
  overflow: 'There are too many clients at the moment. Try again after the time in Retry-After.',
}

/** Different bodies that are remembered; rules are few, and what they can violate together is not much more. */
const REMEMBERED = 1_000

/** Bodies of refusals, with the status that a mount gives them. */
export function quotaRefusals(status: number): (decision: Decision) => Refusal {
  const made = new Map<string, Refusal>()
  return ({ reason, limits }) => {
    const denying = limits.filter(({ allowed, mode }) => !allowed && mode === 'enforce')
    const violated = denying.length === 0 ? [QUOTA] : denying.map(({ rule }) => rule)
    const key = `${reason} ${violated.join(' ')}`
    let found = made.get(key)
    if (found === undefined) {
      const problem = { type: QUOTA_EXCEEDED, title: 'Quota exceeded', status, detail: DETAILS[reason] }
      found = composed({ ...problem, 'violated-policies': violated })
      if (made.size >= REMEMBERED) made.clear()
      made.set(key, found)
    }
    return found
  }
}

export const TENANT_MISSING = composed({
  type: 'about:blank',
  title: 'Bad Request',
  status: 400,
  detail: 'The request names no tenant, or not in a form that is accepted.',
})

function notWelcome(detail: string): Refusal {
  return composed({ type: 'about:blank', title: 'Forbidden', status: 403, detail })
}

const TENANT_UNKNOWN = notWelcome('The tenant is not known here.')
const ON_DENY_LIST = notWelcome('Requests of this tenant or client are not accepted.')

const UNAVAILABLE = composed({
  type: 'about:blank',
  title: 'Service Unavailable',
  status: 503,
  detail: 'Quotas cannot be checked at the moment. Try again after the time in Retry-After.',
})

/**
 * What is said to whom no quota refuses: the policy accepts nothing of them, or the backend is missing that would tell what is
 * left. Undefined for other outcomes.
 */
export function beyondQuota(outcome: number): Refusal | undefined {
  switch (outcome) {
    case Outcome.unknown:
      return TENANT_UNKNOWN
    case Outcome.refused:
      return ON_DENY_LIST
    case Outcome.backend:
    case Outcome.pending:
      return UNAVAILABLE
    default:
      return undefined
  }
}

/** Sends it and ends the response. */
export function send(res: ServerResponse, refusal: Refusal): void {
  if (!res.headersSent) {
    res.statusCode = refusal.status
    res.setHeader('Content-Type', 'application/problem+json')
    res.setHeader('Content-Length', refusal.length)
  }
  res.end(refusal.body)
}
