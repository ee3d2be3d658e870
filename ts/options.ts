/** Checks options against their shape, and folds them into settings that cannot be wrong. */

import type * as v from 'valibot'
import { TollgateConfigError, type ConfigIssue } from './errors.ts'
import { issueOf, shaped, type Fault } from './fault.ts'
import { fleetIssues, fleetSettings, withoutPassword, type FleetSettings } from './fleet-settings.ts'
import { grantsOf, type Grants } from './grant.ts'
import { checkPolicy, type PolicyContext } from './policy.ts'
import type { PolicySpec } from './policy-spec.ts'
import { printed } from './printed.ts'
import { rolloutIssues } from './rollout-settings.ts'
import { fleetEntries } from './schema/fleet.ts'
import { middlewareSchema } from './schema/middleware.ts'
import { optionsSchema } from './schema/options.ts'
import { isObject } from './schema/value.ts'
import { tenantIssues } from './tenants.ts'

type Checked = v.InferOutput<typeof optionsSchema>

/** A policy with nothing left out. */
export interface PolicySettings {
  policy: PolicySpec
  /** What the policy grants tenants that it does not grant something of their own. */
  grants: Grants
  tenantOverrides: unknown
  tenantRefresh: number | undefined
}

/** Options with nothing left out. */
export type Settings = Omit<Checked, 'policyDefinition' | keyof typeof fleetEntries> &
  PolicySettings & { fleet: FleetSettings | undefined }

/** Options of one mount with nothing left out. */
export type MiddlewareSettings = v.InferOutput<typeof middlewareSchema>

/** @throws {@link TollgateConfigError} with every fault found. */
export async function resolveOptions(options: unknown, judge: PolicyContext['judge']): Promise<Settings> {
  const { output, faults } = shaped(optionsSchema, options)
  const issues = faults.map((fault) => issueOf(shown(fault, options)))
  // Where options are at fault, what is sound of them is there all the same.
  const { policyDefinition, ...rest }: Checked = isObject(output) ? output : shaped(optionsSchema, {}).output
  const { settings, issues: policyIssues } = policySettings(policyDefinition, rest, judge)
  issues.push(...policyIssues)
  // Whether options go together can only be said of those that have the right shape.
  const isFleetSound = !faults.some(({ path: [name] }) => name === 'clock' || String(name) in fleetEntries)
  if (isFleetSound) issues.push(...fleetIssues(options, rest))
  if (!faults.some(({ path: [name] }) => name === 'rollout')) issues.push(...rolloutIssues(rest, 'rollout'))
  if (issues.length === 0 && rest.clock !== undefined) issues.push(...clockIssues(rest.clock))
  await refuse(issues, settings)
  return { ...rest, ...settings, fleet: fleetSettings(rest) }
}

/**
 * A policy that is to follow another under the same options.
 * @throws {@link TollgateConfigError} with every fault found.
 */
export async function resolvePolicy(
  definition: unknown,
  options: Pick<Checked, 'keys' | 'unknownTenant'>,
  judge: PolicyContext['judge'],
): Promise<PolicySettings> {
  const { settings, issues } = policySettings(definition, options, judge)
  await refuse(issues, settings)
  return settings
}

function policySettings(
  definition: unknown,
  options: Pick<Checked, 'keys' | 'unknownTenant'>,
  judge: PolicyContext['judge'],
): { settings: PolicySettings; issues: ConfigIssue[] } {
  const { spec, tenantOverrides, tenantRefresh, issues } = checkPolicy(definition, {
    keys: options.keys instanceof Map ? [...options.keys.keys()] : [],
    // As it was given, if that was wrong.
    unknownTenant: options.unknownTenant === 'reject' ? 'reject' : 'default',
    judge,
  })
  if (tenantRefresh !== undefined && typeof tenantOverrides !== 'function') {
    issues.push({
      path: 'policyDefinition.tenantRefresh',
      given: `${tenantRefresh} ms`,
      accepted: 'with a function as tenantOverrides, which is called again; or without',
    })
  }
  return { settings: { policy: spec, grants: grantsOf(spec), tenantOverrides, tenantRefresh }, issues }
}

/** @throws {@link TollgateConfigError} if there are faults, with those of tenants, too. */
async function refuse(issues: ConfigIssue[], { tenantOverrides, grants }: PolicySettings): Promise<void> {
  if (issues.length === 0) return
  // Without tiers, there would be a fault in every tenant that is in one.
  const tiersAreSound = !issues.some(({ path }) => path === 'policyDefinition.tiers')
  const more = tiersAreSound ? await tenantIssues(tenantOverrides, grants) : []
  throw new TollgateConfigError([...issues, ...more])
}

/** A fault as it is told: of a backend, without its password. */
function shown(fault: Fault, options: unknown): Fault {
  if (fault.path[0] !== 'backends') return fault
  const given = fault.path.reduce<unknown>((value, key) => (value as Record<string, unknown>)[key], options)
  return typeof given === 'string' ? { ...fault, given: printed(withoutPassword(given)) } : fault
}

/** @throws {@link TollgateConfigError} with every fault found. */
export function resolveMiddlewareOptions(options: unknown): MiddlewareSettings {
  const { output, faults } = shaped(middlewareSchema, options)
  if (faults.length > 0) throw new TollgateConfigError(faults.map((fault) => issueOf(fault, ['middleware'])))
  return output
}

function clockIssues(clock: () => number): ConfigIssue[] {
  const now: unknown = clock()
  if (typeof now === 'number' && Number.isFinite(now) && now >= 0) return []
  const accepted = 'a function that returns milliseconds, from 0'
  return [{ path: 'clock', given: `a function that returned ${printed(now)}`, accepted }]
}
