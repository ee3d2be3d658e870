/** How a policy differs from another, one line for each difference. */

import ms from 'ms'
import type { LimitSpec, PolicySpec } from './policy-spec.ts'
import type { PolicySettings } from './options.ts'
import { printed } from './printed.ts'
import { isObject } from './schema/value.ts'

/** So many tenants are named, and no more are compared one by one than there are in two tables of this size. */
const MOST_NAMED = 20
const MOST_COMPARED = 100_000

/** The differences that a policy would make, but for its tenants. */
export function specDiff(from: PolicySpec, to: PolicySpec): string[] {
  const { rules: rulesBefore, tiers: tiersBefore, ...before } = from
  const { rules: rulesAfter, tiers: tiersAfter, ...after } = to
  return [
    ...fields('', withWindow(before), withWindow(after)),
    ...entries('tier', limits(tiersBefore), limits(tiersAfter)),
    ...entries('rule', new Map(rulesBefore.map(byName)), new Map(rulesAfter.map(byName))),
  ]
}

/** The differences in tenants, as far as both are lists that are at hand; undefined if they are not. */
export function tenantDiff(from: PolicySettings, to: PolicySettings): string[] | undefined {
  const before = tenantsOf(from.tenantOverrides)
  const after = tenantsOf(to.tenantOverrides)
  if (before === undefined || after === undefined) return undefined
  const lines = entries('tenant', before, after)
  const rest = lines.length - MOST_NAMED
  return rest > 0 ? [...lines.slice(0, MOST_NAMED), `and ${rest} more tenants`] : lines
}

function tenantsOf(overrides: unknown): Map<string, unknown> | undefined {
  if (overrides === undefined) return new Map()
  if (overrides instanceof Map) return overrides.size > MOST_COMPARED ? undefined : overrides
  if (Array.isArray(overrides)) {
    if (overrides.length > MOST_COMPARED) return undefined
    return new Map((overrides as { tenant: string }[]).map(byTenant))
  }
  if (!isObject(overrides)) return undefined
  const all = Object.entries(overrides)
  return all.length > MOST_COMPARED ? undefined : new Map(all)
}

function byName({ name, ...rule }: PolicySpec['rules'][number]): [string, unknown] {
  return [name, readable(rule)]
}

function limits(tiers: PolicySpec['tiers']): Map<string, unknown> {
  return new Map(Object.entries(tiers).map(([name, limit]) => [name, readable(limit)]))
}

function withWindow<Rest extends Pick<PolicySpec, 'default'>>(rest: Rest): unknown {
  return { ...rest, default: readable(rest.default) }
}

/** Windows as policies give them. */
function readable({ windowMs, ...limit }: { windowMs?: LimitSpec['windowMs'] | undefined }): unknown {
  return { ...limit, window: typeof windowMs === 'number' ? ms(windowMs) : windowMs }
}

function byTenant({ tenant, ...own }: { tenant: string }): [string, unknown] {
  return [tenant, own]
}

function entries(
  what: string,
  before: ReadonlyMap<string, unknown>,
  after: ReadonlyMap<string, unknown>,
): string[] {
  const lines: string[] = []
  for (const [name, value] of before) {
    if (!after.has(name)) lines.push(`${what} ${printed(name)} is gone (${shown(value)})`)
  }
  for (const [name, value] of after) {
    const called = `${what} ${printed(name)}`
    if (!before.has(name)) lines.push(`${called} is new: ${shown(value)}`)
    else lines.push(...fields(called, before.get(name), value))
  }
  return lines
}

/** Down to where values are no objects any more. */
function fields(path: string, before: unknown, after: unknown): string[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return []
  if (!isObject(before) || !isObject(after)) return [`${path}: ${shown(before)} → ${shown(after)}`]
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...names].flatMap((name) => {
    const below = path === '' ? name : `${path}${path.includes(' ') ? ' ' : '.'}${name}`
    return fields(below, before[name], after[name])
  })
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (!isObject(value)) return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing')
  const parts = Object.entries(value).filter(([, part]) => !isEmpty(part))
  return parts.map(([name, part]) => `${name} ${shown(part)}`).join(', ')
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return true
  return isObject(value) && Object.values(value).every(isEmpty)
}
