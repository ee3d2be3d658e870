// Generated from ts/ by scripts/build-ts.mjs. Do not edit: change ts/ and build again.

import { IncomingMessage, ServerResponse } from 'node:http';

/** The language of policies: what tenants, tiers and rules are declared with. Types only. */
/** A length of time: whole milliseconds, or a number with a unit as in `'500ms'`, `'10s'`, `'1m'`, `'24h'`, `'7d'`. */
type Duration = number | string;
/**
 * The time that a quota is for: a length of 1 ms to 366 days, or, with `algorithm: 'fixed-window'` only, a calendar `'day'`
 * or `'month'` in UTC.
 */
type Window = 'day' | 'month' | number | (string & Record<never, never>);
/**
 * How a limit counts. What each admits at most, where `t` is any length of time:
 *
 * - `'token-bucket'`: `quota + burst + quota x t / window`. A full bucket holds `quota + burst` tokens and is refilled
 *   evenly.
 * - `'fixed-window'`: `quota + burst` in each window, and up to twice that in a short time across the boundary of two.
 *   Windows are aligned to the Unix epoch, or to calendar days and months in UTC.
 * - `'sliding-window'`: `(quota + burst) x (1 + t / window)`. What the window before used still counts for the part of it
 *   that lies less than a window back.
 */
type Algorithm = 'token-bucket' | 'fixed-window' | 'sliding-window';
/** The name of a tier: one of the keys of {@link PolicyDefinition.tiers}. */
type TierName = string & Record<never, never>;
/** What may be left out of a tier, of a tenant's quota and of a rule. */
interface Measure {
    /**
     * Tokens on top of the quota: a whole number from 0. Default: `burstAllowance`; of a tenant in a tier, the tier's; of a
     * rule, 0.
     */
    burst?: number | undefined;
    /**
     * The time that the quota is for: 1 ms to 366 days, or with a fixed window `'day'` or `'month'`. Default: the policy's
     * `window`; of a tenant in a tier, the tier's.
     */
    window?: Window | undefined;
    /**
     * How it counts. Default: the policy's `algorithm`; of a tenant in a tier, the tier's.
     */
    algorithm?: Algorithm | undefined;
}
/** A quota that tenants share by name, not by bucket. What is left out comes from the policy's defaults. */
interface TierQuota extends Measure {
    /** Tokens per window: a whole number, 0 for nothing; or `'unlimited'`. */
    quota: number | 'unlimited';
}
/** A tier: a number of tokens per window (0 for nothing), `'unlimited'`, or the whole of it. */
type Tier = number | 'unlimited' | TierQuota;
/** What a tenant is granted. What is left out comes from its tier, or else from the policy's defaults. */
interface TenantQuota extends Measure {
    /** Tokens per window: a whole number, 0 for nothing; or `'unlimited'`. */
    quota: number | 'unlimited';
    /** The tier that the tenant is in: for what is left out here, and for rules that match it. Default: none. */
    tier?: TierName | undefined;
}
/** A tenant in a tier, with what is different for it. */
interface TenantInTier extends Measure {
    /** The tier that the tenant is in. */
    tier: TierName;
    /** Tokens per window: a whole number, 0 for nothing; or `'unlimited'`. Default: the tier's. */
    quota?: number | 'unlimited' | undefined;
}
/** A tenant's quota: tokens per window (0 for nothing), `'unlimited'`, the name of a tier, or the whole of it. */
type TenantOverride = number | 'unlimited' | TierName | TenantQuota | TenantInTier;
/** A tenant's quota with its name, as rows of a database have it. */
type TenantRow = (TenantQuota | TenantInTier) & {
    /** The tenant: 1 to 256 bytes of UTF-8. */
    tenant: string;
};
/** Tenants with quotas of their own. A Map or rows load without a pause however many there are; a record of a million
 * keys holds the event loop while JavaScript lists its keys. */
type TenantOverrides = Readonly<Record<string, TenantOverride>> | ReadonlyMap<string, TenantOverride> | readonly TenantRow[];
/** One, or a list of them: any of the list is meant. */
type OneOrMany<Item> = Item | readonly Item[];
/** Which requests a rule is for: those that fit every field that is given. Default: all. */
interface RuleMatch {
    /** Methods: `'GET'`, which is HEAD too, or `['POST', 'PUT']`. Default: any. */
    method?: OneOrMany<string> | undefined;
    /**
     * Paths, as Express 5 writes routes: `/reports`, `/users/:id`, `/files/*rest`, `/export{/:format}`. No spelling slips by: a
     * path matches as it is or in its canonical form (slashes, dot segments, percent-encoding). Default: any.
     */
    path?: OneOrMany<string> | undefined;
    /** Tiers: tenants in one of them. Default: any tenant. */
    tier?: OneOrMany<TierName> | undefined;
    /** Tenants. Default: any. */
    tenant?: OneOrMany<string> | undefined;
}
/**
 * Whose requests share a bucket: those of one tenant, of one client address, of one user, or of one value of a key that
 * {@link RateLimitPolicyOptions.keys} names.
 */
type RulePart = 'tenant' | 'ip' | 'user' | (string & Record<never, never>);
/** What rules of both kinds have. */
interface RuleFields {
    /** Its name, in headers, decisions and metrics: 1 to 64 of `A-Z a-z 0-9 _ . : -`; not `default`. */
    name: string;
    /** Which requests it is for. Default: all. */
    match?: RuleMatch | undefined;
    /** Whose requests share a bucket; several parts make one key. Default: `'tenant'`. */
    per?: OneOrMany<RulePart> | undefined;
    /** Tokens that a request takes from this rule: a whole number from 1. Default: what the request costs. */
    cost?: number | undefined;
    /** `'shadow'` counts and reports what it would refuse, and refuses nothing. Default: `'enforce'`. */
    mode?: 'enforce' | 'shadow' | undefined;
}
/** A rule that limits tokens per window. */
interface QuotaRule extends RuleFields, Measure {
    /** Tokens per window: a whole number, 0 for nothing; or `'unlimited'`. */
    quota: number | 'unlimited';
    concurrency?: undefined;
}
/** A rule that limits how many requests are in flight. */
interface ConcurrencyRule extends RuleFields {
    /**
     * Requests in flight at most, from admission until the response ends or the client has gone: 1 to 2,147,483,648; with
     * `backends`, in all processes together, and up to 65,535.
     */
    concurrency: number;
    quota?: undefined;
    burst?: undefined;
    window?: undefined;
    algorithm?: undefined;
}
/**
 * A limit on top of the tenants' quotas. A request is charged to its tenant's quota and to every rule that matches: all
 * or none.
 */
type Rule = QuotaRule | ConcurrencyRule;
/** Who is not limited. */
interface AllowList {
    /** Tenants that no limit applies to. Default: none. */
    tenants?: readonly string[] | undefined;
    /** Client addresses and networks (`10.0.0.0/8`, `2001:db8::/32`) that no limit applies to. Default: none. */
    addresses?: readonly string[] | undefined;
}
/** Who is always refused. Above {@link AllowList}. */
interface DenyList {
    /** Tenants that are always refused. Default: none. */
    tenants?: readonly string[] | undefined;
    /** Client addresses and networks (`203.0.113.7`, `2001:db8::/32`) that are always refused. Default: none. */
    addresses?: readonly string[] | undefined;
}
/** What tenants may use. */
interface PolicyDefinition {
    /** Where the schema of a policy file is, for editors. Not read. */
    $schema?: string | undefined;
    /** Tokens per window for a tenant without an override: a whole number, or `'unlimited'`. Default: 100. */
    defaultQuota?: number | 'unlimited' | undefined;
    /**
     * The time that a quota is for: 1 ms to 366 days, or with `algorithm: 'fixed-window'` a calendar `'day'` or `'month'` in
     * UTC. Default: `'1m'`.
     */
    window?: Window | undefined;
    /** Tokens on top of the quota: a whole number from 0. Not of rules, which have none by default. Default: 20. */
    burstAllowance?: number | undefined;
    /** How quotas count. Default: `'token-bucket'`. */
    algorithm?: Algorithm | undefined;
    /**
     * Quotas that tenants share by name: 1 to 64 of `A-Z a-z 0-9 _ . : -` each; not `unlimited`. Default: none.
     * @example
     * { free: 60, pro: { quota: 600, burst: 100 }, internal: 'unlimited' }
     */
    tiers?: Readonly<Record<string, Tier>> | undefined;
    /**
     * Tenants with quotas of their own, or a function that loads them: at the start, and every `tenantRefresh`. Default: none.
     * @example
     * { acme: 'pro', globex: { tier: 'enterprise', quota: 20_000 }, initech: 500, internal: 'unlimited' }
     */
    tenantOverrides?: TenantOverrides | (() => TenantOverrides | Promise<TenantOverrides>) | undefined;
    /**
     * How often the function of `tenantOverrides` is called again, from the end of one call to the start of the next: 1 s to 24
     * days. What it gives replaces all overrides, {@link Limiter.upsertTenant}'s among them; what tenants have spent stays spent.
     * If it fails, the last overrides stay in force, and there is an alert. Default: never.
     */
    tenantRefresh?: Duration | undefined;
    /**
     * Limits on top of the tenants' quotas, for the requests that they match: at most 256. Default: none.
     * @example
     * [{ name: 'search', match: { method: 'GET', path: '/search' }, per: ['tenant', 'user'], quota: 10, window: '1s' }]
     */
    rules?: readonly Rule[] | undefined;
    /** Tenants and addresses that no limit applies to. Default: none. */
    allow?: AllowList | undefined;
    /** Tenants and addresses that are always refused, even if they are allowed too. Default: none. */
    deny?: DenyList | undefined;
    /** Do paths of rules tell upper from lower case, like Express's `case sensitive routing`? Default: false. */
    caseSensitivePaths?: boolean | undefined;
    /** Do paths of rules tell `/reports/` from `/reports`, like Express's `strict routing`? Default: false. */
    strictPaths?: boolean | undefined;
}

/** What a service declares and what it gets back. Types only: no code. Policies have their own: policy-types.ts. */

/**
 * A request as Tollgate reads it: Node's, with what frameworks add to it. A callback that takes a request may declare
 * its parameter as its own framework's type, such as Express's `Request`.
 */
interface HttpRequest extends IncomingMessage {
    /** The client's address as the framework sees it; in Express it follows `trust proxy`. */
    ip?: string | undefined;
    /** The host that was asked for; in Express it follows `trust proxy`. */
    hostname?: string | undefined;
    /** The path before routers strip their mount point from `url`. */
    originalUrl?: string | undefined;
    /** What routers have stripped. */
    baseUrl?: string | undefined;
    /** The path without the query, as Express gives it. */
    path?: string;
    /** What an authenticating middleware has verified. */
    auth?: unknown;
    /** What an authenticating middleware has verified. */
    user?: unknown;
    /** What the middleware decided on this request. */
    rateLimit?: Decision | undefined;
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
type Reason = 'ok' | 'quota' | 'blocked' | 'denied' | 'concurrency' | 'lease-pending' | 'backend' | 'overflow';
/** What was decided on one request. Where several limits applied, its figures are those of the one that decided. */
interface Decision {
    /** Is the request admitted? */
    readonly allowed: boolean;
    /** Whom it was charged to; undefined for a request without a tenant, which is charged to its client's address. */
    readonly tenant: string | undefined;
    /**
     * The limit that decided: the rule that refused the request, and of several the one that does so longest; or the one with
     * the fewest tokens left. `'default'` is the tenant's own quota.
     */
    readonly rule: string;
    /** Tokens in a full bucket: quota plus burst. Infinity without a limit. */
    readonly limit: number;
    /** Whole tokens left. Infinity without a limit. */
    readonly remaining: number;
    /** Milliseconds until the bucket is full again; for a block, until it ends; 0 for a limit on concurrency. */
    readonly resetMs: number;
    /**
     * Milliseconds until the same request would be admitted: 0 if it was, Infinity if it never will be. When a slot comes back is
     * not known: for a limit on concurrency, a second.
     */
    readonly retryAfterMs: number;
    /** Why. */
    readonly reason: Reason;
    /** Every limit that applied, the one that decided first. */
    readonly limits: readonly AppliedLimit[];
}
/** One limit that applied to a request. */
interface AppliedLimit {
    /** The name of the rule; `'default'` for the tenant's own quota. */
    readonly rule: string;
    /** Does it refuse requests, or only count what it would refuse? */
    readonly mode: 'enforce' | 'shadow';
    /** Does it admit the request? */
    readonly allowed: boolean;
    /** Tokens in a full bucket; for a limit on concurrency, requests in flight. */
    readonly limit: number;
    /** Whole tokens left. */
    readonly remaining: number;
    /** As {@link Decision.resetMs}. */
    readonly resetMs: number;
    /** As {@link Decision.retryAfterMs}. */
    readonly retryAfterMs: number;
    /** Why. */
    readonly reason: Reason;
}
/**
 * Names the tenant of a request. Without one (`undefined`, `null`, or what is not a tenant name: empty, longer than
 * 256 bytes, malformed), the request is handled as `missingTenant` says. What it throws goes to the error handler.
 */
type TenantResolver = {
    resolve(req: HttpRequest): string | null | undefined | Promise<string | null | undefined>;
}['resolve'];
/** Reads a key of a request. */
type KeyReader = {
    read(req: HttpRequest): string | number | readonly string[] | null | undefined;
}['read'];
/** How hard a policy is optimised when it is compiled. */
type OptimizationLevel = 0 | 1 | 2;
/** The tenant is the value of a header. */
interface HeaderStrategy {
    strategy: 'header-based';
    /** The header. Default: `'x-tenant-id'`. */
    header?: string | undefined;
}
/** The tenant is who holds the API key in a header. */
interface ApiKeyStrategy {
    strategy: 'api-key';
    /** The header. Default: `'x-api-key'`. */
    header?: string | undefined;
    /** Whose key it is. Default: the key itself names the tenant. */
    lookup?: ((key: string) => string | null | undefined | Promise<string | null | undefined>) | undefined;
}
/** The tenant is a label of the host name, in lower case. */
interface SubdomainStrategy {
    strategy: 'subdomain';
    /** The service's domain: the tenant is the label directly left of it. Default: the first of three labels or more. */
    domain?: string | undefined;
}
/** The tenant is a segment of the path, percent-decoded. Empty segments do not count. */
interface PathStrategy {
    strategy: 'path';
    /** Which segment, from 0. Default: 0. */
    segment?: number | undefined;
}
/** The tenant is the client's address. */
interface IpStrategy {
    strategy: 'ip';
}
/**
 * The tenant is a claim of a token that an earlier middleware **has verified** and left on `req.auth`,
 * `req.auth.payload` or `req.user`. Tollgate reads no token by itself.
 */
interface JwtClaimStrategy {
    strategy: 'jwt-claim';
    /** The claim. Default: `'tenant_id'`. */
    claim?: string | undefined;
}
/** A strategy with its settings. */
type TenantStrategyObject = HeaderStrategy | ApiKeyStrategy | SubdomainStrategy | PathStrategy | IpStrategy | JwtClaimStrategy;
/** How the tenant of a request is found: by name with default settings, by an object, or by a function. */
type TenantResolutionStrategy = TenantStrategyObject['strategy'] | TenantStrategyObject | TenantResolver;
/** How a fleet comes to another policy, and what is not tolerated on the way. */
interface RolloutOptions {
    /**
     * `'rolling'`: some instances first, then more, each step judged by live traffic before the next. `'simultaneous'`: all at one
     * agreed instant. Default: `'rolling'`.
     */
    strategy?: 'rolling' | 'simultaneous' | undefined;
    /** Of `'rolling'`: which share of the instances each step takes in, the first being the canary: 1 to 32 numbers that rise to 1.
     * Default: `[0.1, 0.5, 1]`. */
    steps?: readonly number[] | undefined;
    /** How long each step is judged by live traffic, at least: 0 to 24 h. Default: `'60s'`. */
    observationWindow?: Duration | undefined;
    /** How long at most: with too little traffic until then, the policy is rolled back as inconclusive: `observationWindow` to 7 days.
     * Default: `'15m'`, or `observationWindow` if that is longer. */
    deadline?: Duration | undefined;
    /** Nothing is said of fewer requests than this: from 1. Default: 100. */
    minSamples?: number | undefined;
    /** How long an instance may take to do what it has to, and to say so: 100 ms to 1 h. Default: `'10s'`. */
    patience?: Duration | undefined;
    /** Of `'simultaneous'`: how far ahead the instant is at which all change: 0 to 1 h. Default: `'3s'`. */
    lead?: Duration | undefined;
    /** What a tenant was admitted at once, over what it may be: 1 to 1000. Default: 1. */
    burstRatio?: number | undefined;
    /** The share of requests that may fail (status 500 and above, or an error of the limiter), on top of those that fail under the old
     * policy: 0 to 1. Default: 0.005. */
    errorRate?: number | undefined;
}
/** Options of {@link enforceRateLimitPolicy}. */
interface RateLimitPolicyOptions {
    /** How the tenant of a request is found. Default: `'header-based'`, the header `x-tenant-id`. */
    tenantResolutionStrategy?: TenantResolutionStrategy | undefined;
    /** What a request without a tenant gets: the default quota for its client's address, or status 400.
     * Default: `'anonymous'`. */
    missingTenant?: 'anonymous' | 'reject' | undefined;
    /** What a tenant gets that the policy does not name: the default quota, or status 403. Default: `'default'`. */
    unknownTenant?: 'default' | 'reject' | undefined;
    /** What tenants may use. Default: 100 requests a minute and a burst of 20 for each. */
    policyDefinition?: PolicyDefinition | undefined;
    /**
     * Keys that `per` of a rule may name, each with a function that reads it from a request: by its name, 1 to 64 of
     * `A-Z a-z 0-9 _ . : -`, 16 at most. `tenant` and `ip` are there already, and so is `user`, which may be given another
     * function; its own reads `req.user.id`, `req.user.sub` or `req.auth.sub`. Requests without the key (`undefined`, `null`)
     * share one bucket. Default: none.
     * @example
     * { region: (req) => req.headers['x-region'] }
     */
    keys?: Readonly<Record<string, KeyReader>> | undefined;
    /**
     * How hard a policy is optimised when it is compiled; which requests are admitted is the same at each. 0: not at all. 1: what
     * is known of a tenant is decided beforehand. 2: rules share their tests, too. Default: 2.
     */
    optimizationLevel?: OptimizationLevel | undefined;
    /** Separates limiters in one process, and fleets on one backend: those with the same namespace and policy share their buckets.
     * Default: `'default'`. */
    namespace?: string | undefined;
    /** Keys that are remembered at most: 1,024 to 100,000,000. Default: 1,000,000. */
    maxKeys?: number | undefined;
    /** The share of `maxKeys` that keys nobody named may take, each kind of them: above 0, at most 1. Default: 0.25. */
    keyShare?: number | undefined;
    /** IPv6 clients are told apart by this many bits of their address: 32 to 128. Default: 56. */
    ipv6Subnet?: number | undefined;
    /** The client's address. Default: `req.ip` where a framework gives it, else the socket's. */
    clientIp?: {
        read(req: HttpRequest): string | undefined;
    }['read'] | undefined;
    /** Milliseconds of a clock that never runs backwards, for tests; not with `backends`. Default: the system's monotonic clock. */
    clock?: (() => number) | undefined;
    /**
     * Redis servers over which all processes with the same `namespace` share their buckets: up to 8, as
     * `redis://user:password@host:6379/0`, `rediss://…`, `redis+sentinel://…`, or a host name, which is `redis://NAME:6379`. Whether
     * one is a Redis Cluster, it is asked. Tenants are spread over several. Default: none, or `[]`: limits hold in this process.
     */
    backends?: readonly string[] | undefined;
    /** How often leases are renewed and given back: 10 ms to 10 s. Only with `backends`. Default: `'100ms'`. */
    syncInterval?: Duration | undefined;
    /**
     * How long a request waits for a lease at most; then `onBackendFailure` decides: 0 to 10 s. Only with `backends`.
     * Default: `'50ms'`.
     */
    maxWait?: Duration | undefined;
    /**
     * How long tokens that an instance has taken in advance are its own: 200 ms to 60 s, at least four times `syncInterval`. In any
     * time t, a fleet admits `quota + burst + rate x (t + leaseTtl)` at most. Only with `backends`. Default: `'2s'`, or four times
     * `syncInterval` if that is longer.
     */
    leaseTtl?: Duration | undefined;
    /**
     * What happens to the first request of an idle tenant: it waits for a lease, one round trip; or `'credit'`: it may spend `credit`
     * tokens ahead of it, so that nothing waits, and the bound grows by instances x credit, once. Only with `backends`.
     * Default: `'wait'`.
     */
    coldStart?: 'wait' | 'credit' | undefined;
    /** Tokens of each limit that an instance may spend ahead of its first lease: 1 to 1,000,000. Only with `coldStart: 'credit'`.
     * Default: 1. */
    credit?: number | undefined;
    /**
     * What decides while no backend answers: `'local'`, each instance enforces its share of each limit, limit / live instances;
     * `'allow'` admits, `'deny'` refuses with reason `'backend'`, status 503. Only with `backends`. Default: `'local'`.
     */
    onBackendFailure?: 'local' | 'allow' | 'deny' | undefined;
    /** After this time without an answer, a backend counts as gone: 50 ms to 10 s. Only with `backends`. Default: `'500ms'`. */
    backendTimeout?: Duration | undefined;
    /**
     * Of the requests that the policy in force admits, the share that the next one may refuse, for the fleet and for each tenant with
     * enough of them: 0 to 1. Above it, a rollout is rolled back. Default: 0.05.
     */
    rollbackThreshold?: number | undefined;
    /**
     * How {@link Limiter.applyPolicy} brings the fleet to another policy. Without `backends`, giving this, be it `{}`, makes a rollout of
     * what is done at once otherwise. Default: see {@link RolloutOptions}.
     */
    rollout?: RolloutOptions | undefined;
    /** The metrics format. Kept for metrics. Default: `'none'`. */
    metricsExport?: 'prometheus' | 'none' | undefined;
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
type HeaderVersion = 'draft-11' | 'draft-8' | 'legacy' | 'none';
/** Goes on to the next handler, or with an error to the error handler. */
type Next = (error?: unknown) => void;
/** Options of {@link Limiter.middleware}. */
interface MiddlewareOptions {
    /** Tokens that a request takes: a whole number from 0. Default: 1. */
    cost?: number | {
        price(req: HttpRequest): number | Promise<number>;
    }['price'] | undefined;
    /** Lets a request pass uncounted, without headers. Default: none. */
    skip?: {
        skip(req: HttpRequest): boolean | Promise<boolean>;
    }['skip'] | undefined;
    /** The tenant on this mount. Default: as `tenantResolutionStrategy` says. */
    tenant?: TenantResolver | undefined;
    /**
     * A rule that is charged here, whether it matches or not. Where the request has been admitted by this limiter for the same
     * tenant before, that rule is all that is charged, and nothing if it was charged then. While a route names a rule, no policy
     * without it can be applied by this limiter.
     * @example
     * app.get('/search', limiter.middleware({ rule: 'search' }), search)
     */
    rule?: string | undefined;
    /**
     * Answers a refused request instead of the problem-details body. The status (429, 403 for whom the deny list or
     * `unknownTenant` refuses, or 503 where the backend is gone) and the headers are set already. Calling `next()` lets the request pass.
     */
    onLimited?: {
        answer(req: HttpRequest, res: any, next: Next, decision: Decision): unknown;
    }['answer'] | undefined;
    /** Which headers responses carry. `Retry-After` is sent in any case. Default: `'draft-11'`. */
    headers?: HeaderVersion | readonly HeaderVersion[] | undefined;
    /** The status of a refusal by a quota: 400 to 599. Default: 429. */
    statusCode?: number | undefined;
    /** Gives the cost back when the response was successful. Default: false. */
    skipSuccessfulRequests?: boolean | undefined;
    /** Gives the cost back when the response was not successful, or the client has gone away. Default: false. */
    skipFailedRequests?: boolean | undefined;
    /** Was it successful? Asked once the response has ended. Default: a status below 400. */
    requestWasSuccessful?: {
        judge(req: HttpRequest, res: ServerResponse): boolean | Promise<boolean>;
    }['judge'] | undefined;
}
/**
 * A request handler, for Express 4 and 5, for connect, and for plain `node:http`: called without `next`, it returns
 * whether the request is admitted (a promise of it, if a callback is asynchronous or a lease is waited for), having answered it
 * if not.
 */
interface Middleware {
    (req: IncomingMessage, res: ServerResponse, next: Next): void;
    (req: IncomingMessage, res: ServerResponse): boolean | Promise<boolean>;
}
declare global {
    namespace Express {
        interface Request {
            /** What Tollgate's middleware decided on this request. */
            rateLimit?: Decision | undefined;
        }
    }
}

/** Rollouts, as they are asked for and told of. Types only. */

/** Options of {@link Limiter.applyPolicy} and {@link Limiter.rollback}. */
interface ApplyOptions {
    /** What is different from the limiter's option `rollout`. Default: nothing. */
    rollout?: RolloutOptions | undefined;
    /** Default: the limiter's. */
    rollbackThreshold?: number | undefined;
    /** In spite of faults of the backends, and of an earlier rollback of the same policy? Default: false. */
    force?: boolean | undefined;
    /** Who wants it, for the audit trail: 1 to 256 characters. Default: host and process. */
    proposer?: string | undefined;
}
/** A stage of a rollout. */
type StageName = 'topology_scan' | 'policy_compilation' | 'redis_topology_validation' | 'policy_injection' | 'traffic_validation';
/**
 * How a stage stands: `'skipped'` if it was not needed or not come to, `'inconclusive'` if there was too little traffic to judge by.
 */
type StageStatus = 'pending' | 'running' | 'passed' | 'failed' | 'skipped' | 'inconclusive';
interface Staged {
    stage: StageName;
    status: StageStatus;
    /** How long it took, or has taken so far. */
    duration_ms: number;
}
/** Who and what is there; and whether the backends are fit for a rollout. */
interface ScanStage extends Staged {
    stage: 'topology_scan' | 'redis_topology_validation';
    findings: TopologyFinding[];
}
/** What the compiler made of the policy; null before it has. */
interface CompilationStage extends Staged {
    stage: 'policy_compilation';
    output: CompilationOutput | null;
}
/** Instances come to decide by the policy. */
interface InjectionStage extends Staged {
    stage: 'policy_injection';
    instances_updated: number;
    instances_pending: number;
}
/** Live traffic is judged by both policies. */
interface ValidationStage extends Staged {
    stage: 'traffic_validation';
    /** How long each step is looked at, at least: `'60s'`. */
    validation_window: string;
    threshold_checks: ThresholdCheck[];
}
/** A stage as the log has it. */
type StageLog = ScanStage | CompilationStage | InjectionStage | ValidationStage;
/** Something that was found. */
interface TopologyFinding {
    /** What it is about. */
    kind: 'instance' | 'workers' | 'tenants' | 'redis_node' | 'backend' | 'app';
    /** `'fault'`: it is wrong; `'warning'`: it may go wrong; `'info'`: good to know. */
    level: 'info' | 'warning' | 'fault';
    /** In words. */
    text: string;
    /** What there is to know by kind: an instance's host, pid, versions and revision; a node's address and role; an app's path. */
    [detail: string]: unknown;
}
/** What the compiler made of a policy, and how it differs from the one in force. */
interface CompilationOutput {
    hash: string;
    image_bytes: number;
    tenants: number;
    rules: number;
    limits: number;
    optimization_level: number;
    /** What was known beforehand, left out or merged. */
    optimizations: string[];
    /** One line for each difference; null if it is not known what is in force. */
    diff: string[] | null;
}
/** What a check of live traffic has found. */
interface ThresholdCheck {
    check: 'decision_flips' | 'burst_ratio' | 'tenant_isolation' | 'error_rate';
    value: number;
    /** What it may be at most. */
    threshold: number;
    /** Of how many requests it speaks. */
    samples: number;
    scope: 'fleet' | {
        tenant: {
            hash: string;
            name: string;
        };
    };
    verdict: 'passed' | 'inconclusive' | 'failed';
}
/** A policy as a fleet calls it. */
interface FleetRevision {
    /** Counted from 1, and never given twice. */
    number: number;
    hash: string;
}
/** How a rollout ended. */
type RolloutOutcome = {
    status: 'locked';
    revision: FleetRevision;
} | {
    status: 'rolled_back';
    revision: FleetRevision;
    reason: string;
    check?: ThresholdCheck['check'];
};
/** A rollout, from its beginning to where it stands. */
interface ExecutionLog {
    /** `infra_rl_2026_01_15_09_42_17`; null until the fleet knows of it. */
    execution_id: string | null;
    agent: 'tollgate';
    task: 'enforce_rate_limit_policy';
    /** RFC 3339, in UTC. */
    start_timestamp: string;
    /** All five, in their order. */
    stages: StageLog[];
    /** When it is over if all goes well, as far as can be said: RFC 3339, in UTC. */
    estimated_completion: string | null;
    /** How it ended, once it has. */
    outcome?: RolloutOutcome | undefined;
}
/** Something has happened to a rollout. */
type RolloutEvent = {
    /** A stage has begun or ended, or there is something new in it. */
    kind: 'stage';
    id: string | null;
    stage: StageLog;
    log: ExecutionLog;
} | {
    /** It is over. */
    kind: 'locked' | 'rolled_back';
    id: string;
    revision: FleetRevision;
    /** Why it was rolled back. */
    reason?: string | undefined;
    log: ExecutionLog;
};
/** How a rollout ended, and what is in force now. */
interface RolloutResult {
    status: 'locked' | 'rolled_back';
    /** The number of the policy in force: of a fleet, or after a rollout, the fleet's; otherwise this process's. */
    revision: number;
    /** SHA-256 of its content. */
    hash: string;
    log: ExecutionLog;
    /** Why it was rolled back. */
    reason?: string | undefined;
}
/**
 * A policy on its way. Awaiting it gives how it ended; it rejects with a {@link TollgateRolloutError} if it does not begin, and with a
 * {@link TollgateConfigError} for faults of the policy. Iterating it gives what happens, from the first stage to the end.
 * @example
 * const rollout = limiter.applyPolicy(definition)
 * for await (const event of rollout) if (event.kind === 'stage') console.log(event.stage.stage, event.stage.status)
 * const { status, reason } = await rollout
 */
interface Rollout<Result extends RolloutResult = RolloutResult> extends Promise<Result>, AsyncIterable<RolloutEvent> {
    /** What it is called; null until the fleet knows of it. */
    readonly id: string | null;
    /** How it stands. Another object each time that something has changed. */
    readonly log: ExecutionLog;
    /** Rolls it back; resolves once that is asked for. */
    cancel(): Promise<void>;
    /** Takes too little traffic for enough; resolves once that is asked for. What fails fails nevertheless. */
    confirm(): Promise<void>;
}
/** An entry of the audit trail. */
interface AuditEntry {
    /** Counted from 1, without a gap. */
    number: number;
    /** When, by the backend's clock: RFC 3339, in UTC. */
    time: string;
    /** Of which rollout. */
    execution_id: string;
    /** What has happened: `'proposed'`, `'locked'`, `'rolled_back'` and so on. */
    event: string;
    /** What there is to know of it. */
    [detail: string]: unknown;
}
/** What a fleet's audit trail says. */
interface History {
    /** The newest last. */
    entries: AuditEntry[];
    /** Is the trail as it was written? Each entry is chained to the one before. */
    intact: boolean;
    /** What is wrong with it. */
    broken?: string | undefined;
}
/** A process of a fleet. */
interface FleetInstance {
    host: string;
    pid: string;
    nodeVersion: string;
    packageVersion: string;
    /** The revision that it decides by; null if it is not in service. */
    revision: number | null;
    /** An observer, such as a command line, decides on nothing. */
    role: 'instance' | 'observer';
    /** Why it does not take an image, if it does not. */
    refuses: string | null;
}
/** What is known of a fleet. */
interface FleetStatus {
    /** What is active outside a rollout; null until that is known. */
    revision: FleetRevision | null;
    /** Those that live, this process among them. */
    instances: FleetInstance[];
    /** Revisions that one can go back to, the newest last. */
    earlier: FleetRevision[];
    /** Why this process takes no part in rollouts at present; null if it does. */
    failure: string | null;
}
/** A rollout that is under way. */
interface RolloutStatus {
    id: string;
    candidate: FleetRevision;
    from: FleetRevision;
    phase: 'staging' | 'switching' | 'agreed' | 'validating' | 'promoting' | 'rolling_back';
    /** Which step of how many, from 1. */
    step: {
        number: number;
        of: number;
    };
    proposer: string;
    forced: boolean;
    log: ExecutionLog | null;
}

/** The limiter, and what it tells. Types only. */

/** A request as the service tells of it, where there is none of HTTP. What is left out is not there. */
interface RequestFacts {
    /** `'GET'`; without it, no rule that asks for a method matches. */
    method?: string | undefined;
    /** The path, with or without a query; without it, no rule that asks for a path matches. */
    path?: string | undefined;
    /** The client's address, for lists and for rules that are kept per `ip`. */
    ip?: string | undefined;
    /** The user, for rules that are kept per `user`. */
    user?: string | undefined;
    /** Other keys that rules are kept per, by name. */
    keys?: Readonly<Record<string, string | undefined>> | undefined;
}
/** Which bucket of a tenant is meant. */
interface BucketOptions {
    /** That of this rule. Default: the tenant's own quota. */
    rule?: string | undefined;
    /** What the rule's bucket is kept per, besides the tenant. */
    request?: RequestFacts | undefined;
}
/** Options of a call that charges a tenant. */
interface ConsumeOptions {
    /** Tokens to take: a whole number from 0. Default: 1. */
    cost?: number | undefined;
    /** A rule that is charged, too, whether it matches or not. */
    rule?: string | undefined;
    /** The request that it is for, which decides which rules match. Default: nothing is known of it. */
    request?: RequestFacts | undefined;
}
/** Options of {@link Limiter.reserve}. */
interface ReserveOptions extends ConsumeOptions {
    /** After this time without a word, the cost that was reserved stands: 1 ms to 366 days. Default: `'5m'`. */
    ttl?: Duration | undefined;
}
/** A decision on a cost that is known only afterwards. One that was refused has nothing to settle. */
interface Reservation extends Decision {
    /**
     * Says what it has cost: a whole number from 0. What was reserved too much comes back to every limit that applied; what was
     * reserved too little is taken, into a debt of one full bucket at most. Slots come back.
     * @returns false if it was settled or cancelled before, or its `ttl` is over: nothing has changed then.
     */
    settle(actual: number): boolean;
    /** Gives everything back, as if it had not been. @returns as {@link Reservation.settle} */
    cancel(): boolean;
}
/** What a limiter is doing. */
interface LimiterStatus {
    policy: {
        /** The number of the policy: 1 is the one that the limiter started with; each change of tenants makes the next. */
        revision: number;
        /** SHA-256 of its content: equal policies have equal hashes. */
        hash: string;
        /** Tenants that it names. */
        tenants: number;
        /** Rules, without those that do the same as another. */
        rules: number;
        /** Different limits. */
        limits: number;
        /** The size of the compiled policy. */
        imageBytes: number;
        /** How hard it was optimised. */
        optimizationLevel: number;
    };
    /** This process. All processes of a fleet are in `fleet.instances`. */
    instances: {
        host: string;
        pid: number;
        revision: number;
    }[];
    /** How many processes share its buckets, as this one has heard last; 1 without backends. */
    liveInstances: number;
    /** In the order in which they were given; none without `backends`. */
    backends: BackendStatus[];
    /** The rollout that is under way, whoever began it. */
    rollout: RolloutStatus | null;
    /** What the fleet has agreed on, as this process has read last; null without `backends`. */
    fleet: FleetStatus | null;
    keys: {
        /** Keys remembered. */
        held: number;
        /** Keys that the table has room for at the moment. */
        slots: number;
        /** Bytes that the table takes. */
        bytes: number;
        /** Decisions that fell to a shared bucket because of `maxKeys`. */
        overflowed: number;
    };
}
/** A Redis that holds shared buckets. */
interface BackendStatus {
    /** Where it is, without its password. */
    url: string;
    /** What it has turned out to be. */
    kind: 'standalone' | 'cluster' | 'sentinel' | 'unknown';
    /**
     * - `'up'`: it answers.
     * - `'down'`: it does not, or refuses; its tenants are with the next backend, or are decided as `onBackendFailure` says.
     * - `'settling'`: it has come back, and its tenants are on their way to it.
     */
    state: 'up' | 'down' | 'settling';
    /** The nodes that are known: masters, replicas, sentinels. */
    nodes: {
        address: string;
        role: string;
    }[];
    /** Milliseconds that it took to answer last; null before it has. */
    latencyMs: number | null;
    /** What went wrong last; null if nothing has. */
    lastError: string | null;
}
/** A policy that was put in force, or was not to be. */
interface AppliedPolicy extends RolloutResult {
    /** What the compiler made of it. */
    report: CompileReport;
}
/** What the compiler made of a policy. */
interface CompileReport {
    /** The size of the image. */
    bytes: number;
    /** Rules, without those that do the same as another. */
    rules: number;
    /** Tenants that it names. */
    tenants: number;
    /** Different limits. */
    limits: number;
    /** Classes of tenants that rules tell apart. */
    profiles: number;
    /** Instructions of the decision program. */
    instructions: number;
    /** Tests whose outcome was known beforehand. */
    folded: number;
    /** Rules that no request is charged to unless it names them, and why. */
    removed: [rule: string, why: string][];
    /** Rules that do the same as another, and which. */
    merged: [rule: string, into: string][];
    /** The optimisation level. */
    level: OptimizationLevel;
}
/** Something that a person should look at. */
interface AlertEvent {
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
    kind: 'callback-failed' | 'tenant-refresh-failed' | 'policy-superseded' | 'rule-missing' | 'backend-degraded' | 'backend-recovered' | 'policy-rolled-back' | 'instance-diverged' | 'image-refused';
    /** The option that it is about, such as the one that holds the callback. */
    option: string;
    /** Where the backend is, without its password; undefined if it is about none. */
    backend?: string | undefined;
    /** The instance of the fleet; undefined if it is about none. */
    instance?: {
        host: string;
        pid: string;
    } | undefined;
    /** What was thrown, or what was wrong with what was given; undefined of a backend that has recovered. */
    error: unknown;
}
/** The policy in force has changed. */
interface PolicyEvent {
    /**
     * - `'amended'`: by {@link Limiter.upsertTenant} or {@link Limiter.removeTenant} of this limiter.
     * - `'refreshed'`: its tenants were loaded again, and are others.
     * - `'applied'`: by {@link Limiter.applyPolicy}; of a fleet, by a rollout, whoever began it, and when it is rolled back again.
     */
    kind: 'amended' | 'refreshed' | 'applied';
    /** The number of the policy now. */
    revision: number;
    /** SHA-256 of its content. */
    hash: string;
}
/** Events of a limiter, by name. `rollout` tells of every rollout of the fleet, whoever began it. */
interface LimiterEvents {
    alert: AlertEvent;
    rollout: RolloutEvent;
    policy: PolicyEvent;
}
/**
 * A policy in force.
 *
 * Methods that take a tenant throw a {@link TollgateInputError} for what is not a tenant name (1 to 256 bytes of
 * well-formed UTF-8), and every method but `close`, `on` and `off` throws a {@link TollgateClosedError}
 * after `close`.
 */
interface Limiter extends AsyncDisposable {
    /**
     * A request handler that holds each tenant to its quota. Each use charges: mount it once per request.
     * @throws {@link TollgateConfigError} for options that are not accepted.
     * @example
     * app.use(limiter.middleware())
     * app.post('/reports', limiter.middleware({ cost: 10 }), report)
     */
    middleware(options?: MiddlewareOptions): Middleware;
    /**
     * Admits and charges, or refuses and charges nothing; never waits. Of a fleet, what this process holds no lease for yet is
     * refused with reason `'lease-pending'`, and asked for.
     * @example
     * if (!limiter.tryConsume('acme', { cost: 5 }).allowed) return 'later'
     */
    tryConsume(tenant: string, options?: ConsumeOptions): Decision;
    /**
     * {@link Limiter.tryConsume} as a promise, which rejects where that throws. Of a fleet, it waits for a lease, `maxWait` at
     * most; then `onBackendFailure` decides.
     */
    consume(tenant: string, options?: ConsumeOptions): Promise<Decision>;
    /** What {@link Limiter.tryConsume} would decide, without charging. */
    peek(tenant: string, options?: ConsumeOptions): Decision;
    /**
     * Reserves a cost that is known only afterwards, such as the tokens of a language model. Waits as {@link Limiter.consume} does.
     * @example
     * const reservation = await limiter.reserve('acme', { cost: 2_000 })
     * if (!reservation.allowed) return 'later'
     * const answer = await model.ask(prompt)
     * reservation.settle(answer.usage.totalTokens)
     */
    reserve(tenant: string, options?: ReserveOptions): Promise<Reservation>;
    /** Gives a tenant tokens back, never more than a full bucket; returns what it has then. */
    reward(tenant: string, tokens: number, options?: BucketOptions): Decision;
    /** Takes tokens whether they are there or not, into a debt of one full bucket at most. */
    penalize(tenant: string, tokens: number, options?: BucketOptions): Decision;
    /** Refuses a tenant for a time, which replaces an earlier block; 0 ends it. */
    block(tenant: string, duration: Duration, options?: BucketOptions): Decision;
    /** Fills a tenant's bucket and lifts its block. Requests in flight keep their slots. */
    reset(tenant: string, options?: BucketOptions): Decision;
    /** What the policy makes of a request, and why, in words for a person. Charges nothing. */
    explain(tenant: string, options?: ConsumeOptions): string;
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
    applyPolicy(definition: PolicyDefinition, options?: ApplyOptions): Rollout<AppliedPolicy>;
    /**
     * Goes back to an earlier revision, or without one to the last that was not rolled away from: at once everywhere, without being
     * judged. While a rollout is under way, it cancels that.
     * @throws {@link TollgateRolloutError} (as a rejection) if there is no such revision.
     */
    rollback(revision?: number, options?: ApplyOptions): Rollout;
    /**
     * The newest entries of the audit trail, 50 unless `count` says otherwise.
     * @throws {@link TollgateRolloutError} (as a rejection) if the first backend does not answer.
     */
    history(count?: number): Promise<History>;
    /**
     * Looks an Express app over, 4 or 5: this limiter mounted twice on a path, another one in the chain, a limiter after a body parser
     * or after the routes that it should guard, and faults of `trust proxy`. Rollouts look over the apps that the middleware was called by.
     */
    inspectApp(app: unknown): TopologyFinding[];
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
    upsertTenant(tenant: string, quota: TenantOverride): Promise<void>;
    /** Takes a tenant's own quota away, so that it has the default one; resolves to whether it had one of its own. */
    removeTenant(tenant: string): Promise<boolean>;
    /** What the limiter is doing. */
    status(): LimiterStatus;
    /** Calls a listener at each event of a name. */
    on<Name extends keyof LimiterEvents>(event: Name, listener: (event: LimiterEvents[Name]) => void): this;
    /** Calls it no more. */
    off<Name extends keyof LimiterEvents>(event: Name, listener: (event: LimiterEvents[Name]) => void): this;
    /**
     * Ends it. The buckets of a namespace go with its last limiter in the process; of a fleet, they stay, and what this process
     * has leased and not spent goes back, which takes a second at most. Calling it again does nothing.
     */
    close(): Promise<void>;
}

/** From options to a policy in force: check, compile, open. Nothing starts half-configured. */

/**
 * Puts a policy in force. Without options: 100 requests a minute, and a burst of 20, for each tenant that the header
 * `x-tenant-id` names. With `backends`, for the whole fleet; it resolves whether they can be reached or not, and there is an
 * alert if one cannot.
 *
 * @throws {@link TollgateConfigError} (as a rejection) naming every option at fault, what was given and what is
 * accepted; {@link TollgateError} `TOLLGATE_ADDON_MISSING` if there is no addon for this machine.
 * @example
 * import express from 'express'
 * import { enforceRateLimitPolicy } from 'tollgate'
 *
 * const limiter = await enforceRateLimitPolicy({
 *   policyDefinition: { defaultQuota: 100, window: '1m', tenantOverrides: { acme: 1000, trial: { quota: 10, burst: 0 } } },
 * })
 * express().use(limiter.middleware()).listen(3000)
 */
declare function enforceRateLimitPolicy(options?: RateLimitPolicyOptions): Promise<Limiter>;

/** Every error that Tollgate throws: a class to catch by, a stable `code` to branch on, a message to act on. */

/** The codes of Tollgate's errors. They do not change between versions. */
type TollgateErrorCode = 'TOLLGATE_CONFIG' | 'TOLLGATE_TENANT_LOADER' | 'TOLLGATE_NAMESPACE_CONFLICT' | 'TOLLGATE_INVALID_TENANT' | 'TOLLGATE_INVALID_COST' | 'TOLLGATE_INVALID_KEY' | 'TOLLGATE_UNKNOWN_RULE' | 'TOLLGATE_ROLLOUT_REFUSED' | 'TOLLGATE_CLOSED' | 'TOLLGATE_ADDON_MISSING' | 'TOLLGATE_INTERNAL';
/** What all of Tollgate's errors are. */
declare class TollgateError extends Error {
    /** What went wrong, for code to branch on. */
    readonly code: TollgateErrorCode;
    constructor(code: TollgateErrorCode, message: string, options?: ErrorOptions);
    get name(): string;
}
/** One fault in the options. */
interface ConfigIssue {
    /** The option at fault: `'policyDefinition.tenantOverrides.acme.quota'`. */
    path: string;
    /** What was given there, escaped and cut short. */
    given: string;
    /** What is accepted there. */
    accepted: string;
    /** What is wrong, where the values alone do not say it. */
    hint?: string;
}
/** The configuration is at fault. Nothing was started. */
declare class TollgateConfigError extends TollgateError {
    /** Every fault that was found, up to 1,000. */
    readonly issues: readonly ConfigIssue[];
    constructor(issues: readonly ConfigIssue[], code?: TollgateErrorCode, options?: ErrorOptions);
    /** The first option at fault. */
    get path(): string;
    /** What was given there. */
    get given(): string;
    /** What is accepted there. */
    get accepted(): string;
}
/** An argument of a call is at fault: `TOLLGATE_INVALID_TENANT`, `TOLLGATE_INVALID_COST`, `TOLLGATE_INVALID_KEY` or
 * `TOLLGATE_UNKNOWN_RULE`. */
declare class TollgateInputError extends TollgateError {
}
/** A rollout does not begin, or what was asked of one is not done: `TOLLGATE_ROLLOUT_REFUSED`. Nothing has changed. */
declare class TollgateRolloutError extends TollgateError {
    /** How far it had come; null where nothing had begun. */
    readonly log: ExecutionLog | null;
    constructor(message: string, 
    /** How far it had come; null where nothing had begun. */
    log?: ExecutionLog | null, options?: ErrorOptions);
}
/** The limiter was closed: `TOLLGATE_CLOSED`. */
declare class TollgateClosedError extends TollgateError {
    constructor();
}

export { TollgateClosedError, TollgateConfigError, TollgateError, TollgateInputError, TollgateRolloutError, enforceRateLimitPolicy };
export type { AlertEvent, Algorithm, AllowList, ApiKeyStrategy, AppliedLimit, AppliedPolicy, ApplyOptions, AuditEntry, BackendStatus, BucketOptions, CompilationOutput, CompilationStage, CompileReport, ConcurrencyRule, ConfigIssue, ConsumeOptions, Decision, DenyList, Duration, ExecutionLog, FleetInstance, FleetRevision, FleetStatus, HeaderStrategy, HeaderVersion, History, HttpRequest, InjectionStage, IpStrategy, JwtClaimStrategy, KeyReader, Limiter, LimiterEvents, LimiterStatus, Middleware, MiddlewareOptions, Next, OneOrMany, OptimizationLevel, PathStrategy, PolicyDefinition, PolicyEvent, QuotaRule, RateLimitPolicyOptions, Reason, RequestFacts, Reservation, ReserveOptions, Rollout, RolloutEvent, RolloutOptions, RolloutOutcome, RolloutResult, RolloutStatus, Rule, RuleMatch, RulePart, ScanStage, StageLog, StageName, StageStatus, SubdomainStrategy, TenantInTier, TenantOverride, TenantOverrides, TenantQuota, TenantResolutionStrategy, TenantResolver, TenantRow, TenantStrategyObject, ThresholdCheck, Tier, TierName, TierQuota, TollgateErrorCode, TopologyFinding, ValidationStage, Window };
