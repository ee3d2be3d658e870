/** Waits for something to hold, however long a machine that is busy takes to get there. */

import { setTimeout } from 'node:timers/promises'

const PATIENCE = 30_000

/** Asks until it holds; gives how long that took, in milliseconds. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<number> {
  const start = performance.now()
  while (!(await holds())) {
    if (performance.now() > start + PATIENCE) throw new Error(`not within ${PATIENCE} ms: ${what}`)
    await setTimeout(20)
  }
  return performance.now() - start
}
