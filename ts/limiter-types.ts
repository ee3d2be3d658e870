/** The limiter, and what it tells. Types only. */

import type { Duration, PolicyDefinition, TenantOverride } from './policy-types.ts'
import type {
  ApplyOptions,
  FleetStatus,
  History,
  Rollout,
  RolloutEvent,
  RolloutResult,
  RolloutStatus,
  TopologyFinding,
} from './rollout-types.ts'
import type { Decision, Middleware, MiddlewareOptions, OptimizationLevel } from './types.ts'

/** A request as the service tells of it, where there is none of HTTP. What is left out is not there. */
export interface RequestFacts {
  /** `'GET'`; without it, no rule that asks for a method matches. */
  method?: string | undefined
  /** The path, with or without a query; without it, no rule that asks for a path matches. */
  path?: string | undefined
  /** The client's address, for lists and for rules that are kept per `ip`. */
  ip?: string | undefined
  /** The user, for rules that are kept per `user`. */
  user?: string | undefined
  /** Other keys that rules are kept per, by name. */
  keys?: Readonly<Record<string, string | undefined>> | undefined
}

/** Which bucket of a tenant is meant. */
export interface BucketOptions {
  /** That of this rule. Default: the tenant's own quota. */
  rule?: string | undefined
  /** What the rule's bucket is kept per, besides the tenant. */
  request?: RequestFacts | undefined
}

/** Options of a call that charges a tenant. */
export interface ConsumeOptions {
  /** Tokens to take: a whole number from 0. Default: 1. */
  cost?: number | undefined
  /** A rule that is charged, too, whether it matches or not. */
  rule?: string | undefined
  /** The request that it is for, which decides which rules match. Default: nothing is known of it. */
  request?: RequestFacts | undefined
}

/** Options of {@link Limiter.reserve}. */
export interface ReserveOptions extends ConsumeOptions {
  /** After this time without a word, the cost that was reserved stands: 1 ms to 366 days. Default: `'5m'`. */
  ttl?: Duration | undefined
}

/** A decision on a cost that is known only afterwards. One that was refused has nothing to settle. */
export interface Reservation extends Decision {
  /**
   * Says what it has cost: a whole number from 0. What was reserved too much comes back to every limit that applied; what was
   * reserved too little is taken, into a debt of one full bucket at most. Slots come back.
   * @returns false if it was settled or cancelled before, or its `ttl` is over: nothing has changed then.
   */
  settle(actual: number): boolean
  /** Gives everything back, as if it had not been. @returns as {@link Reservation.settle} */
  cancel(): boolean
}

/** What a limiter is doing. */
export interface LimiterStatus {
  policy: {
    /** The number of the policy: 1 is the one that the limiter started with; each change of tenants makes the next. */
    revision: number
    /** SHA-256 of its content: equal policies have equal hashes. */
    hash: string
    /** Tenants that it names. */
    tenants: number
    /** Rules, without those that do the same as another. */
    rules: number
    /** Different limits. */
    limits: number
    /** The size of the compiled policy. */
    imageBytes: number
    /** How hard it was optimised. */
    optimizationLevel: number
  }
  /** This process. All processes of a fleet are in `fleet.instances`. */
  instances: { host: string; pid: number; revision: number }[]
  /** How many processes share its buckets, as this one has heard last; 1 without backends. */
  liveInstances: number
  /** In the order in which they were given; none without `backends`. */
  backends: BackendStatus[]
  /** The rollout that is under way, whoever began it. */
  rollout: RolloutStatus | null
  /** What the fleet has agreed on, as this process has read last; null without `backends`. */
  fleet: FleetStatus | null
  keys: {
    /** Keys remembered. */
    held: number
    /** Keys that the table has room for at the moment. */
    slots: number
    /** Bytes that the table takes. */
    bytes: number
    /** Decisions that fell to a shared bucket because of `maxKeys`. */
    overflowed: number
  }
}

/** A Redis that holds shared buckets. */
export interface BackendStatus {
  /** Where it is, without its password. */
  url: string
  /** What it has turned out to be. */
  kind: 'standalone' | 'cluster' | 'sentinel' | 'unknown'
  /**
   * - `'up'`: it answers.
   * - `'down'`: it does not, or refuses; its tenants are with the next backend, or are decided as `onBackendFailure` says.
   * - `'settling'`: it has come back, and its tenants are on their way to it.
   */
  state: 'up' | 'down' | 'settling'
  /** The nodes that are known: masters, replicas, sentinels. */
  nodes: { address: string; role: string }[]
  /** Milliseconds that it took to answer last; null before it has. */
  latencyMs: number | null
  /** What went wrong last; null if nothing has. */
  lastError: string | null
}

/** A policy that was put in force, or was not to be. */
export interface AppliedPolicy extends RolloutResult {
  /** What the compiler made of it. */
  report: CompileReport
}

/** What the compiler made of a policy. */
export interface CompileReport {
  /** The size of the image. */
  bytes: number
  /** Rules, without those that do the same as another. */
  rules: number
  /** Tenants that it names. */
  tenants: number
  /** Different limits. */
  limits: number
  /** Classes of tenants that rules tell apart. */
  profiles: number
  /** Instructions of the decision program. */
  instructions: number
  /** Tests whose outcome was known beforehand. */
  folded: number
  /** Rules that no request is charged to unless it names them, and why. */
  removed: [rule: string, why: string][]
  /** Rules that do the same as another, and which. */
  merged: [rule: string, into: string][]
  /** The optimisation level. */
  level: OptimizationLevel
}

/** Something that a person should look at. */
export interface AlertEvent {
  /**
   * - `'callback-failed'`: a callback of the service threw where no request can carry the error.
   * - `'tenant-refresh-failed'`: tenants could not be loaded again; the last ones stay in force.
   * - `'policy-superseded'`: another limiter of the namespace has applied another policy, so that the tenants of this one's are
   *   not refreshed; told once, until they are again.
   * - `'rule-missing'`: a route names a rule that the policy in force has not, because another limiter of the namespace has
   *   applied it; the route charges what else applies, and tells so once.
   * - `'backend-degraded'`: a backend does not answer, or refuses; its tenants move to the next one, or are decided as
   *   `onBackendFailure` says. If nobody listened when it happened, whoever listens first is told, unless it is back by then.
   * - `'backend-recovered'`: it answers again.
   * - `'policy-rolled-back'`: a rollout was rolled back, and why.
   * - `'instance-diverged'`: an instance has been on another revision than the active one for longer than `patience`.
   * - `'image-refused'`: an instance does not take the image of a policy, and keeps its last good one.
   */
  kind:
    | 'callback-failed'
    | 'tenant-refresh-failed'
    | 'policy-superseded'
    | 'rule-missing'
    | 'backend-degraded'
    | 'backend-recovered'
    | 'policy-rolled-back'
    | 'instance-diverged'
    | 'image-refused'
  /** The option that it is about, such as the one that holds the callback. */
  option: string
  /** Where the backend is, without its password; undefined if it is about none. */
  backend?: string | undefined
  /** The instance of the fleet; undefined if it is about none. */
  instance?: { host: string; pid: string } | undefined
  /** What was thrown, or what was wrong with what was given; undefined of a backend that has recovered. */
  error: unknown
}

/** The policy in force has changed. */
export interface PolicyEvent {
  /**
   * - `'amended'`: by {@link Limiter.upsertTenant} or {@link Limiter.removeTenant} of this limiter.
   * - `'refreshed'`: its tenants were loaded again, and are others.
   * - `'applied'`: by {@link Limiter.applyPolicy}; of a fleet, by a rollout, whoever began it, and when it is rolled back again.
   */
  kind: 'amended' | 'refreshed' | 'applied'
  /** The number of the policy now. */
  revision: number
  /** SHA-256 of its content. */
  hash: string
}

/** Events of a limiter, by name. `rollout` tells of every rollout of the fleet, whoever began it. */
export interface LimiterEvents {
  alert: AlertEvent
  rollout: RolloutEvent
  policy: PolicyEvent
}

/**
 * A policy in force.
 *
 * Methods that take a tenant throw a {@link TollgateInputError} for what is not a tenant name (1 to 256 bytes of
 * well-formed UTF-8), and every method but `close`, `on` and `off` throws a {@link TollgateClosedError}
 * after `close`.
 */
export interface Limiter extends AsyncDisposable {
  /**
   * A request handler that holds each tenant to its quota. Each use charges: mount it once per request.
   * @throws {@link TollgateConfigError} for options that are not accepted.
   * @example
   * app.use(limiter.middleware())
   * app.post('/reports', limiter.middleware({ cost: 10 }), report)
   */
  middleware(options?: MiddlewareOptions): Middleware
  /**
   * Admits and charges, or refuses and charges nothing; never waits. Of a fleet, what this process holds no lease for yet is
   * refused with reason `'lease-pending'`, and asked for.
   * @example
   * if (!limiter.tryConsume('acme', { cost: 5 }).allowed) return 'later'
   */
  tryConsume(tenant: string, options?: ConsumeOptions): Decision
  /**
   * {@link Limiter.tryConsume} as a promise, which rejects where that throws. Of a fleet, it waits for a lease, `maxWait` at
   * most; then `onBackendFailure` decides.
   */
  consume(tenant: string, options?: ConsumeOptions): Promise<Decision>
  /** What {@link Limiter.tryConsume} would decide, without charging. */
  peek(tenant: string, options?: ConsumeOptions): Decision
  /**
   * Reserves a cost that is known only afterwards, such as the tokens of a language model. Waits as {@link Limiter.consume} does.
   * @example
   * const reservation = await limiter.reserve('acme', { cost: 2_000 })
   * if (!reservation.allowed) return 'later'
   * const answer = await model.ask(prompt)
   * reservation.settle(answer.usage.totalTokens)
   */
  reserve(tenant: string, options?: ReserveOptions): Promise<Reservation>
  /** Gives a tenant tokens back, never more than a full bucket; returns what it has then. */
  reward(tenant: string, tokens: number, options?: BucketOptions): Decision
  /** Takes tokens whether they are there or not, into a debt of one full bucket at most. */
  penalize(tenant: string, tokens: number, options?: BucketOptions): Decision
  /** Refuses a tenant for a time, which replaces an earlier block; 0 ends it. */
  block(tenant: string, duration: Duration, options?: BucketOptions): Decision
  /** Fills a tenant's bucket and lifts its block. Requests in flight keep their slots. */
  reset(tenant: string, options?: BucketOptions): Decision
  /** What the policy makes of a request, and why, in words for a person. Charges nothing. */
  explain(tenant: string, options?: ConsumeOptions): string
  /**
   * Puts another policy in force while requests go on; resolves once it is, in all threads of this namespace. Buckets keep what
   * has been spent, those of rules by the name of the rule and what it is kept per: a larger quota gives exactly the difference,
   * a smaller one stops at empty, and under another window what is spent comes back at the new rate; between tokens and requests
   * in flight nothing is carried over. No request is decided by half a policy.
   *
   * Tenants are the new policy's: what {@link Limiter.upsertTenant} changed before is replaced, too. Changes are made in the order
   * in which they are asked for, however long one of them takes to load its tenants.
   * With `backends`, or with options about rollouts, it is a rollout: every instance stages the policy, a canary decides by it first,
   * and it is judged by live traffic; then it is locked in, or rolled back. It resolves to either. A limiter that closes meanwhile
   * does not end it: the fleet goes on.
   * @throws {@link TollgateConfigError} (as a rejection) with every fault found, a rule among them that a route of this limiter
   * names and the policy has not; {@link TollgateRolloutError} if the rollout does not begin, because another one is under way, the
   * backends have faults, or the policy is the active one or was rolled back before. Nothing has changed then.
   * @example
   * const { status, reason } = await limiter.applyPolicy({ defaultQuota: 50 }, { rollout: { observationWindow: '5m' } })
   */
  applyPolicy(definition: PolicyDefinition, options?: ApplyOptions): Rollout<AppliedPolicy>
  /**
   * Goes back to an earlier revision, or without one to the last that was not rolled away from: at once everywhere, without being
   * judged. While a rollout is under way, it cancels that.
   * @throws {@link TollgateRolloutError} (as a rejection) if there is no such revision.
   */
  rollback(revision?: number, options?: ApplyOptions): Rollout
  /**
   * The newest entries of the audit trail, 50 unless `count` says otherwise.
   * @throws {@link TollgateRolloutError} (as a rejection) if the first backend does not answer.
   */
  history(count?: number): Promise<History>
  /**
   * Looks an Express app over, 4 or 5: this limiter mounted twice on a path, another one in the chain, a limiter after a body parser
   * or after the routes that it should guard, and faults of `trust proxy`. Rollouts look over the apps that the middleware was called by.
   */
  inspectApp(app: unknown): TopologyFinding[]
  /**
   * Gives a tenant a quota of its own, or another one, while requests go on: resolves once it is in force in all threads
   * of this namespace. What the tenant has spent stays spent: a larger quota gives exactly the difference, a smaller one
   * stops at empty. What is left out of `quota` comes from the defaults, or the tier, of the policy in force, whichever limiter of
   * the namespace has applied it. Changes that come together are made together. The change lasts until tenants are loaded again, or
   * another policy is applied.
   *
   * Limiters that join the namespace later name the policy that it began with; they get these changes too. With `backends` the change
   * is made at all instances of the fleet, those that start later among them, and is in {@link Limiter.history}; Redis has the hash of
   * the tenant's name. It is upon the active policy: a rollout to another one ends it.
   * @throws {@link TollgateConfigError} (as a rejection) for a quota that is not accepted; nothing has changed then.
   * {@link TollgateRolloutError} if the first backend does not answer.
   * @example
   * await limiter.upsertTenant('acme', { quota: 500, burst: 50 })
   */
  upsertTenant(tenant: string, quota: TenantOverride): Promise<void>
  /** Takes a tenant's own quota away, so that it has the default one; resolves to whether it had one of its own. */
  removeTenant(tenant: string): Promise<boolean>
  /** What the limiter is doing. */
  status(): LimiterStatus
  /** Calls a listener at each event of a name. */
  on<Name extends keyof LimiterEvents>(event: Name, listener: (event: LimiterEvents[Name]) => void): this
  /** Calls it no more. */
  off<Name extends keyof LimiterEvents>(event: Name, listener: (event: LimiterEvents[Name]) => void): this
  /**
   * Ends it. The buckets of a namespace go with its last limiter in the process; of a fleet, they stay, and what this process
   * has leased and not spent goes back, which takes a second at most. Calling it again does nothing.
   */
  close(): Promise<void>
}
