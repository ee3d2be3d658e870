/** The addon: loads it, and says what is in it. The only file that knows its name. */

import type { Buffer } from 'node:buffer'
import { createRequire } from 'node:module'
import { TollgateClosedError, TollgateConfigError, TollgateError, TollgateRolloutError } from './errors.ts'
import { issueOf, type Fault } from './fault.ts'
import type { ExecutionLog } from './rollout-types.ts'

/** What the addon answers to a decision. Negative codes mean that nothing was decided. */
export const Outcome = {
  ok: 0,
  quota: 1,
  blocked: 2,
  denied: 3,
  overflow: 4,
  unlimited: 5,
  unknown: 6,
  concurrency: 7,
  refused: 8,
  /** No lease is held yet; one has been asked for. */
  pending: 9,
  /** The backend is gone, and then nothing is to be admitted. */
  backend: 10,
  invalidTenant: -1,
  invalidCost: -2,
  closed: -3,
  /** The policy in force is not the one that was read: see {@link NativeNeeds}. */
  stale: -4,
  /** A limit on concurrency has no tokens to give or take. */
  noTokens: -5,
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
  /** Of the functions on the path of a request, which return nothing. */
  outcome: 7,
  /** The number of the limiter that one of those is called for. */
  limiter: 8,
  windowMs: 9,
  /** The policy by which the call was put together. */
  generation: 10,
  method: 11,
  /** A sum of {@link Asked}. */
  asked: 12,
  /** The rule that is charged whether it matches or not; -1 for none. */
  rule: 13,
  /** How many limits applied: see {@link Applied}. */
  applied: 14,
  ticket: 15,
  /** Which of those that applied decided; -1 for none. */
  decisive: 16,
  /** Where in the ledger a call leaves the limits that applied: see ledger.ts. */
  ledger: 17,
  /** Of a pending decision: the number of the answer that it awaits. Several may await the same. */
  awaited: 18,
} as const

/** How many numbers there are in that array. */
const SLOTS = 19

/** What a call asks for besides a decision. */
export const Asked = {
  anonymous: 1,
  ruleAlone: 2,
  ticket: 4,
  /** It asks for the last time: what is to be done without a backend decides, if there is no lease yet. */
  lastWord: 8,
} as const

/** How many numbers there are in the ledger for a limit that applied, and what those are after the rule's number (-1: none). */
export const Applied = {
  each: 8,
  outcome: 1,
  quota: 2,
  capacity: 3,
  remaining: 4,
  resetMs: 5,
  retryAfterMs: 6,
  windowMs: 7,
  /** Added to the outcome of a rule that is only counted. */
  shadow: 100,
} as const

/** Keys that one policy can name; two that are compared name twice as many at most. */
export const MOST_KEYS = 16

/** A policy while it is read into the addon. */
export interface NativePolicyDraft {
  /**
   * Adds tenants with what they are granted, in columns: see {@link Grant} of grant.ts. A tenant that comes twice is found when
   * the draft is compiled.
   */
  addTenants(
    names: string[],
    quotas: Float64Array,
    bursts: Float64Array,
    windowsMs: Float64Array,
    kinds: Float64Array,
  ): void
  /** Compiles it, off the event loop; rejects with the message `TOLLGATE_DUPLICATE_TENANT` if a tenant came twice. */
  compile(): Promise<NativeCompiledPolicy>
}

/** A policy as engines decide by it. */
export interface NativeCompiledPolicy {
  /** What the compiler did, in JSON. */
  report(): string
  /** The policy in bytes. */
  image(): Buffer
  /** SHA-256 of its content. */
  readonly hash: string
}

/** The functions on the path of a request. They read and leave everything but strings in the answer. */
export interface NativeHot {
  consume(tenant: string): void
  consumeAnonymous(key: string): void
  /** A name, and what comes after the method in the first line of its request. */
  decide(name: string, target: string | undefined): void
  /** A name, and all that {@link NativeNeeds} asks of its request: see `answers` of inquiry.ts. */
  decideByKeys(name: string, ...said: (string | undefined)[]): void
  /** The same with more keys than {@link MOST_KEYS}. */
  decideByKeysOfBoth(name: string, ...said: (string | undefined)[]): void
}

/** What decisions by the policy in force need of a request. */
export interface NativeNeeds {
  /** What tells this policy from every other. */
  readonly generation: number
  /** Does the tenant alone decide? */
  readonly plain: boolean
  readonly path: boolean
  readonly method: boolean
  readonly address: boolean
  readonly user: boolean
  /** Names of the other keys that rules are kept per, in the order in which they are given. */
  readonly keys: readonly string[]
  /** Names of rules, by number. */
  readonly rules: readonly string[]
  /** Is a rule kept per tenant, and nothing more? By number. */
  readonly perTenant: readonly boolean[]
  /** The number of the comparison with another policy that is under way, whose needs are among these; 0 while there is none. */
  readonly comparison: number
  /** Does the policy in force by itself need the user? */
  readonly ownUser: boolean
  /** How many of `keys` it needs by itself: the first ones. */
  readonly ownKeys: number
}

/** A name, and the rest of what a slower call says of a request. */
type Said = (string | undefined)[]

/** This thread's way into the engine of a namespace. */
export interface NativeGate extends NativeSharing, NativeDeployment {
  /** Its number, by which the functions on the path of a request know it. */
  readonly id: number
  needs(): NativeNeeds
  /** The number of a rule; -1 for a name that none has. */
  ruleNamed(name: string): number
  /**
   * The number by which a request asks for a rule; -1 for a name that none has. While two policies are compared, that of a rule that
   * only the other one has is past those of {@link NativeNeeds}.
   */
  ruleAsked(name: string): number
  examine(request: Said): number
  reward(request: Said, tokens: number): number
  penalize(request: Said, tokens: number): number
  block(request: Said, durationMs: number): number
  reset(request: Said): number
  explain(request: Said): string
  /** Hand a ticket in; false if that has been done, or it has expired. */
  end(ticket: number): boolean
  cancel(ticket: number): boolean
  settleAt(ticket: number, actual: number): boolean
  expire(ticket: number, afterMs: number): void
  /** The response has ended: slots come back, and costs wait to be ended or cancelled. */
  release(ticket: number): void
  /** Ends some of the tickets that have expired; gives whether there are tickets left that will. */
  dropExpired(): boolean
  /** The names of the tiers of the policy in force, in the order in which tenants' rows number them. */
  tiers(): string[]
  /** Gives tenants limits, and takes others' away; resolves, once that is in force, to which of those had one. */
  amend(
    names: string[],
    quotas: Float64Array,
    bursts: Float64Array,
    windowsMs: Float64Array,
    kinds: Float64Array,
    removed: string[],
  ): Promise<boolean[]>
  /** The same at all instances of the fleet, by somebody; resolves once it is in force here. */
  amendFleet(
    names: string[],
    quotas: Float64Array,
    bursts: Float64Array,
    windowsMs: Float64Array,
    kinds: Float64Array,
    removed: string[],
    by: string,
  ): Promise<string>
  /** Which of these tenants the policy in force names. */
  named(names: string[]): boolean[]
  stats(): {
    keys: number
    slots: number
    bytes: number
    overflowed: number
    revision: number
    tenants: number
    rules: number
    limits: number
    imageBytes: number
    optimizationLevel: number
    policyHash: string
  }
  /** What the policy in force says, but for its tenants: a {@link PolicySpec} in JSON. */
  spec(): string
  /**
   * Replaces the policy; resolves, once it is in force, to whether it is another one. One that `refreshes` tenants does not
   * replace one that says something else.
   */
  replace(policy: NativeCompiledPolicy, refreshes: boolean): Promise<boolean>
  sweep(): void
  /**
   * Judges the same requests by another policy, too, in this process, for a step of the rollout of a revision; or ends that, without
   * a policy. `candidateDecides`: is the policy in force the candidate?
   */
  compare(
    policy: NativeCompiledPolicy | undefined,
    revision: number,
    step: number,
    candidateDecides: boolean,
  ): void
  /** What the comparison that is under way has counted, in JSON. */
  tallies(): string | null
  /**
   * A request has ended that was decided while the comparison of this number was under way: was it answered with 5xx, has the limiter
   * itself failed on it?
   */
  ended(comparison: number, serverError: boolean, limiterError: boolean): void
  close(): void
}

/** Requests that two policies have judged. */
export interface NativeJudged {
  requests: number
  /** Those that the old policy admits. */
  conforming: number
  /** Those of them that the candidate denies. */
  now_denied: number
  /** Those that the candidate admits, and the old policy does not. */
  now_admitted: number
  /** How often a tenant was above its own bound. */
  breaches: number
}

/** Requests that one policy has decided. */
export interface NativeOutcomes {
  requests: number
  /** Those that were answered with 5xx. */
  server_errors: number
  /** Those that the limiter itself failed on. */
  limiter_errors: number
}

/** What a comparison of two policies has counted. */
export interface NativeTallies {
  round: { revision: number; step: number }
  /** Microseconds since the Unix epoch. */
  began: number
  judged: NativeJudged
  by_candidate: NativeOutcomes
  by_old: NativeOutcomes
  /** The most that a tenant was admitted in one second, over what the candidate lets it. */
  peak_burst: number
  /** Those of which there is most to say. */
  tenants: { hash: string; name: string; judged: NativeJudged }[]
}

/** What concerns all instances that share their buckets. */
export interface NativeSharing {
  /** Resolves once every backend has answered, or has failed to, once. */
  connect(): Promise<void>
  /** Calls with {@link NativeNews} in JSON, in batches, and keeps no process alive by it. */
  onNews(callback: (news: string) => void): void
  /** What is known of the backends: a list of {@link BackendStatus} in JSON. */
  backends(): string
  /** Instances that are alive, as this one has heard last; itself is one of them. */
  instances(): number
  /** Gives leases back that are not spent; takes a second at most. */
  drain(): Promise<void>
}

/** A part in the rollouts of a fleet; without backends, of this process. Refusals reject with a sentence as the message. */
export interface NativeDeployment {
  /** Begins a rollout; options are {@link ProposalSettings} in JSON. Resolves to what it is called. */
  propose(policy: NativeCompiledPolicy, options: string): Promise<string>
  /** Goes back to a revision, or with -1 to the last good one; or cancels what is under way. */
  rollBack(to: number, options: string): Promise<string>
  askRollout(what: 'confirm' | 'cancel', by: string): Promise<string>
  /** A {@link FleetState} in JSON. */
  fleet(): string
  /** The last entries of the audit trail, in JSON. */
  audit(count: number): Promise<string>
  /** A list of {@link Inspection} in JSON. */
  inspect(): Promise<string>
}

/** Somebody who takes part in a fleet's rollouts, and decides on nothing. */
export interface NativeObserver extends NativeDeployment {
  /** Resolves once every backend has answered, or has failed to, once. */
  connect(): Promise<void>
  close(): Promise<void>
}

/** What has happened at the backends. */
export interface NativeNews {
  /** Numbers that were awaited: whoever waits for one of them asks again. */
  answered: number[]
  alerts: { kind: 'backend-degraded' | 'backend-recovered'; backend: string; error?: string }[]
}

interface NativeChannel {
  /** Gives decisions another array to leave in what each limit says. */
  setLedger(ledger: Float64Array): void
  hot(): NativeHot
}

interface Addon {
  Channel: new (answer: Float64Array) => NativeChannel
  /** @throws `TOLLGATE_CONFIG` with the faults of the policy, in JSON. */
  PolicyDraft: {
    new (specJson: string, optimizationLevel: number): NativePolicyDraft
    /** Every fault of a policy whose shape is right: a list of {@link Fault}, in JSON. */
    faults(specJson: string): string
    /** The methods that rules may name, by their codes. */
    methodNames(): string[]
  }
  FleetObserver: new (namespace: string, sharingJson: string, processJson: string) => NativeObserver
  Gate: new (
    channel: NativeChannel,
    namespace: string,
    policy: NativeCompiledPolicy,
    maxKeys: number,
    keyShare: number,
    refreshes: boolean,
    /** What it goes by where buckets are shared over backends, in JSON: see fleet.ts. */
    fleet?: string,
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
export const answer = new Float64Array(new ArrayBuffer(SLOTS * Float64Array.BYTES_PER_ELEMENT))
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

/** What the addon finds wrong with a policy, in the JSON of its spec. */
export function policyFaults(specJson: string): Fault[] {
  return JSON.parse(addon().PolicyDraft.faults(specJson)) as Fault[]
}

/** A policy of this spec, without tenants. */
export function policyDraft(specJson: string, optimizationLevel: number): NativePolicyDraft {
  try {
    return new (addon().PolicyDraft)(specJson, optimizationLevel)
  } catch (error) {
    throw translated(error, 'policyDefinition', 'this policy')
  }
}

/** An error of the addon, as one of Tollgate's classes. `path` is the option that it comes from. */
export function translated(error: unknown, path: string, given: string): TollgateError {
  const { code, message } = error as { code?: unknown; message?: unknown }
  const text = String(message)
  if (code === 'TOLLGATE_CONFIG') {
    const issues = text.startsWith('[')
      ? (JSON.parse(text) as Fault[]).map((fault) => issueOf(fault, ['policyDefinition']))
      : [{ path, given, accepted: text }]
    return new TollgateConfigError(issues, code, { cause: error })
  }
  if (code === 'TOLLGATE_CLOSED') return new TollgateClosedError()
  if (code === 'TOLLGATE_NAMESPACE_CONFLICT') {
    const issue = { path, given, accepted: 'a namespace that nothing else uses', hint: text }
    return new TollgateConfigError([issue], code, { cause: error })
  }
  return new TollgateError('TOLLGATE_INTERNAL', `the addon failed: ${text}`, { cause: error })
}

/** Why the addon does not do what was asked of a rollout, as one of Tollgate's errors. */
export function refusedBy(error: unknown, log: ExecutionLog | null): TollgateError {
  if (error instanceof TollgateError) return error
  const { code, message } = error as { code?: unknown; message?: unknown }
  if (code === 'TOLLGATE_CLOSED') return new TollgateClosedError()
  return new TollgateRolloutError(String(message), log, { cause: error })
}

/** Did a tenant come twice? */
export function isDuplicate(error: unknown): boolean {
  return (error as { message?: unknown }).message === 'TOLLGATE_DUPLICATE_TENANT'
}
