/** What names a tenant: 1 to 256 bytes of well-formed UTF-8. */

import { Buffer } from 'node:buffer'

/** The longest name, in bytes of UTF-8. */
export const LONGEST_NAME = 256

export const ACCEPTED_NAME = `a name of 1 to ${LONGEST_NAME} bytes of well-formed UTF-8`

/** A lone surrogate has no UTF-8: written as U+FFFD, as encoders do, two tenants could meet in it. */
const MALFORMED = /\p{Surrogate}/u

/** Has this text a form in UTF-8? */
export function isWellFormed(text: string): boolean {
  return !MALFORMED.test(text)
}

/** Can this string name a tenant? */
export function isTenantName(name: string): boolean {
  // A UTF-16 unit takes at most 3 bytes, so short names need no measuring.
  const short = name.length <= LONGEST_NAME / 3 || Buffer.byteLength(name) <= LONGEST_NAME
  return name.length > 0 && short && isWellFormed(name)
}
