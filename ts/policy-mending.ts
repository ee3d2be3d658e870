/**
 * What stands in for the faulty parts of a policy, so that the rest can be judged. Nothing of it is ever in force: where
 * there is a fault, the policy is refused.
 */

import { DAY_MS } from './duration.ts'
import type { Fault } from './fault.ts'

/** Values that are right wherever these names stand. What is not here may be left out. */
const STAND_INS: Readonly<Record<string, () => unknown>> = {
  defaultQuota: () => 'unlimited',
  burstAllowance: () => 0,
  quota: () => 'unlimited',
  // These two go with any other algorithm and window.
  window: () => DAY_MS,
  algorithm: () => 'fixed-window',
  tiers: () => ({}),
  rules: () => [],
  match: () => ({}),
  per: () => ['tenant'],
  concurrency: () => 2 ** 31,
  mode: () => 'enforce',
  allow: () => ({ tenants: [], addresses: [] }),
  deny: () => ({ tenants: [], addresses: [] }),
  tenants: () => [],
  addresses: () => [],
  caseSensitivePaths: () => false,
  strictPaths: () => false,
}

/** Where one of these is at fault, the quota beside it may not be enforceable with what stands in. */
const MEASURES = new Set<unknown>(['burstAllowance', 'burst', 'window', 'algorithm'])

/** Replaces what is at fault in `shape`, which it changes. */
export function mend(shape: object, faults: readonly Fault[]): void {
  for (const { path } of faults) {
    let holder: unknown = shape
    for (const key of path.slice(0, -1)) holder = (holder as Record<string, unknown> | undefined)?.[key]
    if (path.length > 0 && typeof holder === 'object' && holder !== null) {
      mendAt(holder as Record<string, unknown>, path)
    }
  }
}

function mendAt(holder: Record<string, unknown>, path: Fault['path']): void {
  const key = path.at(-1)!
  holder[key] = standIn(key, path)
  if (!MEASURES.has(key)) return
  for (const quota of ['defaultQuota', 'quota']) if (quota in holder) holder[quota] = 'unlimited'
}

function standIn(key: string | number, path: Fault['path']): unknown {
  // A name that no other rule has, whatever they are called: nobody writes it.
  if (key === 'name') return `unnamed.${path.at(-2)}`
  if (typeof key === 'string') return Object.hasOwn(STAND_INS, key) ? STAND_INS[key]!() : undefined
  if (path.at(-2) !== 'rules') return ''
  return { name: `unnamed.${key}`, match: {}, per: ['tenant'], quota: 'unlimited', mode: 'enforce' }
}

/** Does a path lead to a part of what the other leads to? */
export function isWithin(path: Fault['path'], outer: Fault['path']): boolean {
  return outer.every((key, place) => path[place] === key)
}
