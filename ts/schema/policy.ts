/** The shape of a policy. What it means is checked in policy.ts and by the addon. */

import * as v from 'valibot'
import {
  ACCEPTED_QUOTA,
  algorithm,
  closed,
  duration,
  either,
  isObject,
  oneOf,
  quotaOr,
  tenantName,
  text,
  tokens,
  whole,
  window,
  word,
} from './value.ts'

export const measureEntries = {
  burst: v.optional(tokens),
  window: v.optional(window),
  algorithm: v.optional(algorithm),
}

const ACCEPTED_TIER = "a whole number of tokens, 'unlimited', or { quota, burst?, window?, algorithm? }"

const bareTier = quotaOr(ACCEPTED_TIER)
export const quota = quotaOr(ACCEPTED_QUOTA)
export const tierQuota = closed({ quota, ...measureEntries }, ACCEPTED_TIER)

export const tier = either([bareTier, tierQuota], (value) => (isObject(value) ? tierQuota : bareTier))

/** Tiers are checked one by one in policy.ts: a record of valibot's leaves out names that every object has. */
const tiers = v.custom<Record<string, unknown>>(isObject, 'an object of tiers by name')

/** 'unlimited' is what an override says that has no limit. */
export const tierName = v.pipe(
  word,
  v.notValue('unlimited', "a name other than 'unlimited', which stands for no limit"),
)

/** One, or a list of them; a list of none could mean all as well as nothing. */
function oneOrMany<Item extends v.GenericSchema<string, string>>(item: Item, accepted: string) {
  const several = v.pipe(v.array(item, accepted), v.nonEmpty(accepted))
  return v.pipe(
    either([item, several], (value) => (Array.isArray(value) ? several : item)),
    v.transform((given): string[] => (Array.isArray(given) ? given : [given])),
  )
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS']
const ACCEPTED_METHOD = "a method such as 'GET', or a list of methods"
const method = v.pipe(text(ACCEPTED_METHOD), v.metadata({ examples: METHODS }), v.toUpperCase())
const ACCEPTED_PATH = "a path such as '/users/:id', or a list of paths"
const ACCEPTED_TIERS = 'the name of a tier, or a list of names'
const ACCEPTED_TENANTS = 'the name of a tenant (1 to 256 bytes of UTF-8), or a list of names'
const ACCEPTED_PER = "'tenant', 'ip', 'user', the name of a key in keys, or a list of those"

export const matchObject = closed(
  {
    method: v.optional(oneOrMany(method, ACCEPTED_METHOD)),
    path: v.optional(oneOrMany(text(ACCEPTED_PATH), ACCEPTED_PATH)),
    tier: v.optional(oneOrMany(text(ACCEPTED_TIERS), ACCEPTED_TIERS)),
    tenant: v.optional(oneOrMany(tenantName, ACCEPTED_TENANTS)),
  },
  '{ method?, path?, tier?, tenant? }',
)

const part = v.pipe(text(ACCEPTED_PER), v.metadata({ examples: ['tenant', 'ip', 'user'] }))

/** Above this, holders of places in flight would not fit the state of a bucket. */
const MOST_IN_FLIGHT = 2 ** 31

export const ruleObject = closed(
  {
    name: v.pipe(word, v.notValue('default', "a name other than 'default', which is the tenant's own quota")),
    match: v.optional(matchObject, {}),
    per: v.optional(oneOrMany(part, ACCEPTED_PER), 'tenant'),
    quota: v.optional(quota),
    ...measureEntries,
    concurrency: v.optional(whole(1, MOST_IN_FLIGHT)),
    cost: v.optional(whole(1, Number.MAX_SAFE_INTEGER)),
    mode: v.optional(oneOf(['enforce', 'shadow']), 'enforce'),
  },
  'a rule { name, match?, per?, quota or concurrency, … }',
)

const ACCEPTED_ADDRESS = "an address or a network such as '203.0.113.7', '10.0.0.0/8' or '2001:db8::/32'"

export const listObject = closed(
  {
    tenants: v.optional(v.array(tenantName, 'a list of tenants'), []),
    addresses: v.optional(v.array(text(ACCEPTED_ADDRESS), 'a list of addresses and networks'), []),
  },
  '{ tenants?, addresses? }',
)

/** How often tenants may be loaded again: what a timer can wait for. */
const LEAST_REFRESH_MS = 1000
const MOST_REFRESH_MS = 24 * 24 * 60 * 60 * 1000
const ACCEPTED_REFRESH = "a time from '1s' to '24d'"

function refresh() {
  return v.pipe(
    duration(),
    v.minValue(LEAST_REFRESH_MS, ACCEPTED_REFRESH),
    v.maxValue(MOST_REFRESH_MS, ACCEPTED_REFRESH),
  )
}

export const policyEntries = {
  $schema: v.optional(v.string('where a JSON Schema is')),
  defaultQuota: v.optional(quota, 100),
  window: v.optional(window, '1m'),
  burstAllowance: v.optional(tokens, 20),
  algorithm: v.optional(algorithm, 'token-bucket'),
  tiers: v.optional(tiers, {}),
  // Checked row by row, where it is loaded: see tenants.ts.
  tenantOverrides: v.optional(v.unknown()),
  tenantRefresh: v.optional(refresh()),
  rules: v.optional(v.array(ruleObject, 'a list of rules'), []),
  allow: v.optional(listObject, {}),
  deny: v.optional(listObject, {}),
  caseSensitivePaths: v.optional(v.boolean('true or false'), false),
  strictPaths: v.optional(v.boolean('true or false'), false),
}

export const policyObject = closed(
  policyEntries,
  'an object with defaultQuota, window, burstAllowance, tiers, rules, …',
)
