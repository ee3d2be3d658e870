/** Windows of the calendar, which go with one algorithm only. */

import type { Algorithm } from './policy-types.ts'

/** A window of the calendar that is counted otherwise than it can be. */
export interface CalendarFault {
  /** Which of the two does not fit the other. */
  field: 'window' | 'algorithm'
  accepted: string
  hint: string
}

/**
 * Do a window and an algorithm go together? `window` is as it was given, and undefined where it is inherited: a month then,
 * if `month` says so. A day that is inherited is 24 hours to algorithms that do not know it.
 */
export function calendarFault(
  window: unknown,
  month: boolean,
  algorithm: Algorithm,
): CalendarFault | undefined {
  if (algorithm === 'fixed-window' || !(month || window === 'day')) return undefined
  if (window === undefined) {
    return {
      field: 'algorithm',
      accepted: "'fixed-window', or with a window of its own",
      hint: "its window would be 'month', which goes with 'fixed-window' only",
    }
  }
  return {
    field: 'window',
    accepted: "a length of time; or 'day' or 'month' with algorithm: 'fixed-window'",
    hint: `the algorithm is '${algorithm}'`,
  }
}
