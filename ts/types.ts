/** What a service declares and what it gets back. Types only: no code. Policies have their own: policy-types.ts. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duration, PolicyDefinition } from './policy-types.ts'

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
  /** What routers have stripped. */
  baseUrl?: string | undefined
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
 * - `'denied'`: never admitted: a quota of 0, the deny list, or a tenant that the policy does not name under
 *   `unknownTenant: 'reject'`.
 * - `'concurrency'`: as many requests are in flight as a rule allows.
 * - `'overflow'`: more keys than `maxKeys`, and the bucket that the rest share does not hold the cost.
 * - `'lease-pending'`: of a fleet, no lease is held for it yet. {@link Limiter.tryConsume} says so, because it does not wait.
 * - `'backend'`: of a fleet, the backend is gone, and `onBackendFailure` is `'deny'`.
 */
export type Reason =
  'ok' | 'quota' | 'blocked' | 'denied' | 'concurrency' | 'lease-pending' | 'backend' | 'overflow'

/** What was decided on one request. Where several limits applied, its figures are those of the one that decided. */
export interface Decision {
  /** Is the request admitted? */
  readonly allowed: boolean
  /** Whom it was charged to; undefined for a request without a tenant, which is charged to its client's address. */
  readonly tenant: string | undefined
  /**
   * The limit that decided: the rule that refused the request, and of several the one that does so longest; or the one with
   * the fewest tokens left. `'default'` is the tenant's own quota.
   */
  readonly rule: string
  /** Tokens in a full bucket: quota plus burst. Infinity without a limit. */
  readonly limit: number
  /** Whole tokens left. Infinity without a limit. */
  readonly remaining: number
  /** Milliseconds until the bucket is full again; for a block, until it ends; 0 for a limit on concurrency. */
  readonly resetMs: number
  /**
   * Milliseconds until the same request would be admitted: 0 if it was, Infinity if it never will be. When a slot comes back is
   * not known: for a limit on concurrency, a second.
   */
  readonly retryAfterMs: number
  /** Why. */
  readonly reason: Reason
  /** Every limit that applied, the one that decided first. */
  readonly limits: readonly AppliedLimit[]
}

/** One limit that applied to a request. */
export interface AppliedLimit {
  /** The name of the rule; `'default'` for the tenant's own quota. */
  readonly rule: string
  /** Does it refuse requests, or only count what it would refuse? */
  readonly mode: 'enforce' | 'shadow'
  /** Does it admit the request? */
  readonly allowed: boolean
  /** Tokens in a full bucket; for a limit on concurrency, requests in flight. */
  readonly limit: number
  /** Whole tokens left. */
  readonly remaining: number
  /** As {@link Decision.resetMs}. */
  readonly resetMs: number
  /** As {@link Decision.retryAfterMs}. */
  readonly retryAfterMs: number
  /** Why. */
  readonly reason: Reason
}

/**
 * Names the tenant of a request. Without one (`undefined`, `null`, or what is not a tenant name: empty, longer than
 * 256 bytes, malformed), the request is handled as `missingTenant` says. What it throws goes to the error handler.
 */
export type TenantResolver = {
  // A method's parameters are bivariant: this is what lets a resolver declare `(req: express.Request)`.
  resolve(req: HttpRequest): string | null | undefined | Promise<string | null | undefined>
}['resolve']

/** Reads a key of a request. */
export type KeyReader = {
  read(req: HttpRequest): string | number | readonly string[] | null | undefined
}['read']

/** How hard a policy is optimised when it is compiled. */
export type OptimizationLevel = 0 | 1 | 2

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

/** How a fleet comes to another policy, and what is not tolerated on the way. */
export interface RolloutOptions {
  /**
   * `'rolling'`: some instances first, then more, each step judged by live traffic before the next. `'simultaneous'`: all at one
   * agreed instant. Default: `'rolling'`.
   */
  strategy?: 'rolling' | 'simultaneous' | undefined
  /** Of `'rolling'`: which share of the instances each step takes in, the first being the canary: 1 to 32 numbers that rise to 1.
   * Default: `[0.1, 0.5, 1]`. */
  steps?: readonly number[] | undefined
  /** How long each step is judged by live traffic, at least: 0 to 24 h. Default: `'60s'`. */
  observationWindow?: Duration | undefined
  /** How long at most: with too little traffic until then, the policy is rolled back as inconclusive: `observationWindow` to 7 days.
   * Default: `'15m'`, or `observationWindow` if that is longer. */
  deadline?: Duration | undefined
  /** Nothing is said of fewer requests than this: from 1. Default: 100. */
  minSamples?: number | undefined
  /** How long an instance may take to do what it has to, and to say so: 100 ms to 1 h. Default: `'10s'`. */
  patience?: Duration | undefined
  /** Of `'simultaneous'`: how far ahead the instant is at which all change: 0 to 1 h. Default: `'3s'`. */
  lead?: Duration | undefined
  /** What a tenant was admitted at once, over what it may be: 1 to 1000. Default: 1. */
  burstRatio?: number | undefined
  /** The share of requests that may fail (status 500 and above, or an error of the limiter), on top of those that fail under the old
   * policy: 0 to 1. Default: 0.005. */
  errorRate?: number | undefined
}

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
  /**
   * Keys that `per` of a rule may name, each with a function that reads it from a request: by its name, 1 to 64 of
   * `A-Z a-z 0-9 _ . : -`, 16 at most. `tenant` and `ip` are there already, and so is `user`, which may be given another
   * function; its own reads `req.user.id`, `req.user.sub` or `req.auth.sub`. Requests without the key (`undefined`, `null`)
   * share one bucket. Default: none.
   * @example
   * { region: (req) => req.headers['x-region'] }
   */
  keys?: Readonly<Record<string, KeyReader>> | undefined
  /**
   * How hard a policy is optimised when it is compiled; which requests are admitted is the same at each. 0: not at all. 1: what
   * is known of a tenant is decided beforehand. 2: rules share their tests, too. Default: 2.
   */
  optimizationLevel?: OptimizationLevel | undefined
  /** Separates limiters in one process, and fleets on one backend: those with the same namespace and policy share their buckets.
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
  /** Milliseconds of a clock that never runs backwards, for tests; not with `backends`. Default: the system's monotonic clock. */
  clock?: (() => number) | undefined
  /**
   * Redis servers over which all processes with the same `namespace` share their buckets: up to 8, as
   * `redis://user:password@host:6379/0`, `rediss://…`, `redis+sentinel://…`, or a host name, which is `redis://NAME:6379`. Whether
   * one is a Redis Cluster, it is asked. Tenants are spread over several. Default: none, or `[]`: limits hold in this process.
   */
  backends?: readonly string[] | undefined
  /** How often leases are renewed and given back: 10 ms to 10 s. Only with `backends`. Default: `'100ms'`. */
  syncInterval?: Duration | undefined
  /**
   * How long a request waits for a lease at most; then `onBackendFailure` decides: 0 to 10 s. Only with `backends`.
   * Default: `'50ms'`.
   */
  maxWait?: Duration | undefined
  /**
   * How long tokens that an instance has taken in advance are its own: 200 ms to 60 s, at least four times `syncInterval`. In any
   * time t, a fleet admits `quota + burst + rate x (t + leaseTtl)` at most. Only with `backends`. Default: `'2s'`, or four times
   * `syncInterval` if that is longer.
   */
  leaseTtl?: Duration | undefined
  /**
   * What happens to the first request of an idle tenant: it waits for a lease, one round trip; or `'credit'`: it may spend `credit`
   * tokens ahead of it, so that nothing waits, and the bound grows by instances x credit, once. Only with `backends`.
   * Default: `'wait'`.
   */
  coldStart?: 'wait' | 'credit' | undefined
  /** Tokens of each limit that an instance may spend ahead of its first lease: 1 to 1,000,000. Only with `coldStart: 'credit'`.
   * Default: 1. */
  credit?: number | undefined
  /**
   * What decides while no backend answers: `'local'`, each instance enforces its share of each limit, limit / live instances;
   * `'allow'` admits, `'deny'` refuses with reason `'backend'`, status 503. Only with `backends`. Default: `'local'`.
   */
  onBackendFailure?: 'local' | 'allow' | 'deny' | undefined
  /** After this time without an answer, a backend counts as gone: 50 ms to 10 s. Only with `backends`. Default: `'500ms'`. */
  backendTimeout?: Duration | undefined
  /**
   * Of the requests that the policy in force admits, the share that the next one may refuse, for the fleet and for each tenant with
   * enough of them: 0 to 1. Above it, a rollout is rolled back. Default: 0.05.
   */
  rollbackThreshold?: number | undefined
  /**
   * How {@link Limiter.applyPolicy} brings the fleet to another policy. Without `backends`, giving this, be it `{}`, makes a rollout of
   * what is done at once otherwise. Default: see {@link RolloutOptions}.
   */
  rollout?: RolloutOptions | undefined
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
   * A rule that is charged here, whether it matches or not. Where the request has been admitted by this limiter for the same
   * tenant before, that rule is all that is charged, and nothing if it was charged then. While a route names a rule, no policy
   * without it can be applied by this limiter.
   * @example
   * app.get('/search', limiter.middleware({ rule: 'search' }), search)
   */
  rule?: string | undefined
  /**
   * Answers a refused request instead of the problem-details body. The status (429, 403 for whom the deny list or
   * `unknownTenant` refuses, or 503 where the backend is gone) and the headers are set already. Calling `next()` lets the request pass.
   */
  onLimited?:
    | {
        // eslint-disable-next-line @typescript-eslint/no-explicit-any -- a framework's response type fits here
        answer(req: HttpRequest, res: any, next: Next, decision: Decision): unknown
      }['answer']
    | undefined
  /** Which headers responses carry. `Retry-After` is sent in any case. Default: `'draft-11'`. */
  headers?: HeaderVersion | readonly HeaderVersion[] | undefined
  /** The status of a refusal by a quota: 400 to 599. Default: 429. */
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
 * whether the request is admitted (a promise of it, if a callback is asynchronous or a lease is waited for), having answered it
 * if not.
 */
export interface Middleware {
  (req: IncomingMessage, res: ServerResponse, next: Next): void
  (req: IncomingMessage, res: ServerResponse): boolean | Promise<boolean>
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
