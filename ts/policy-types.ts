/** The language of policies: what tenants, tiers and rules are declared with. Types only. */

/** A length of time: whole milliseconds, or a number with a unit as in `'500ms'`, `'10s'`, `'1m'`, `'24h'`, `'7d'`. */
export type Duration = number | string

/**
 * The time that a quota is for: a length of 1 ms to 366 days, or, with `algorithm: 'fixed-window'` only, a calendar `'day'`
 * or `'month'` in UTC.
 */
// `string & …` keeps the two names from being absorbed by `string`, so that editors complete them.
export type Window = 'day' | 'month' | number | (string & Record<never, never>)

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
export type Algorithm = 'token-bucket' | 'fixed-window' | 'sliding-window'

/** The name of a tier: one of the keys of {@link PolicyDefinition.tiers}. */
export type TierName = string & Record<never, never>

/** What may be left out of a tier, of a tenant's quota and of a rule. */
interface Measure {
  /**
   * Tokens on top of the quota: a whole number from 0. Default: `burstAllowance`; of a tenant in a tier, the tier's; of a
   * rule, 0.
   */
  burst?: number | undefined
  /**
   * The time that the quota is for: 1 ms to 366 days, or with a fixed window `'day'` or `'month'`. Default: the policy's
   * `window`; of a tenant in a tier, the tier's.
   */
  window?: Window | undefined
  /**
   * How it counts. Default: the policy's `algorithm`; of a tenant in a tier, the tier's.
   */
  algorithm?: Algorithm | undefined
}

/** A quota that tenants share by name, not by bucket. What is left out comes from the policy's defaults. */
export interface TierQuota extends Measure {
  /** Tokens per window: a whole number, 0 for nothing; or `'unlimited'`. */
  quota: number | 'unlimited'
}

/** A tier: a number of tokens per window (0 for nothing), `'unlimited'`, or the whole of it. */
export type Tier = number | 'unlimited' | TierQuota

/** What a tenant is granted. What is left out comes from its tier, or else from the policy's defaults. */
export interface TenantQuota extends Measure {
  /** Tokens per window: a whole number, 0 for nothing; or `'unlimited'`. */
  quota: number | 'unlimited'
  /** The tier that the tenant is in: for what is left out here, and for rules that match it. Default: none. */
  tier?: TierName | undefined
}

/** A tenant in a tier, with what is different for it. */
export interface TenantInTier extends Measure {
  /** The tier that the tenant is in. */
  tier: TierName
  /** Tokens per window: a whole number, 0 for nothing; or `'unlimited'`. Default: the tier's. */
  quota?: number | 'unlimited' | undefined
}

/** A tenant's quota: tokens per window (0 for nothing), `'unlimited'`, the name of a tier, or the whole of it. */
export type TenantOverride = number | 'unlimited' | TierName | TenantQuota | TenantInTier

/** A tenant's quota with its name, as rows of a database have it. */
export type TenantRow = (TenantQuota | TenantInTier) & {
  /** The tenant: 1 to 256 bytes of UTF-8. */
  tenant: string
}

/** Tenants with quotas of their own. A Map or rows load without a pause however many there are; a record of a million
 * keys holds the event loop while JavaScript lists its keys. */
export type TenantOverrides =
  Readonly<Record<string, TenantOverride>> | ReadonlyMap<string, TenantOverride> | readonly TenantRow[]

/** One, or a list of them: any of the list is meant. */
export type OneOrMany<Item> = Item | readonly Item[]

/** Which requests a rule is for: those that fit every field that is given. Default: all. */
export interface RuleMatch {
  /** Methods: `'GET'`, which is HEAD too, or `['POST', 'PUT']`. Default: any. */
  method?: OneOrMany<string> | undefined
  /**
   * Paths, as Express 5 writes routes: `/reports`, `/users/:id`, `/files/*rest`, `/export{/:format}`. No spelling slips by: a
   * path matches as it is or in its canonical form (slashes, dot segments, percent-encoding). Default: any.
   */
  path?: OneOrMany<string> | undefined
  /** Tiers: tenants in one of them. Default: any tenant. */
  tier?: OneOrMany<TierName> | undefined
  /** Tenants. Default: any. */
  tenant?: OneOrMany<string> | undefined
}

/**
 * Whose requests share a bucket: those of one tenant, of one client address, of one user, or of one value of a key that
 * {@link RateLimitPolicyOptions.keys} names.
 */
export type RulePart = 'tenant' | 'ip' | 'user' | (string & Record<never, never>)

/** What rules of both kinds have. */
interface RuleFields {
  /** Its name, in headers, decisions and metrics: 1 to 64 of `A-Z a-z 0-9 _ . : -`; not `default`. */
  name: string
  /** Which requests it is for. Default: all. */
  match?: RuleMatch | undefined
  /** Whose requests share a bucket; several parts make one key. Default: `'tenant'`. */
  per?: OneOrMany<RulePart> | undefined
  /** Tokens that a request takes from this rule: a whole number from 1. Default: what the request costs. */
  cost?: number | undefined
  /** `'shadow'` counts and reports what it would refuse, and refuses nothing. Default: `'enforce'`. */
  mode?: 'enforce' | 'shadow' | undefined
}

/** A rule that limits tokens per window. */
export interface QuotaRule extends RuleFields, Measure {
  /** Tokens per window: a whole number, 0 for nothing; or `'unlimited'`. */
  quota: number | 'unlimited'
  concurrency?: undefined
}

/** A rule that limits how many requests are in flight. */
export interface ConcurrencyRule extends RuleFields {
  /**
   * Requests in flight at most, from admission until the response ends or the client has gone: 1 to 2,147,483,648; with
   * `backends`, in all processes together, and up to 65,535.
   */
  concurrency: number
  quota?: undefined
  burst?: undefined
  window?: undefined
  algorithm?: undefined
}

/**
 * A limit on top of the tenants' quotas. A request is charged to its tenant's quota and to every rule that matches: all
 * or none.
 */
export type Rule = QuotaRule | ConcurrencyRule

/** Who is not limited. */
export interface AllowList {
  /** Tenants that no limit applies to. Default: none. */
  tenants?: readonly string[] | undefined
  /** Client addresses and networks (`10.0.0.0/8`, `2001:db8::/32`) that no limit applies to. Default: none. */
  addresses?: readonly string[] | undefined
}

/** Who is always refused. Above {@link AllowList}. */
export interface DenyList {
  /** Tenants that are always refused. Default: none. */
  tenants?: readonly string[] | undefined
  /** Client addresses and networks (`203.0.113.7`, `2001:db8::/32`) that are always refused. Default: none. */
  addresses?: readonly string[] | undefined
}

/** What tenants may use. */
export interface PolicyDefinition {
  /** Where the schema of a policy file is, for editors. Not read. */
  $schema?: string | undefined
  /** Tokens per window for a tenant without an override: a whole number, or `'unlimited'`. Default: 100. */
  defaultQuota?: number | 'unlimited' | undefined
  /**
   * The time that a quota is for: 1 ms to 366 days, or with `algorithm: 'fixed-window'` a calendar `'day'` or `'month'` in
   * UTC. Default: `'1m'`.
   */
  window?: Window | undefined
  /** Tokens on top of the quota: a whole number from 0. Not of rules, which have none by default. Default: 20. */
  burstAllowance?: number | undefined
  /** How quotas count. Default: `'token-bucket'`. */
  algorithm?: Algorithm | undefined
  /**
   * Quotas that tenants share by name: 1 to 64 of `A-Z a-z 0-9 _ . : -` each; not `unlimited`. Default: none.
   * @example
   * { free: 60, pro: { quota: 600, burst: 100 }, internal: 'unlimited' }
   */
  tiers?: Readonly<Record<string, Tier>> | undefined
  /**
   * Tenants with quotas of their own, or a function that loads them: at the start, and every `tenantRefresh`. Default: none.
   * @example
   * { acme: 'pro', globex: { tier: 'enterprise', quota: 20_000 }, initech: 500, internal: 'unlimited' }
   */
  tenantOverrides?: TenantOverrides | (() => TenantOverrides | Promise<TenantOverrides>) | undefined
  /**
   * How often the function of `tenantOverrides` is called again, from the end of one call to the start of the next: 1 s to 24
   * days. What it gives replaces all overrides, {@link Limiter.upsertTenant}'s among them; what tenants have spent stays spent.
   * If it fails, the last overrides stay in force, and there is an alert. Default: never.
   */
  tenantRefresh?: Duration | undefined
  /**
   * Limits on top of the tenants' quotas, for the requests that they match: at most 256. Default: none.
   * @example
   * [{ name: 'search', match: { method: 'GET', path: '/search' }, per: ['tenant', 'user'], quota: 10, window: '1s' }]
   */
  rules?: readonly Rule[] | undefined
  /** Tenants and addresses that no limit applies to. Default: none. */
  allow?: AllowList | undefined
  /** Tenants and addresses that are always refused, even if they are allowed too. Default: none. */
  deny?: DenyList | undefined
  /** Do paths of rules tell upper from lower case, like Express's `case sensitive routing`? Default: false. */
  caseSensitivePaths?: boolean | undefined
  /** Do paths of rules tell `/reports/` from `/reports`, like Express's `strict routing`? Default: false. */
  strictPaths?: boolean | undefined
}
