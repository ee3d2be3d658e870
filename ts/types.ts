/** What a service declares and what it gets back. Types only: no code, and nothing imported but Node's types. */

import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * A request as Tollgate reads it: Node's, with what frameworks add to it. A callback that takes a request may declare
 * its parameter as its own framework's type, such as Express's `Request`.
 */
export interface HttpRequest extends IncomingMessage {
  /** The client's address as the framework sees it; in Express it follows `trust proxy`. */
  ip?: string | undefined
  /** The host that was asked for; in Express it follows `trust proxy`. */
  hostname?: string | undefined
  /** The path before routers strip their mount point from `url`. */
  originalUrl?: string | undefined
  /** The path without the query, as Express gives it. */
  path?: string
  /** What an authenticating middleware has verified. */
  auth?: unknown
  /** What an authenticating middleware has verified. */
  user?: unknown
  /** What the middleware decided on this request. */
  rateLimit?: Decision | undefined
}

/**
 * Why a request was admitted or refused.
 *
 * - `'ok'`: admitted.
 * - `'quota'`: the bucket does not hold the cost.
 * - `'blocked'`: refused by {@link Limiter.block}.
 * - `'denied'`: never admitted: a quota of 0, or a tenant that the policy does not name under `unknownTenant: 'reject'`.
 * - `'overflow'`: more keys than `maxKeys`, and the bucket that the rest share does not hold the cost.
 * - `'concurrency'`, `'lease-pending'`, `'backend'`: reserved; not given by this version.
 */
export type Reason =
  'ok' | 'quota' | 'blocked' | 'denied' | 'concurrency' | 'lease-pending' | 'backend' | 'overflow'

/** What was decided on one request. */
export interface Decision {
  /** Is the request admitted? */
  readonly allowed: boolean
  /** Whom it was charged to; undefined for a request without a tenant, which is charged to its client's address. */
  readonly tenant: string | undefined
  /** The rule that decided: `'default'`, the tenant's own quota. */
  readonly rule: string
  /** Tokens in a full bucket: quota plus burst. Infinity without a limit. */
  readonly limit: number
  /** Whole tokens left. Infinity without a limit. */
  readonly remaining: number
  /** Milliseconds until the bucket is full again; for a block, until it ends. */
  readonly resetMs: number
  /** Milliseconds until the same request would be admitted: 0 if it was, Infinity if it never will be. */
  readonly retryAfterMs: number
  /** Why. */
  readonly reason: Reason
}

/** A length of time: whole milliseconds, or a number with a unit as in `'500ms'`, `'10s'`, `'1m'`, `'24h'`, `'7d'`. */
export type Duration = number | string

/** What a tenant is granted. What is left out comes from the policy's defaults. */
export interface TenantQuota {
  /** Tokens per window: a whole number, 0 for nothing; or `'unlimited'`. */
  quota: number | 'unlimited'
  /** Tokens on top that a full bucket holds: a whole number. Default: `burstAllowance`. */
  burst?: number | undefined
  /** The time in which the quota is refilled: 1 ms to 366 days. Default: the policy's `window`. */
  window?: Duration | undefined
}

/** A tenant's quota: a number of tokens per window (0 for nothing), `'unlimited'`, or the whole of it. */
export type TenantOverride = number | 'unlimited' | TenantQuota

/** A tenant's quota with its name, as rows of a database have it. */
export interface TenantRow extends TenantQuota {
  /** The tenant: 1 to 256 bytes of UTF-8. */
  tenant: string
}

/** Tenants with quotas of their own. A Map or rows load without a pause however many there are; a record of a million
 * keys holds the event loop while JavaScript lists its keys. */
export type TenantOverrides =
  Readonly<Record<string, TenantOverride>> | ReadonlyMap<string, TenantOverride> | readonly TenantRow[]

/** What tenants may use. */
export interface PolicyDefinition {
  /** Tokens per window for a tenant without an override: a whole number, or `'unlimited'`. Default: 100. */
  defaultQuota?: number | 'unlimited' | undefined
  /** The time in which a quota is refilled: 1 ms to 366 days. Default: `'1m'`. */
  window?: Duration | undefined
  /** Tokens on top of the quota that a full bucket holds: a whole number. Default: 20. */
  burstAllowance?: number | undefined
  /** Tenants with quotas of their own, or a function that loads them: at the start, and every `tenantRefresh`. Default: none. */
  tenantOverrides?: TenantOverrides | (() => TenantOverrides | Promise<TenantOverrides>) | undefined
  /**
   * How often the function of `tenantOverrides` is called again, from the end of one call to the start of the next: 1 s to 24
   * days. What it gives replaces all overrides, {@link Limiter.upsertTenant}'s among them; what tenants have spent stays spent.
   * If it fails, the last overrides stay in force, and there is an alert. Default: never.
   */
  tenantRefresh?: Duration | undefined
}

/**
 * Names the tenant of a request. Without one (`undefined`, `null`, or what is not a tenant name: empty, longer than
 * 256 bytes, malformed), the request is handled as `missingTenant` says. What it throws goes to the error handler.
 */
export type TenantResolver = {
  // A method's parameters are bivariant: this is what lets a resolver declare `(req: express.Request)`.
  resolve(req: HttpRequest): string | null | undefined | Promise<string | null | undefined>
}['resolve']

/** The tenant is the value of a header. */
export interface HeaderStrategy {
  strategy: 'header-based'
  /** The header. Default: `'x-tenant-id'`. */
  header?: string | undefined
}

/** The tenant is who holds the API key in a header. */
export interface ApiKeyStrategy {
  strategy: 'api-key'
  /** The header. Default: `'x-api-key'`. */
  header?: string | undefined
  /** Whose key it is. Default: the key itself names the tenant. */
  lookup?: ((key: string) => string | null | undefined | Promise<string | null | undefined>) | undefined
}

/** The tenant is a label of the host name, in lower case. */
export interface SubdomainStrategy {
  strategy: 'subdomain'
  /** The service's domain: the tenant is the label directly left of it. Default: the first of three labels or more. */
  domain?: string | undefined
}

/** The tenant is a segment of the path, percent-decoded. Empty segments do not count. */
export interface PathStrategy {
  strategy: 'path'
  /** Which segment, from 0. Default: 0. */
  segment?: number | undefined
}

/** The tenant is the client's address. */
export interface IpStrategy {
  strategy: 'ip'
}

/**
 * The tenant is a claim of a token that an earlier middleware **has verified** and left on `req.auth`,
 * `req.auth.payload` or `req.user`. Tollgate reads no token by itself.
 */
export interface JwtClaimStrategy {
  strategy: 'jwt-claim'
  /** The claim. Default: `'tenant_id'`. */
  claim?: string | undefined
}

/** A strategy with its settings. */
export type TenantStrategyObject =
  HeaderStrategy | ApiKeyStrategy | SubdomainStrategy | PathStrategy | IpStrategy | JwtClaimStrategy

/** How the tenant of a request is found: by name with default settings, by an object, or by a function. */
export type TenantResolutionStrategy =
  TenantStrategyObject['strategy'] | TenantStrategyObject | TenantResolver

/** Options of {@link enforceRateLimitPolicy}. */
export interface RateLimitPolicyOptions {
  /** How the tenant of a request is found. Default: `'header-based'`, the header `x-tenant-id`. */
  tenantResolutionStrategy?: TenantResolutionStrategy | undefined
  /** What a request without a tenant gets: the default quota for its client's address, or status 400.
   * Default: `'anonymous'`. */
  missingTenant?: 'anonymous' | 'reject' | undefined
  /** What a tenant gets that the policy does not name: the default quota, or status 403. Default: `'default'`. */
  unknownTenant?: 'default' | 'reject' | undefined
  /** What tenants may use. Default: 100 requests a minute and a burst of 20 for each. */
  policyDefinition?: PolicyDefinition | undefined
  /** Separates limiters in one process: threads with the same namespace and policy share their buckets.
   * Default: `'default'`. */
  namespace?: string | undefined
  /** Keys that are remembered at most: 1,024 to 100,000,000. Default: 1,000,000. */
  maxKeys?: number | undefined
  /** The share of `maxKeys` that keys nobody named may take, each kind of them: above 0, at most 1. Default: 0.25. */
  keyShare?: number | undefined
  /** IPv6 clients are told apart by this many bits of their address: 32 to 128. Default: 56. */
  ipv6Subnet?: number | undefined
  /** The client's address. Default: `req.ip` where a framework gives it, else the socket's. */
  clientIp?: { read(req: HttpRequest): string | undefined }['read'] | undefined
  /** Milliseconds of a clock that never runs backwards, for tests. Default: the system's monotonic clock. */
  clock?: (() => number) | undefined
  /** Redis backends that hold shared buckets. This version has none, so it accepts only an empty list. */
  backends?: readonly string[] | undefined
  /** The share of decisions that a rollout may flip from allow to deny: 0 to 1. Kept for rollouts. */
  rollbackThreshold?: number | undefined
  /** The metrics format. Kept for metrics. Default: `'none'`. */
  metricsExport?: 'prometheus' | 'none' | undefined
}

/**
 * A version of the rate-limit response headers.
 *
 * - `'draft-11'`: `RateLimit-Policy: "default";q=100;w=60` and `RateLimit: "default";r=50;t=30`, of
 *   draft-ietf-httpapi-ratelimit-headers-11.
 * - `'draft-8'`: the same with `pk`, a hash that tells a client's partitions apart.
 * - `'legacy'`: `X-RateLimit-Limit`, `-Remaining`, and `-Reset` (seconds of the Unix epoch when the bucket is full).
 * - `'none'`: none.
 */
export type HeaderVersion = 'draft-11' | 'draft-8' | 'legacy' | 'none'

/** Goes on to the next handler, or with an error to the error handler. */
export type Next = (error?: unknown) => void

/** Options of {@link Limiter.middleware}. */
export interface MiddlewareOptions {
  /** Tokens that a request takes: a whole number from 0. Default: 1. */
  cost?: number | { price(req: HttpRequest): number | Promise<number> }['price'] | undefined
  /** Lets a request pass uncounted, without headers. Default: none. */
  skip?: { skip(req: HttpRequest): boolean | Promise<boolean> }['skip'] | undefined
  /** The tenant on this mount. Default: as `tenantResolutionStrategy` says. */
  tenant?: TenantResolver | undefined
  /**
   * Answers a refused request instead of the problem-details body. The status (429, or 403 for a tenant that the
   * policy refuses) and the headers are set already. Calling `next()` lets the request pass.
   */
  onLimited?:
    | {
        // eslint-disable-next-line @typescript-eslint/no-explicit-any -- a framework's response type fits here
        answer(req: HttpRequest, res: any, next: Next, decision: Decision): unknown
      }['answer']
    | undefined
  /** Which headers responses carry. `Retry-After` is sent in any case. Default: `'draft-11'`. */
  headers?: HeaderVersion | readonly HeaderVersion[] | undefined
  /** The status of a refusal: 400 to 599. Default: 429. */
  statusCode?: number | undefined
  /** Gives the cost back when the response was successful. Default: false. */
  skipSuccessfulRequests?: boolean | undefined
  /** Gives the cost back when the response was not successful, or the client has gone away. Default: false. */
  skipFailedRequests?: boolean | undefined
  /** Was it successful? Asked once the response has ended. Default: a status below 400. */
  requestWasSuccessful?:
    { judge(req: HttpRequest, res: ServerResponse): boolean | Promise<boolean> }['judge'] | undefined
}

/**
 * A request handler, for Express 4 and 5, for connect, and for plain `node:http`: called without `next`, it returns
 * whether the request is admitted (a promise of it, if a callback is asynchronous), having answered it if not.
 */
export interface Middleware {
  (req: IncomingMessage, res: ServerResponse, next: Next): void
  (req: IncomingMessage, res: ServerResponse): boolean | Promise<boolean>
}

/** Options of a call that charges a tenant. */
export interface ConsumeOptions {
  /** Tokens to take: a whole number from 0. Default: 1. */
  cost?: number | undefined
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
    /** Rules: 1, the tenant's own quota. */
    rules: number
    /** Different limits. */
    limits: number
  }
  /** The processes that enforce it: this one. */
  instances: { host: string; pid: number; revision: number }[]
  /** Backends: none in this version. */
  backends: never[]
  /** The rollout under way: none in this version. */
  rollout: null
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

/** Something that a person should look at. */
export interface AlertEvent {
  /**
   * - `'callback-failed'`: a callback of the service threw where no request can carry the error.
   * - `'tenant-refresh-failed'`: tenants could not be loaded again; the last ones stay in force.
   */
  kind: 'callback-failed' | 'tenant-refresh-failed'
  /** The option that holds the callback. */
  option: string
  /** What it threw, or what was wrong with what it gave. */
  error: unknown
}

/** The policy in force has changed. */
export interface PolicyEvent {
  /**
   * - `'amended'`: by {@link Limiter.upsertTenant} or {@link Limiter.removeTenant} of this limiter.
   * - `'refreshed'`: its tenants were loaded again, and are others.
   */
  kind: 'amended' | 'refreshed'
  /** The number of the policy now. */
  revision: number
  /** SHA-256 of its content. */
  hash: string
}

/** Events of a limiter, by name. `rollout` is reserved; this version does not emit it. */
export interface LimiterEvents {
  alert: AlertEvent
  rollout: { kind: string }
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
   * Admits and charges, or refuses and charges nothing; never waits.
   * @example
   * if (!limiter.tryConsume('acme', { cost: 5 }).allowed) return 'later'
   */
  tryConsume(tenant: string, options?: ConsumeOptions): Decision
  /** {@link Limiter.tryConsume} as a promise, which rejects where that throws. */
  consume(tenant: string, options?: ConsumeOptions): Promise<Decision>
  /** What {@link Limiter.tryConsume} would decide, without charging. */
  peek(tenant: string, options?: ConsumeOptions): Decision
  /** Gives a tenant tokens back, never more than a full bucket; returns what it has then. */
  reward(tenant: string, tokens: number): Decision
  /** Takes tokens whether they are there or not, into a debt of one full bucket at most. */
  penalize(tenant: string, tokens: number): Decision
  /** Refuses a tenant for a time, which replaces an earlier block; 0 ends it. */
  block(tenant: string, duration: Duration): Decision
  /** Fills a tenant's bucket and lifts its block. */
  reset(tenant: string): Decision
  /**
   * Gives a tenant a quota of its own, or another one, while requests go on: resolves once it is in force in all threads
   * of this namespace. What the tenant has spent stays spent: a larger quota gives exactly the difference, a smaller one
   * stops at empty. What is left out of `quota` comes from the policy's defaults. Changes that come together are made
   * together.
   *
   * Limiters that join the namespace later name the policy that it began with; they get these changes too.
   * @throws {@link TollgateConfigError} (as a rejection) for a quota that is not accepted; nothing has changed then.
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
  /** Ends it. The buckets of a namespace go with its last limiter in the process. Calling it again does nothing. */
  close(): Promise<void>
}

declare global {
  // eslint-disable-next-line @typescript-eslint/no-namespace -- how Express lets a request be extended
  namespace Express {
    interface Request {
      /** What Tollgate's middleware decided on this request. */
      rateLimit?: Decision | undefined
    }
  }
}
