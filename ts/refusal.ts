/** What a refused request is answered: problem details (RFC 9457). Nothing of the request is in them. */

import { Buffer } from 'node:buffer'
import type { ServerResponse } from 'node:http'
import { QUOTA } from './ledger.ts'
import { Outcome } from './native.ts'
import type { Decision, Reason } from './types.ts'

const QUOTA_EXCEEDED = 'https://iana.org/assignments/http-problem-types#quota-exceeded'

/** A body, ready to be sent. */
export interface Refusal {
  body: Buffer
  length: string
}

function composed(problem: object): Refusal {
  const body = Buffer.from(JSON.stringify(problem))
  return { body, length: String(body.length) }
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

/** What is said to whom the policy does not accept, however little is asked for; undefined for other outcomes. */
export function forbidden(outcome: number): Refusal | undefined {
  if (outcome === Outcome.unknown) return TENANT_UNKNOWN
  return outcome === Outcome.refused ? ON_DENY_LIST : undefined
}

/** Sends it and ends the response. */
export function send(res: ServerResponse, status: number, refusal: Refusal): void {
  if (!res.headersSent) {
    res.statusCode = status
    res.setHeader('Content-Type', 'application/problem+json')
    res.setHeader('Content-Length', refusal.length)
  }
  res.end(refusal.body)
}
