/** Limits as numbers, on their way into the addon. */

import type { Algorithm } from './policy-types.ts'
import type { LimitSpec, PolicySpec } from './policy-spec.ts'

/** What a tenant is granted, with nothing left out. */
export interface Grant {
  /** Tokens per window: Infinity for no limit, 0 for nothing, NaN for what its tier grants. */
  quota: number
  burst: number
  /** The window in milliseconds, or {@link MONTH}. */
  windowMs: number
  /** {@link kindOf} its tier and algorithm. */
  kind: number
}

/** What tenants are granted that are not granted something of their own. */
export interface Grants {
  default: Grant
  tiers: ReadonlyMap<string, Grant>
}

/** In place of milliseconds: a calendar month, in UTC. */
export const MONTH = -1

/** In the order in which the addon numbers them, from 0. */
const NUMBERED = ['token-bucket', 'fixed-window', 'sliding-window'] as const satisfies Algorithm[]
/** There is room for as many algorithms. */
const ALGORITHMS = 8

/** A tier (counted from 0 by name; -1 is none) and an algorithm, in one number. */
function kindOf(tier: number, algorithm: Algorithm): number {
  return (tier + 1) * ALGORITHMS + NUMBERED.indexOf(algorithm)
}

/** The same tier with another algorithm. */
export function withAlgorithm(kind: number, algorithm: Algorithm): number {
  return kind - (kind % ALGORITHMS) + NUMBERED.indexOf(algorithm)
}

export function algorithmOf({ kind }: Grant): Algorithm {
  return NUMBERED[kind % ALGORITHMS]!
}

function grantOf(limit: LimitSpec, tier: number): Grant {
  return {
    quota: limit.quota === 'unlimited' ? Infinity : limit.quota,
    burst: limit.burst,
    windowMs: limit.windowMs === 'month' ? MONTH : limit.windowMs,
    kind: kindOf(tier, limit.algorithm),
  }
}

export function grantsOf({ default: limit, tiers }: Pick<PolicySpec, 'default' | 'tiers'>): Grants {
  // The addon numbers tiers by name, too; names are ASCII, so by whatever units it compares.
  const names = Object.keys(tiers).toSorted()
  return {
    default: grantOf(limit, -1),
    tiers: new Map(names.map((name, tier) => [name, grantOf(tiers[name]!, tier)])),
  }
}

/** 10^9 tokens a second: the fastest rate, per millisecond. */
const FASTEST_PER_MS = 1e6
/** 2^60 ns (36.5 years) in milliseconds: the longest that a bucket may take to fill. */
const SLOWEST_FILL_MS = 2 ** 60 / 1e6
/** February, in milliseconds. */
const SHORTEST_MONTH_MS = 28 * 24 * 60 * 60 * 1000
/** 2^51 ns in milliseconds: as long as the addon numbers windows from one epoch. */
const NUMBERED_MS = 2 ** 51 / 1e6
/** Bits of a bucket's state, for the number of a window and what was counted in it. */
const STATE_BITS = 62

/** What would make a limit enforceable, if it is not. The addon has the same bounds, which it does not tell by rows. */
export function unenforceable(grant: Grant): string | undefined {
  const { quota, burst } = grant
  if (quota === 0 || quota === Infinity) return undefined
  const windowMs = grant.windowMs === MONTH ? SHORTEST_MONTH_MS : grant.windowMs
  if (quota > windowMs * FASTEST_PER_MS) return 'at most 1,000,000,000 tokens a second'
  const algorithm = algorithmOf(grant)
  if (algorithm === 'token-bucket') {
    return (quota + burst) * (windowMs / quota) > SLOWEST_FILL_MS
      ? 'a bucket (quota plus burst) that fills in at most 36 years'
      : undefined
  }
  const windows = Math.floor(NUMBERED_MS / windowMs) + 2
  const countBits = STATE_BITS - (32 - Math.clz32(windows))
  // Twice as much is counted, because there may be a debt; and sliding windows count two of them.
  const most = Math.floor((2 ** (algorithm === 'fixed-window' ? countBits : countBits >> 1) - 1) / 2)
  return quota + burst > most ? `at most ${most} tokens (quota plus burst) in such a window` : undefined
}
