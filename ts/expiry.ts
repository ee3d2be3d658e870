/** Sees to it that what expires does, also where nobody asks the limiter anything any more: one timer, and only while there is need. */

import type { Gate } from './gate.ts'

/** How late an expiry may be seen, in milliseconds. */
const EVERY_MS = 1000

export class Expiry {
  private timer: NodeJS.Timeout | undefined

  constructor(private readonly gate: Gate) {}

  /** There is something that will expire. */
  watch(): void {
    if (this.timer !== undefined) return
    this.timer = setInterval(() => {
      if (!this.gate.dropExpired()) this.stop()
    }, EVERY_MS)
    this.timer.unref()
  }

  stop(): void {
    clearInterval(this.timer)
    this.timer = undefined
  }
}
