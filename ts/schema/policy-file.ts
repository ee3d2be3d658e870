/** The shape of a policy in a file, which holds no functions: what the JSON Schema is made of, and nothing else. */

import * as v from 'valibot'
import { measureEntries, policyEntries, quota, tier, tierName } from './policy.ts'
import { closed } from './value.ts'

export { listObject, matchObject, ruleObject, tierQuota } from './policy.ts'

const { tenantRefresh: _refreshed, ...entries } = policyEntries

const tenantName = v.pipe(v.string(), v.minLength(1), v.maxLength(256))

const tenantEntries = { tier: v.optional(tierName), quota: v.optional(quota), ...measureEntries }

export const tenantObject = closed(tenantEntries, '')
export const tenantRow = closed({ tenant: tenantName, ...tenantEntries }, '')

// A name covers 'unlimited' too; apart from that, which tiers there are is not for a schema to say.
const bareOverride = v.union([quota, tierName])

export const policyFile = closed(
  {
    ...entries,
    tiers: v.optional(v.record(tierName, tier)),
    tenantOverrides: v.optional(
      v.union([v.record(tenantName, v.union([bareOverride, tenantObject])), v.array(tenantRow)]),
    ),
  },
  '',
)
