/** What an instance of a fleet is told by whoever started it, and what it answers. */

import type { LimiterStatus } from 'tollgate'
import type { Slice } from './fleet-report.ts'
import { hammer, type Load, type Loaded } from './load.ts'

export type Command<Options> =
  { name: 'open'; options: Options } | { name: 'hammer'; load: Load } | { name: 'status' } | { name: 'close' }

/** Slices and alerts as they come, and how each command ended. */
export type News = { slice: Slice } | { alert: string } | { done: LimiterStatus | null } | { failed: string }

/** A limiter that an instance has opened. */
export interface Opened extends Loaded {
  status?(): LimiterStatus
  close(): Promise<void>
}

/** Obeys, one command after another, until whoever started this process is gone. */
export function obeyOrders<Options>(
  open: (options: Options, alerted: (kind: string) => void) => Promise<Opened>,
): void {
  let limiter: Opened | undefined

  async function obey(command: Command<Options>): Promise<LimiterStatus | null> {
    if (command.name === 'open') {
      limiter = await open(command.options, (alert) => say({ alert }))
      return null
    }
    if (limiter === undefined) throw new Error('no limiter is open')
    if (command.name === 'status') return limiter.status?.() ?? null
    if (command.name === 'hammer') await hammer(limiter, command.load, (slice) => say({ slice }))
    else await limiter.close()
    return null
  }

  process.on('message', (command: Command<Options>) => {
    obey(command).then(
      (done) => say({ done }),
      (error: unknown) =>
        say({ failed: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    )
  })
  process.on('disconnect', () => process.exit())
}

function say(news: News): void {
  process.send?.(news)
}
