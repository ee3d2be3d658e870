/** A limiter's part in a fleet, whose instances share their buckets over backends. */

import type { EventEmitter } from 'node:events'
import { BackendAlerts } from './backend-alerts.ts'
import type { FleetSettings } from './fleet-settings.ts'
import type { Gate } from './gate.ts'
import type { BackendStatus } from './limiter-types.ts'
import type { NativeNews } from './native.ts'
import { Waiting } from './waiting.ts'

export class Fleet {
  /** Requests whose leases are on their way. */
  readonly waiting: Waiting
  private readonly alerts: BackendAlerts
  private hasLeft = false

  constructor(
    private readonly gate: Gate,
    { maxWaitMs }: FleetSettings,
    events: EventEmitter,
  ) {
    this.alerts = new BackendAlerts(events)
    this.waiting = new Waiting({
      maxWaitMs,
      awaited: () => gate.lastAwaited(),
      now: () => performance.now(),
    })
  }

  /** Resolves once every backend has answered, or has failed to: then the fleet goes on without it, and there is an alert. */
  async join(): Promise<void> {
    this.gate.shared.onNews((news) => this.hear(JSON.parse(news) as NativeNews))
    await this.gate.shared.connect()
  }

  backends(): BackendStatus[] {
    return JSON.parse(this.gate.shared.backends()) as BackendStatus[]
  }

  /** How many instances are alive, this one among them. */
  instances(): number {
    return this.gate.shared.instances()
  }

  /** Lets nobody wait any more, decides nothing from then on, and gives back what has not been spent. */
  async leave(): Promise<void> {
    await this.waiting.stop()
    this.hasLeft = true
    this.gate.shut()
    await this.gate.shared.drain()
  }

  private hear({ answered, alerts }: NativeNews): void {
    // The addon tells all limiters that share the namespace, those that are closed among them.
    if (this.hasLeft) return
    this.waiting.answered(answered)
    for (const alert of alerts) this.alerts.tell(alert)
  }
}
