/**
 * Which requests a limiter has admitted, for routes that name a rule: what was charged once is not charged there again. It is
 * remembered only of limiters that have such a route.
 */

import type { Gate } from './gate.ts'
import type { HttpRequest } from './types.ts'

const admitted = new WeakMap<Gate, WeakSet<HttpRequest>>()
/** So that limiters without such a route look no further. */
let anyRemembers = false

/** From now on. */
export function remember(gate: Gate): void {
  anyRemembers = true
  if (!admitted.has(gate)) admitted.set(gate, new WeakSet())
}

export function add(req: HttpRequest, gate: Gate): void {
  if (anyRemembers) admitted.get(gate)?.add(req)
}

export function has(req: HttpRequest, gate: Gate): boolean {
  return admitted.get(gate)?.has(req) === true
}
