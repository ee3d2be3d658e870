/** Where a fault is in a policy as it was written, of one that was found in it with nothing left out. */

import type { Fault } from './fault.ts'

/** The path as far as the policy was written out: a tier may be a number, and a list of one the one. */
export function asWritten(path: Fault['path'], definition: unknown): (string | number)[] {
  const written: (string | number)[] = []
  let part = definition
  for (const key of path) {
    if (part !== undefined && (typeof part !== 'object' || part === null)) break
    written.push(key)
    part = (part as Record<string, unknown> | undefined)?.[key]
  }
  return written
}
