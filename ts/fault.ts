/** Faults of what was given, on their way into one error. */

import * as v from 'valibot'
import type { ConfigIssue } from './errors.ts'
import { pathOf, printed } from './printed.ts'
import { namesOf } from './schema/value.ts'
import { nearest } from './suggestion.ts'

/** One fault, as the shape checks here and the addon find it. */
export interface Fault {
  /** Names and indices that lead to it. */
  path: readonly (string | number)[]
  /** What was given there, escaped and cut short. */
  given: string
  accepted: string
  /** What is wrong, where the values alone do not say it. */
  hint?: string | undefined
}

/** As an error tells it; `root` is the way to the value that the fault's path begins at. */
export function issueOf({ path, given, accepted, hint }: Fault, root: readonly string[] = []): ConfigIssue {
  const issue = { path: pathOf([...root, ...path]), given, accepted }
  return hint === undefined ? issue : { ...issue, hint }
}

/** A value in its shape. Where there are faults, what is sound is there all the same, and what is not is as it was. */
export interface Shaped<Output> {
  output: Output
  faults: Fault[]
}

export function shaped<Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
): Shaped<v.InferOutput<Schema>> {
  // An array is an object to valibot: one without any option that it knows.
  const result = v.safeParse(schema, Array.isArray(value) && schema.type === 'strict_object' ? null : value)
  const faults = (result.issues ?? []).flatMap((issue) => faultsOf(issue, value))
  return { output: result.output as v.InferOutput<Schema>, faults }
}

function faultsOf(issue: v.BaseIssue<unknown>, whole: unknown): Fault[] {
  const items: readonly v.IssuePathItem[] = issue.path ?? []
  const path = items.map(({ key }) => key as string | number)
  const last = items.at(-1)
  if (issue.expected === 'never' && last !== undefined) {
    return unknownNames(namesOf(issue.message), last.input as Record<string, unknown>, path.slice(0, -1))
  }
  const given = printed(items.length === 0 ? whole : issue.input)
  // Of a name that is not there, it is the object that is at fault, which is expected to have it.
  const hint =
    issue.expected === `"${String(last?.key)}"` ? `${String(last?.key)} is missing` : hintFor(issue.input)
  return [{ path, given, accepted: issue.message, hint }]
}

/** What is probably wrong with a number of tokens. */
export function hintFor(tokens: unknown): string | undefined {
  return tokens === Infinity ? "no limit is written 'unlimited'" : undefined
}

/** valibot reports the first unknown name of an object; this reports them all, each with what was probably meant. */
function unknownNames(
  accepted: readonly string[],
  given: Record<string, unknown>,
  path: readonly (string | number)[],
): Fault[] {
  const unknown = Object.keys(given).filter((name) => !accepted.includes(name))
  return unknown.map((name) => ({
    path: path.concat(name),
    given: printed(given[name]),
    accepted: accepted.join(', '),
    hint: unknownName('unknown option', name, accepted),
  }))
}

/** `what`, and the name that was probably meant. */
export function unknownName(what: string, name: string, accepted: readonly string[]): string {
  const near = nearest(name, accepted)
  return near === undefined ? what : `${what}, did you mean ${near}?`
}
