/**
 * Tollgate: multi-tenant rate limits for Node.js, decided in the process.
 *
 * To follow a policy, read policy-types.ts, enforce.ts, options.ts and policy.ts (schema/), tenants.ts (quota.ts, grant.ts),
 * gate.ts. To follow a request, read middleware.ts, tenant-strategy.ts (client-ip.ts), gate.ts, headers.ts, refusal.ts.
 * Other types are in types.ts, errors in errors.ts; native.ts is the way into the addon.
 */

export { enforceRateLimitPolicy } from './enforce.ts'
export { TollgateClosedError, TollgateConfigError, TollgateError, TollgateInputError } from './errors.ts'
export type { ConfigIssue, TollgateErrorCode } from './errors.ts'
export type {
  AlertEvent,
  AppliedPolicy,
  BackendStatus,
  BucketOptions,
  CompileReport,
  ConsumeOptions,
  Limiter,
  LimiterEvents,
  LimiterStatus,
  PolicyEvent,
  RequestFacts,
  Reservation,
  ReserveOptions,
} from './limiter-types.ts'
export type {
  ApiKeyStrategy,
  AppliedLimit,
  Decision,
  HeaderStrategy,
  HeaderVersion,
  HttpRequest,
  IpStrategy,
  JwtClaimStrategy,
  KeyReader,
  Middleware,
  MiddlewareOptions,
  Next,
  OptimizationLevel,
  PathStrategy,
  RateLimitPolicyOptions,
  Reason,
  SubdomainStrategy,
  TenantResolutionStrategy,
  TenantResolver,
  TenantStrategyObject,
} from './types.ts'
export type {
  Algorithm,
  AllowList,
  ConcurrencyRule,
  DenyList,
  Duration,
  OneOrMany,
  PolicyDefinition,
  QuotaRule,
  Rule,
  RuleMatch,
  RulePart,
  TenantInTier,
  TenantOverride,
  TenantOverrides,
  TenantQuota,
  TenantRow,
  Tier,
  TierName,
  TierQuota,
  Window,
} from './policy-types.ts'
