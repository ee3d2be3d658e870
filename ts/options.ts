/** Checks options against their shape, and folds them into settings that cannot be wrong. */

import * as v from 'valibot'
import { TollgateConfigError, type ConfigIssue } from './errors.ts'
import { pathOf, printed } from './printed.ts'
import { unenforceable, type Grant } from './quota.ts'
import { acceptedNames, middlewareSchema, optionsSchema } from './schema.ts'
import { nearest } from './suggestion.ts'

type Checked = v.InferOutput<typeof optionsSchema>

/** Options with nothing left out. */
export type Settings = Omit<Checked, 'policyDefinition'> & {
  grant: Grant
  tenantOverrides: unknown
  tenantRefresh: number | undefined
}

/** Options of one mount with nothing left out. */
export type MiddlewareSettings = v.InferOutput<typeof middlewareSchema>

/** @throws {@link TollgateConfigError} with every fault found. */
export function resolveOptions(options: unknown): Settings {
  const { policyDefinition, ...rest } = checked(optionsSchema, options, [])
  const { defaultQuota, window, burstAllowance, tenantOverrides, tenantRefresh } = policyDefinition
  const grant = { quota: defaultQuota, burst: burstAllowance, windowMs: window }
  const fault = unenforceable(grant)
  if (fault !== undefined) {
    const given = `${grant.quota} per ${grant.windowMs} ms`
    throw new TollgateConfigError([{ path: 'policyDefinition.defaultQuota', given, accepted: fault }])
  }
  if (rest.backends.length > 0) {
    const hint = 'backends are not supported by this version, which would limit per process silently'
    const issue = {
      path: 'backends',
      given: printed(rest.backends),
      accepted: 'an empty list, or none',
      hint,
    }
    throw new TollgateConfigError([issue], 'TOLLGATE_BACKENDS_UNSUPPORTED')
  }
  if (rest.clock !== undefined) checkClock(rest.clock)
  if (tenantRefresh !== undefined && typeof tenantOverrides !== 'function') {
    throw new TollgateConfigError([
      {
        path: 'policyDefinition.tenantRefresh',
        given: printed(policyDefinition.tenantRefresh),
        accepted: 'with a function as tenantOverrides, which is called again; or without',
      },
    ])
  }
  return { ...rest, grant, tenantOverrides, tenantRefresh }
}

/** @throws {@link TollgateConfigError} with every fault found. */
export function resolveMiddlewareOptions(options: unknown): MiddlewareSettings {
  return checked(middlewareSchema, options, ['middleware'])
}

function checkClock(clock: () => number): void {
  const now: unknown = clock()
  if (typeof now !== 'number' || !Number.isFinite(now) || now < 0) {
    const accepted = 'a function that returns milliseconds, from 0'
    throw new TollgateConfigError([
      { path: 'clock', given: `a function that returned ${printed(now)}`, accepted },
    ])
  }
}

type Schema = typeof optionsSchema | typeof middlewareSchema

function checked<Shape extends Schema>(
  schema: Shape,
  options: unknown,
  root: readonly string[],
): v.InferOutput<Shape> {
  // An array is an object to valibot: one without any option that it knows.
  const result = v.safeParse(schema, Array.isArray(options) ? null : options)
  if (result.success) return result.output
  const issues: ConfigIssue[] = []
  for (const issue of result.issues) {
    const path: readonly v.IssuePathItem[] = issue.path ?? []
    const keys = [...root, ...path.map((item) => item.key)]
    const last = path.at(-1)
    if (issue.expected === 'never' && last !== undefined) {
      const parent = last.input as Record<string, unknown>
      issues.push(...unknownNames(acceptedNames(schema, path.at(-2)?.key, parent), parent, keys.slice(0, -1)))
    } else {
      const given = printed(path.length === 0 ? options : issue.input)
      const found = { path: pathOf(keys), given, accepted: issue.message }
      issues.push(issue.input === Infinity ? { ...found, hint: "no limit is written 'unlimited'" } : found)
    }
  }
  throw new TollgateConfigError(issues)
}

/** valibot reports the first unknown name of an object; this reports them all, each with what was probably meant. */
function* unknownNames(
  accepted: readonly string[],
  given: Record<string, unknown>,
  keys: readonly unknown[],
): Generator<ConfigIssue> {
  for (const name of Object.keys(given)) {
    if (accepted.includes(name)) continue
    const near = nearest(name, accepted)
    const hint = `unknown option${near === undefined ? '' : `, did you mean ${near}?`}`
    yield { path: pathOf([...keys, name]), given: printed(given[name]), accepted: accepted.join(', '), hint }
  }
}
