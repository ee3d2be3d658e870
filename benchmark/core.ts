/** The core's decision beside governor's: runs criterion, and reads what it found. */

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

export const SIZES = ['1000 keys', '1000000 keys'] as const
export const WAYS = [
  'tollgate, time given',
  'governor, time given',
  'tollgate, monotonic clock',
  'governor, monotonic clock',
  'governor, as it comes',
] as const

/** Median nanoseconds, by size and way. */
export type Core = Record<string, Record<string, number>>

export function core(): Core {
  const bench = spawnSync('cargo', ['bench', '--quiet', '--locked', '-p', 'tollgate-core'], {
    cwd: root,
    encoding: 'utf8',
  })
  if (bench.status !== 0) throw new Error(bench.stderr)
  return Object.fromEntries(
    SIZES.map((size) => [size, Object.fromEntries(WAYS.map((way) => [way, medianOf(size, way)]))]),
  )
}

function medianOf(size: string, way: string): number {
  const file = `${root}/target/criterion/${size}/${way}/new/estimates.json`
  const estimates = JSON.parse(readFileSync(file, 'utf8')) as { median: { point_estimate: number } }
  return estimates.median.point_estimate
}
