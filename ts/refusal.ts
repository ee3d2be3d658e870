/** What a refused request is answered: problem details (RFC 9457). Nothing of the request is in them. */

import { Buffer } from 'node:buffer'
import type { ServerResponse } from 'node:http'
import type { Reason } from './types.ts'

const QUOTA_EXCEEDED = 'https://iana.org/assignments/http-problem-types#quota-exceeded'

/** A body, ready to be sent. */
interface Refusal {
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
  overflow: 'There are too many clients at the moment. Try again after the time in Retry-After.',
}

/** Bodies of refusals under a quota, by reason, with the status that a mount gives them. */
export function quotaRefusals(status: number): (reason: Reason) => Refusal {
  const made = new Map<Reason, Refusal>()
  return (reason) => {
    let found = made.get(reason)
    if (found === undefined) {
      const problem = { type: QUOTA_EXCEEDED, title: 'Quota exceeded', status, detail: DETAILS[reason] }
      found = composed({ ...problem, 'violated-policies': ['default'] })
      made.set(reason, found)
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

export const TENANT_UNKNOWN = composed({
  type: 'about:blank',
  title: 'Forbidden',
  status: 403,
  detail: 'The tenant is not known here.',
})

/** Sends it and ends the response. */
export function send(res: ServerResponse, status: number, refusal: Refusal): void {
  if (!res.headersSent) {
    res.statusCode = status
    res.setHeader('Content-Type', 'application/problem+json')
    res.setHeader('Content-Length', refusal.length)
  }
  res.end(refusal.body)
}
