/**
 * What requests have been charged by a limiter, for routes that name a rule: what was charged once is not charged there again. It
 * is remembered only of limiters that have such a route.
 */

import type { Gate } from './gate.ts'
import type { HttpRequest } from './types.ts'

/** What a request was charged. */
export interface Admission {
  /** Whom: a tenant, or a client's address. */
  readonly name: string
  readonly anonymous: boolean
  /** By which rules, the tenant's quota among them. */
  readonly rules: ReadonlySet<string>
}

const admissions = new WeakMap<Gate, WeakMap<HttpRequest, Admission>>()
/** So that limiters without such a route look no further. */
let anyRemembers = false

/** From now on. */
export function remember(gate: Gate): void {
  anyRemembers = true
  if (!admissions.has(gate)) admissions.set(gate, new WeakMap())
}

/** Adds what a request was charged; `rules` is asked only if it is remembered. */
export function add(
  req: HttpRequest,
  gate: Gate,
  name: string,
  anonymous: boolean,
  rules: () => readonly string[],
): void {
  if (!anyRemembers) return
  const requests = admissions.get(gate)
  if (requests === undefined) return
  const before = of(req, gate, name, anonymous)?.rules ?? []
  requests.set(req, { name, anonymous, rules: new Set([...before, ...rules()]) })
}

/** What a request was charged for a tenant, or for a client without one; none if it was not admitted for them. */
export function of(req: HttpRequest, gate: Gate, name: string, anonymous: boolean): Admission | undefined {
  const admission = admissions.get(gate)?.get(req)
  return admission?.name === name && admission.anonymous === anonymous ? admission : undefined
}
