/** Alerts of backends. A limiter may begin without one, before anybody can listen: so what nobody has heard is kept. */

import type { EventEmitter } from 'node:events'
import type { AlertEvent } from './limiter-types.ts'
import type { NativeNews } from './native.ts'

export class BackendAlerts {
  /** By backend: it is degraded, and nobody knows. */
  private readonly unheard = new Map<string, AlertEvent>()

  constructor(private readonly events: EventEmitter) {
    events.on('newListener', (name) => {
      // In a moment: it is told of a listener before that is there.
      if (name === 'alert' && this.unheard.size > 0) queueMicrotask(() => this.catchUp())
    })
  }

  tell({ kind, backend, error }: NativeNews['alerts'][number]): void {
    const alert: AlertEvent = {
      kind,
      option: 'backends',
      backend,
      error: error === undefined ? undefined : new Error(error),
    }
    if (this.events.listenerCount('alert') > 0) this.events.emit('alert', alert)
    else if (kind === 'backend-degraded') this.unheard.set(backend, alert)
    else this.unheard.delete(backend)
  }

  private catchUp(): void {
    const alerts = [...this.unheard.values()]
    this.unheard.clear()
    for (const alert of alerts) this.events.emit('alert', alert)
  }
}
