/** Lengths of time, as options give them. */

import ms, { type StringValue } from 'ms'

/** 366 days, in milliseconds: the longest window, and the longest block. */
export const LONGEST_MS = 366 * 24 * 60 * 60 * 1000

/** A calendar day in UTC, in milliseconds: the epoch began with one, and there are no leap seconds in Unix time. */
export const DAY_MS = 24 * 60 * 60 * 1000

/** What options accept as a length of time. */
export const ACCEPTED_DURATION =
  "a time with a unit such as '500ms', '10s', '1m' or '24h', or a whole number of milliseconds, from 1 ms to 366 days"

/** What options accept as a window. */
export const ACCEPTED_WINDOW = `${ACCEPTED_DURATION}; or, of fixed windows, 'day' or 'month'`

// `ms` reads a string without a unit as milliseconds; who writes '60' means seconds as often as not.
const WITHOUT_UNIT = /^\s*[-+]?[\d.]*\s*$/

/** A length of time in milliseconds, or `undefined` for what is not one: whole, `least` to 366 days. */
export function milliseconds(value: unknown, least = 1): number | undefined {
  let time = value
  if (typeof value === 'string') {
    if (value.length > 100 || WITHOUT_UNIT.test(value)) return undefined
    time = ms(value as StringValue)
  }
  return typeof time === 'number' && Number.isInteger(time) && time >= least && time <= LONGEST_MS
    ? time
    : undefined
}

/** Is it a window of the calendar, in UTC? */
export function isCalendarWindow(value: unknown): value is 'day' | 'month' {
  return value === 'day' || value === 'month'
}

/** What a block accepts: a block of 0 ends one. */
export const ACCEPTED_BLOCK =
  "a time with a unit such as '30s' or '10m', or a whole number of milliseconds, from 0 to 366 days"
