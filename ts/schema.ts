/** The shapes of options, as valibot schemas. A schema's message says what is accepted. */

import * as v from 'valibot'
import { ACCEPTED_WINDOW, milliseconds } from './duration.ts'
import { ACCEPTED_BURST, ACCEPTED_QUOTA } from './quota.ts'
import type {
  ApiKeyStrategy,
  HeaderVersion,
  MiddlewareOptions,
  RateLimitPolicyOptions,
  TenantResolver,
} from './types.ts'

function whole(least: number, most: number, accepted = `a whole number from ${least} to ${most}`) {
  return v.pipe(
    v.number(accepted),
    v.safeInteger(accepted),
    v.minValue(least, accepted),
    v.maxValue(most, accepted),
  )
}

function oneOf<const Names extends readonly string[]>(names: Names) {
  return v.picklist(names, names.map((name) => `'${name}'`).join(' or '))
}

// A function's own type is stated where the schema is used: at run time there is nothing more to know about it.
function callback<Callback>(accepted = 'a function') {
  return v.custom<Callback>((value) => typeof value === 'function', accepted)
}

/** How often tenants may be loaded again: what a timer can wait for. */
const LEAST_REFRESH_MS = 1000
const MOST_REFRESH_MS = 24 * 24 * 60 * 60 * 1000

function refresh() {
  return v.pipe(
    duration(),
    v.minValue(LEAST_REFRESH_MS, ACCEPTED_REFRESH),
    v.maxValue(MOST_REFRESH_MS, ACCEPTED_REFRESH),
  )
}

const ACCEPTED_REFRESH = "a time from '1s' to '24d'"

function duration() {
  return v.pipe(
    v.custom<string | number>((value) => milliseconds(value) !== undefined, ACCEPTED_WINDOW),
    v.transform((value) => milliseconds(value) ?? 0),
  )
}

/** RFC 9110 section 5.1: a field name is a token. Node gives it in lower case. */
const headerName = v.pipe(
  v.string('the name of a header'),
  v.regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/, 'the name of a header'),
  v.toLowerCase(),
)

const DOMAIN = "a domain name such as 'example.com'"
const domainName = v.pipe(v.string(DOMAIN), v.regex(/^[^\s.:/]+(\.[^\s.:/]+)*$/, DOMAIN), v.toLowerCase())

const claimName = v.pipe(v.string('the name of a claim'), v.nonEmpty('the name of a claim'))

export const STRATEGIES = ['header-based', 'api-key', 'subdomain', 'path', 'ip', 'jwt-claim'] as const
const ACCEPTED_STRATEGY = `${STRATEGIES.map((name) => `'${name}'`).join(', ')}, an object { strategy, … } or a function`

const strategyEntries = {
  'header-based': { strategy: v.literal('header-based'), header: v.optional(headerName, 'x-tenant-id') },
  'api-key': {
    strategy: v.literal('api-key'),
    header: v.optional(headerName, 'x-api-key'),
    lookup: v.optional(callback<NonNullable<ApiKeyStrategy['lookup']>>()),
  },
  subdomain: { strategy: v.literal('subdomain'), domain: v.optional(domainName) },
  path: { strategy: v.literal('path'), segment: v.optional(whole(0, 99), 0) },
  ip: { strategy: v.literal('ip') },
  'jwt-claim': { strategy: v.literal('jwt-claim'), claim: v.optional(claimName, 'tenant_id') },
}

const strategyObject = v.variant(
  'strategy',
  [
    v.strictObject(strategyEntries['header-based']),
    v.strictObject(strategyEntries['api-key']),
    v.strictObject(strategyEntries.subdomain),
    v.strictObject(strategyEntries.path),
    v.strictObject(strategyEntries.ip),
    v.strictObject(strategyEntries['jwt-claim']),
  ],
  ACCEPTED_STRATEGY,
)

/** A strategy with its settings, complete. */
export type Strategy = v.InferOutput<typeof strategyObject>

type Named = (typeof STRATEGIES)[number]

const namedStrategy = v.pipe(
  v.picklist(STRATEGIES, ACCEPTED_STRATEGY),
  v.transform((strategy: Named): Strategy => v.parse(strategyObject, { strategy })),
)

const tenantResolutionStrategy = v.lazy((input): v.GenericSchema<unknown, Strategy | TenantResolver> => {
  if (typeof input === 'function') return callback<TenantResolver>()
  return typeof input === 'object' && input !== null ? strategyObject : namedStrategy
})

const quota = v.pipe(
  v.custom<number | 'unlimited'>(
    (value) => value === 'unlimited' || (Number.isSafeInteger(value) && (value as number) >= 0),
    ACCEPTED_QUOTA,
  ),
  v.transform((value) => (value === 'unlimited' ? Infinity : value)),
)

const policyEntries = {
  defaultQuota: v.optional(quota, 100),
  window: v.optional(duration(), '1m'),
  burstAllowance: v.optional(whole(0, Number.MAX_SAFE_INTEGER, ACCEPTED_BURST), 20),
  // Checked row by row, where it is loaded: see tenants.ts.
  tenantOverrides: v.optional(v.unknown()),
  tenantRefresh: v.optional(refresh()),
}

const NAMESPACE = 'a string of 1 to 256 characters'
const KEY_SHARE = 'a number above 0, at most 1'
const THRESHOLD = 'a number from 0 to 1'

const optionEntries = {
  tenantResolutionStrategy: v.optional(tenantResolutionStrategy, 'header-based'),
  missingTenant: v.optional(oneOf(['anonymous', 'reject']), 'anonymous'),
  unknownTenant: v.optional(oneOf(['default', 'reject']), 'default'),
  policyDefinition: v.optional(
    v.strictObject(policyEntries, 'an object with defaultQuota, window, burstAllowance, tenantOverrides'),
    {},
  ),
  namespace: v.optional(
    v.pipe(v.string(NAMESPACE), v.nonEmpty(NAMESPACE), v.maxLength(256, NAMESPACE)),
    'default',
  ),
  maxKeys: v.optional(whole(1_024, 100_000_000), 1_000_000),
  keyShare: v.optional(v.pipe(v.number(KEY_SHARE), v.gtValue(0, KEY_SHARE), v.maxValue(1, KEY_SHARE)), 0.25),
  ipv6Subnet: v.optional(whole(32, 128), 56),
  clientIp: v.optional(callback<NonNullable<RateLimitPolicyOptions['clientIp']>>()),
  clock: v.optional(callback<() => number>()),
  backends: v.optional(v.array(v.string('a URL or a host name'), 'an array of URLs or host names'), []),
  rollbackThreshold: v.optional(
    v.pipe(v.number(THRESHOLD), v.minValue(0, THRESHOLD), v.maxValue(1, THRESHOLD)),
  ),
  metricsExport: v.optional(oneOf(['prometheus', 'none']), 'none'),
}

/** Options of enforceRateLimitPolicy. */
export const optionsSchema = v.strictObject(optionEntries, 'an object of options')

const HEADER_VERSIONS = ['draft-11', 'draft-8', 'legacy', 'none'] as const
const ACCEPTED_HEADERS = `${HEADER_VERSIONS.map((name) => `'${name}'`).join(', ')}, or an array of several`
const headerVersion = v.picklist(HEADER_VERSIONS, ACCEPTED_HEADERS)

const headers = v.lazy((input): v.GenericSchema<unknown, HeaderVersion[]> =>
  Array.isArray(input)
    ? v.array(headerVersion)
    : v.pipe(
        headerVersion,
        v.transform((version) => [version]),
      ),
)

const COST = `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, or a function of the request`

type Option<Name extends keyof MiddlewareOptions> = NonNullable<MiddlewareOptions[Name]>

const cost = v.lazy((input): v.GenericSchema<unknown, Option<'cost'>> =>
  typeof input === 'function'
    ? callback<Exclude<Option<'cost'>, number>>()
    : whole(0, Number.MAX_SAFE_INTEGER, COST),
)

const middlewareEntries = {
  cost: v.optional(cost, 1),
  skip: v.optional(callback<Option<'skip'>>()),
  tenant: v.optional(callback<TenantResolver>()),
  onLimited: v.optional(callback<Option<'onLimited'>>()),
  headers: v.optional(headers, 'draft-11'),
  statusCode: v.optional(whole(400, 599), 429),
  skipSuccessfulRequests: v.optional(v.boolean('true or false'), false),
  skipFailedRequests: v.optional(v.boolean('true or false'), false),
  requestWasSuccessful: v.optional(callback<Option<'requestWasSuccessful'>>()),
}

/** Options of Limiter.middleware. */
export const middlewareSchema = v.strictObject(middlewareEntries, 'an object of options')

/** The option names that an object accepts: at the top, in `policyDefinition`, or in a strategy. */
export function acceptedNames(
  schema: typeof optionsSchema | typeof middlewareSchema,
  option: unknown,
  given: Record<string, unknown>,
): string[] {
  if (schema === middlewareSchema) return Object.keys(middlewareEntries)
  switch (option) {
    case 'policyDefinition':
      return Object.keys(policyEntries)
    case 'tenantResolutionStrategy':
      return Object.keys(strategyEntries[given.strategy as Named])
    default:
      return Object.keys(optionEntries)
  }
}
