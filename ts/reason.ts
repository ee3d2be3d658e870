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
]

export function reasonOf(outcome: number): Reason {
  return REASONS[outcome]!
}

export function isAllowed(outcome: number): boolean {
  return outcome === Outcome.ok || outcome === Outcome.unlimited
}
