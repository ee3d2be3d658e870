/**
 * What requests have been charged by a limiter, for routes that name a rule: what was charged once is not charged there again. It
 * is remembered only of limiters that have such a route.
 */

import type { Gate } from './gate.ts'
import type { Decision, HttpRequest } from './types.ts'

/** What a request was charged, each time that it was admitted for the same tenant or client. */
export interface Admission {
  /** Whom: a tenant, or a client's address. */
  readonly name: string
  readonly anonymous: boolean
  /** A refused one among them was let pass by the service, and has charged nothing. */
  readonly decisions: Decision[]
}

const admissions = new WeakMap<Gate, WeakMap<HttpRequest, Admission[]>>()
/** So that limiters without such a route look no further. */
let anyRemembers = false

/** From now on. */
export function remember(gate: Gate): void {
  anyRemembers = true
  if (!admissions.has(gate)) admissions.set(gate, new WeakMap())
}

export function add(
  req: HttpRequest,
  gate: Gate,
  name: string,
  anonymous: boolean,
  decision: Decision,
): void {
  if (!anyRemembers) return
  const requests = admissions.get(gate)
  if (requests === undefined) return
  const before = of(req, gate, name, anonymous)
  if (before !== undefined) return void before.decisions.push(decision)
  requests.set(req, [...(requests.get(req) ?? []), { name, anonymous, decisions: [decision] }])
}

/** What a request was charged for a tenant, or for a client without one; none if it was not admitted for them. */
export function of(req: HttpRequest, gate: Gate, name: string, anonymous: boolean): Admission | undefined {
  const those = admissions.get(gate)?.get(req)
  return those?.find((admission) => admission.name === name && admission.anonymous === anonymous)
}

/** Has it been charged by this rule? */
export function chargedBy({ decisions }: Admission, rule: string): boolean {
  // A shadow rule that would refuse has charged nothing.
  return decisions.some(
    (each) => each.allowed && each.limits.some((limit) => limit.rule === rule && limit.allowed),
  )
}
