/** The shapes of strategies that find the tenant of a request. */

import * as v from 'valibot'
import type { ApiKeyStrategy, TenantResolver } from '../types.ts'
import { callback, closed, whole } from './value.ts'

/** RFC 9110 section 5.1: a field name is a token. Node gives it in lower case. */
const headerName = v.pipe(
  v.string('the name of a header'),
  v.regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/, 'the name of a header'),
  v.toLowerCase(),
)

const DOMAIN = "a domain name such as 'example.com'"
const domainName = v.pipe(v.string(DOMAIN), v.regex(/^[^\s.:/]+(\.[^\s.:/]+)*$/, DOMAIN), v.toLowerCase())

const claimName = v.pipe(v.string('the name of a claim'), v.nonEmpty('the name of a claim'))

const STRATEGIES = ['header-based', 'api-key', 'subdomain', 'path', 'ip', 'jwt-claim'] as const
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
    closed(strategyEntries['header-based'], ACCEPTED_STRATEGY),
    closed(strategyEntries['api-key'], ACCEPTED_STRATEGY),
    closed(strategyEntries.subdomain, ACCEPTED_STRATEGY),
    closed(strategyEntries.path, ACCEPTED_STRATEGY),
    closed(strategyEntries.ip, ACCEPTED_STRATEGY),
    closed(strategyEntries['jwt-claim'], ACCEPTED_STRATEGY),
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

export const tenantResolutionStrategy = v.lazy(
  (input): v.GenericSchema<unknown, Strategy | TenantResolver> => {
    if (typeof input === 'function') return callback<TenantResolver>()
    return typeof input === 'object' && input !== null ? strategyObject : namedStrategy
  },
)
