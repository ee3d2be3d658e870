/** Memory per key: each limiter alone in a process, filled with a million keys. */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const KEYS = 1_000_000
export const REMEMBERING = ['tollgate', 'express-rate-limit', 'rate-limiter-flexible', 'hitlimit'] as const

export interface Memory {
  name: string
  /** Resident bytes more than before, per key, after a collection and without V8's empty pages. */
  resident: number
  /** Bytes of JavaScript heap more than before, per key. */
  heap: number
}

export function memoryPerKey(name: (typeof REMEMBERING)[number]): Memory {
  const path = fileURLToPath(new URL('./memory-process.ts', import.meta.url))
  const child = spawnSync(process.execPath, ['--expose-gc', '--import', 'tsx', path, name], {
    encoding: 'utf8',
  })
  if (child.status !== 0) throw new Error(`${name}: ${child.stderr}`)
  return JSON.parse(child.stdout) as Memory
}
