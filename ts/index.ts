/**
 * Tollgate: multi-tenant rate limits for Node.js, decided in the process.
 *
 * To follow a policy, read enforce.ts, options.ts (schema.ts), tenants.ts (quota.ts), gate.ts. To follow a request,
 * read middleware.ts, tenant-strategy.ts (client-ip.ts), gate.ts, headers.ts, refusal.ts. Types are in types.ts, errors
 * in errors.ts; native.ts is the way into the addon.
 */

export { enforceRateLimitPolicy } from './enforce.ts'
export { TollgateClosedError, TollgateConfigError, TollgateError, TollgateInputError } from './errors.ts'
export type { ConfigIssue, TollgateErrorCode } from './errors.ts'
export type {
  AlertEvent,
  PolicyEvent,
  ApiKeyStrategy,
  ConsumeOptions,
  Decision,
  Duration,
  HeaderStrategy,
  HeaderVersion,
  HttpRequest,
  IpStrategy,
  JwtClaimStrategy,
  Limiter,
  LimiterEvents,
  LimiterStatus,
  Middleware,
  MiddlewareOptions,
  Next,
  PathStrategy,
  PolicyDefinition,
  RateLimitPolicyOptions,
  Reason,
  SubdomainStrategy,
  TenantOverride,
  TenantOverrides,
  TenantQuota,
  TenantResolutionStrategy,
  TenantResolver,
  TenantRow,
  TenantStrategyObject,
} from './types.ts'
