/** Why a request was admitted or refused, by the addon's outcome. */

import { Outcome } from './native.ts'
import type { Reason } from './types.ts'

const REASONS: readonly Reason[] = [
  'ok',
  'quota',
  'blocked',
  'denied',
  'overflow',
  // Without a limit, and a tenant that is refused because nobody named it.
  'ok',
  'denied',
  'concurrency',
  // By the deny list.
  'denied',
  'lease-pending',
  'backend',
]

export function reasonOf(outcome: number): Reason {
  return REASONS[outcome]!
}

/** Does the policy not accept who asks, however little is asked for? Then no limit applied. */
export function isForbidden(outcome: number): boolean {
  return outcome === Outcome.unknown || outcome === Outcome.refused
}

export function isAllowed(outcome: number): boolean {
  return outcome === Outcome.ok || outcome === Outcome.unlimited
}
