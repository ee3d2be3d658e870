/** Shapes of single values, as valibot schemas. A schema's message says what is accepted. */

import * as v from 'valibot'
import {
  ACCEPTED_DURATION,
  ACCEPTED_WINDOW,
  isCalendarWindow,
  LONGEST_MS,
  milliseconds,
} from '../duration.ts'
import { ACCEPTED_NAME, LONGEST_NAME, isTenantName, isWellFormed } from '../tenant-name.ts'
import type { Algorithm, Window } from '../policy-types.ts'

export function whole(least: number, most: number, accepted = `a whole number from ${least} to ${most}`) {
  return v.pipe(
    v.number(accepted),
    v.safeInteger(accepted),
    v.minValue(least, accepted),
    v.maxValue(most, accepted),
  )
}

export function oneOf<const Names extends readonly string[]>(names: Names) {
  return v.picklist(names, names.map((name) => `'${name}'`).join(' or '))
}

/** A function's own type is stated where the schema is used: at run time there is nothing more to know about it. */
export function callback<Callback>(accepted = 'a function') {
  return v.custom<Callback>((value) => typeof value === 'function', accepted)
}

/**
 * An object with these names and no others. valibot reports one message for all that is wrong with an object, so it is
 * chosen here: for a name that there is not, the names that there are ({@link namesOf} reads them back); for one that is
 * missing, what is accepted there.
 */
export function closed<const Entries extends v.ObjectEntries>(entries: Entries, accepted: string) {
  const names = Object.keys(entries)
  return v.strictObject(entries, ({ expected }) => {
    if (expected === 'never') return names.join(', ')
    const missing = names.find((name) => expected === `"${name}"`)
    if (missing === undefined) return accepted
    const { message } = entries[missing] as { message?: unknown }
    return typeof message === 'string' ? message : 'a value'
  })
}

/** The names in the message of an unknown name: see {@link closed}. */
export function namesOf(message: string): string[] {
  return message.split(', ')
}

/**
 * One of several shapes. `choose` tells which one a value was meant to have, so that its faults are told by that; where there
 * is no value, which is how the JSON Schema is made, it may have any.
 */
export function either<const Options extends readonly v.GenericSchema<unknown, unknown>[]>(
  options: Options,
  choose: (value: unknown) => Options[number],
) {
  const any = v.union(options)
  return v.lazy<v.GenericSchema<v.InferInput<Options[number]>, v.InferOutput<Options[number]>>>((value) =>
    value === undefined ? (any as never) : (choose(value) as never),
  )
}

/** Is it an object that names could be read from? */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

// Metadata of a shape is what JSON Schema says of it, where only a function can tell.

const MILLISECONDS = { type: 'integer', minimum: 1, maximum: LONGEST_MS }
const WITH_UNIT = {
  type: 'string',
  pattern: '^(\\d+|\\d*\\.\\d+) *(ms|s|m|h|d|w|seconds?|minutes?|hours?|days?|weeks?)$',
}

export function duration() {
  return v.pipe(
    v.custom<string | number>((value) => milliseconds(value) !== undefined, ACCEPTED_DURATION),
    v.metadata({ anyOf: [MILLISECONDS, WITH_UNIT] }),
    v.transform((value) => milliseconds(value) ?? 0),
  )
}

/** A length of time from `least` to `most` milliseconds, where there is no room for windows. */
export function shortDuration(least: number, most: number, accepted: string) {
  return v.pipe(
    v.custom<string | number>((value) => {
      const time = milliseconds(value, least)
      return time !== undefined && time <= most
    }, accepted),
    v.transform((value) => milliseconds(value, least) ?? least),
  )
}

/** A window, in milliseconds unless it is one of the calendar. */
export const window = v.pipe(
  v.custom<Window>((value) => isCalendarWindow(value) || milliseconds(value) !== undefined, ACCEPTED_WINDOW),
  v.metadata({ anyOf: [{ enum: ['1s', '1m', '1h', '24h', 'day', 'month'] }, WITH_UNIT, MILLISECONDS] }),
  v.transform((value): number | 'day' | 'month' =>
    isCalendarWindow(value) ? value : (milliseconds(value) ?? 0),
  ),
)

export const ALGORITHMS = ['token-bucket', 'fixed-window', 'sliding-window'] as const satisfies Algorithm[]
export const algorithm = oneOf(ALGORITHMS)
export const ACCEPTED_ALGORITHM = algorithm.message

/** The largest whole number that JavaScript counts to without leaving one out. */
const MOST = Number.MAX_SAFE_INTEGER
export const ACCEPTED_QUOTA = `a whole number from 0 to ${MOST}, or 'unlimited'`
export const ACCEPTED_TOKENS = `a whole number from 0 to ${MOST}`

export function isTokens(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

export const tokens = whole(0, MOST)

/** A quota, where that is accepted, and perhaps something else that `accepted` speaks of. */
export function quotaOr(accepted: string) {
  return v.pipe(
    v.custom<number | 'unlimited'>((value) => value === 'unlimited' || isTokens(value), accepted),
    v.metadata({ anyOf: [{ type: 'integer', minimum: 0, maximum: MOST }, { const: 'unlimited' }] }),
  )
}

/** Text that comes to the addon as it is. */
export function text(accepted: string) {
  return v.pipe(v.string(accepted), v.check(isWellFormed, accepted))
}

const ACCEPTED_WORD = '1 to 64 of the characters A-Z a-z 0-9 _ . : -'

/** The name of a tier, a rule or a key: what may stand in a header and in the name of a metric as it is. */
export const word = v.pipe(v.string(ACCEPTED_WORD), v.regex(/^[A-Za-z0-9_.:-]{1,64}$/, ACCEPTED_WORD))

export const tenantName = v.pipe(
  v.custom<string>((value) => typeof value === 'string' && isTenantName(value), ACCEPTED_NAME),
  v.metadata({ type: 'string', minLength: 1, maxLength: LONGEST_NAME }),
)
