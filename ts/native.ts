/** The addon: loads it, and says what is in it. The only file that knows its name. */

import { createRequire } from 'node:module'
import { TollgateConfigError, TollgateError, type TollgateErrorCode } from './errors.ts'

/** What the addon answers to a decision. Negative codes mean that nothing was decided. */
export const Outcome = {
  ok: 0,
  quota: 1,
  blocked: 2,
  denied: 3,
  overflow: 4,
  unlimited: 5,
  unknown: 6,
  invalidTenant: -1,
  invalidCost: -2,
  closed: -3,
} as const

/** Where the numbers of a call lie in the array that it shares with the addon. */
export const Slot = {
  cost: 0,
  now: 1,
  /** The quota of the limit that applied; Infinity without one. */
  quota: 2,
  capacity: 3,
  remaining: 4,
  resetMs: 5,
  retryAfterMs: 6,
  /** Of the two functions on the path of a request, which return nothing. */
  outcome: 7,
  /** The number of the limiter that one of those two is called for. */
  limiter: 8,
  windowMs: 9,
} as const

/** A policy while it is read into the addon. */
export interface NativePolicyDraft {
  addTenants(names: string[], quotas: Float64Array, bursts: Float64Array, windowsMs: Float64Array): void
}

/** The functions on the path of a request. They read and leave everything but the name in the answer. */
export interface NativeHot {
  consume(tenant: string): void
  consumeAnonymous(key: string): void
}

/** This thread's way into the engine of a namespace. */
export interface NativeGate {
  /** Its number, by which the functions on the path of a request know it. */
  readonly id: number
  peek(name: string, anonymous: boolean): number
  reward(name: string, anonymous: boolean, tokens: number): number
  penalize(name: string, anonymous: boolean, tokens: number): number
  block(name: string, anonymous: boolean, durationMs: number): number
  reset(name: string, anonymous: boolean): number
  /** Gives tenants limits, and takes others' away; resolves, once that is in force, to which of those had one. */
  amend(
    names: string[],
    quotas: Float64Array,
    bursts: Float64Array,
    windowsMs: Float64Array,
    removed: string[],
  ): Promise<boolean[]>
  stats(): {
    keys: number
    slots: number
    bytes: number
    overflowed: number
    revision: number
    tenants: number
    limits: number
    policyHash: string
  }
  /** Replaces the policy; resolves, once it is in force, to whether it is another one. */
  replace(draft: NativePolicyDraft): Promise<boolean>
  sweep(): void
  close(): void
}

interface NativeChannel {
  hot(): NativeHot
}

interface Addon {
  Channel: new (answer: Float64Array) => NativeChannel
  PolicyDraft: new (
    quota: number,
    burst: number,
    windowMs: number,
    rejectUnknown: boolean,
  ) => NativePolicyDraft
  Gate: new (
    channel: NativeChannel,
    namespace: string,
    draft: NativePolicyDraft,
    maxKeys: number,
    keyShare: number,
    refreshes: boolean,
  ) => NativeGate
}

let loaded: Addon | undefined

/**
 * The addon.
 * @throws {@link TollgateError} `TOLLGATE_ADDON_MISSING` if there is none for this machine.
 */
export function addon(): Addon {
  if (loaded === undefined) {
    try {
      loaded = createRequire(import.meta.url)('../native.cjs') as Addon
    } catch (cause) {
      throw new TollgateError(
        'TOLLGATE_ADDON_MISSING',
        `the native addon of tollgate could not be loaded on ${process.platform}-${process.arch}, Node ` +
          `${process.version}. Install again without --omit=optional, or build it from source with Rust: ` +
          `npm run build in the package's directory`,
        { cause },
      )
    }
  }
  return loaded
}

/** Numbers that JavaScript and the addon leave for each other, by {@link Slot}. */
// Over a buffer of its own: the addon writes to it, and a small typed array without one may be moved.
export const answer = new Float64Array(new ArrayBuffer(10 * Float64Array.BYTES_PER_ELEMENT))
answer[Slot.cost] = 1
answer[Slot.now] = NaN

let opened: { channel: NativeChannel; hot: NativeHot } | undefined

/** The way in which all limiters of this thread are called. */
export function channel(): { channel: NativeChannel; hot: NativeHot } {
  if (opened === undefined) {
    const made = new (addon().Channel)(answer)
    opened = { channel: made, hot: made.hot() }
  }
  return opened
}

/** An error of the addon, as one of Tollgate's classes. `path` is the option that it comes from. */
export function translated(error: unknown, path: string, given: string): TollgateError {
  const { code, message } = error as { code?: unknown; message?: unknown }
  if (code === 'TOLLGATE_CONFIG' || code === 'TOLLGATE_NAMESPACE_CONFLICT') {
    const accepted = code === 'TOLLGATE_CONFIG' ? String(message) : 'a namespace that nothing else uses'
    const issue = { path, given, accepted }
    const issues = code === 'TOLLGATE_CONFIG' ? [issue] : [{ ...issue, hint: String(message) }]
    return new TollgateConfigError(issues, code as TollgateErrorCode, { cause: error })
  }
  return new TollgateError('TOLLGATE_INTERNAL', `the addon failed: ${String(message)}`, { cause: error })
}
