/** The shape of the options of enforceRateLimitPolicy. */

import * as v from 'valibot'
import type { KeyReader, RateLimitPolicyOptions } from '../types.ts'
import { fleetEntries } from './fleet.ts'
import { rollbackThreshold, rolloutObject } from './rollout.ts'
import { tenantResolutionStrategy } from './strategy.ts'
import { callback, closed, isObject, oneOf, whole, word } from './value.ts'

const NAMESPACE = 'a string of 1 to 256 characters'
const KEY_SHARE = 'a number above 0, at most 1'

/** Two names have a meaning of their own wherever a rule says `per`. */
const keyName = v.pipe(
  word,
  v.notValue('tenant', "a name other than 'tenant', which is there already"),
  v.notValue('ip', "a name other than 'ip', which is there already"),
)
// A Map, because a record of valibot's leaves out names that every object has.
const keys = v.pipe(
  v.custom<Record<string, unknown>>(isObject, 'an object of functions by name'),
  v.transform((functions) => new Map(Object.entries(functions))),
  v.map(keyName, callback<KeyReader>()),
)

const optionEntries = {
  tenantResolutionStrategy: v.optional(tenantResolutionStrategy, 'header-based'),
  missingTenant: v.optional(oneOf(['anonymous', 'reject']), 'anonymous'),
  unknownTenant: v.optional(oneOf(['default', 'reject']), 'default'),
  // Checked in parts, so that a fault in one does not hide those in another: see policy.ts.
  policyDefinition: v.optional(v.unknown(), {}),
  keys: v.optional(keys, {}),
  optimizationLevel: v.optional(v.picklist([0, 1, 2], '0, 1 or 2'), 2),
  namespace: v.optional(
    v.pipe(v.string(NAMESPACE), v.nonEmpty(NAMESPACE), v.maxLength(256, NAMESPACE)),
    'default',
  ),
  maxKeys: v.optional(whole(1_024, 100_000_000), 1_000_000),
  keyShare: v.optional(v.pipe(v.number(KEY_SHARE), v.gtValue(0, KEY_SHARE), v.maxValue(1, KEY_SHARE)), 0.25),
  ipv6Subnet: v.optional(whole(32, 128), 56),
  clientIp: v.optional(callback<NonNullable<RateLimitPolicyOptions['clientIp']>>()),
  clock: v.optional(callback<() => number>()),
  ...fleetEntries,
  rollbackThreshold: v.optional(rollbackThreshold),
  rollout: v.optional(rolloutObject),
  metricsExport: v.optional(oneOf(['prometheus', 'none']), 'none'),
}

/** Options of enforceRateLimitPolicy. */
export const optionsSchema = closed(optionEntries, 'an object of options')
