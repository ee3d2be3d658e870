/** Which Express apps a limiter's middleware was called by, and what is wrong with them. */

import { inspectApp } from './app-inspection.ts'
import { mark, type MountMark } from './app-mark.ts'
import type { TopologyFinding } from './rollout-types.ts'
import type { HttpRequest, Middleware } from './types.ts'

/** So many requests of each mount are looked at: apps are known by then, and the rest is as fast as it can be. */
const LOOKED_AT = 64
const MOST_APPS = 16

/** What findings depend on. */
export interface SightOptions {
  /** What is kept by the client's address, as Express has it. */
  addresses: MountMark['addresses']
}

export class AppSight {
  /** Tells this limiter's mounts from others'. */
  private readonly limiter = Symbol('limiter')
  private readonly apps = new Set<WeakRef<object>>()
  private isForwarded = false

  constructor(private readonly options: SightOptions) {}

  /** Marks a handler, so that it is known again in an app. */
  mounted(handler: Middleware, rule: string | undefined): void {
    const { addresses } = this.options
    mark(handler, { limiter: this.limiter, rule, addresses, isForwarded: () => this.isForwarded })
  }

  /** What looks at the first requests of a mount. */
  readonly looker = (): ((req: HttpRequest) => void) => {
    let left = LOOKED_AT
    return (req) => {
      if (left === 0) return
      left -= 1
      this.look(req)
    }
  }

  findings(): TopologyFinding[] {
    return [...this.apps].flatMap((reference) => {
      const app = reference.deref()
      return app === undefined ? [] : inspectApp(app)
    })
  }

  private look(req: HttpRequest & { app?: unknown }): void {
    if (req.headers['x-forwarded-for'] !== undefined) this.isForwarded = true
    const { app } = req
    if (typeof app !== 'function' || this.apps.size >= MOST_APPS) return
    for (const known of this.apps) if (known.deref() === app) return
    this.apps.add(new WeakRef(app))
  }
}
