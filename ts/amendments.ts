/**
 * Changes of tenants on their way into the policy in force. Each change moves every bucket, in the background, so those
 * that come while one is under way go together, in the next.
 */

import type { Gate } from './gate.ts'
import type { Grant } from './grant.ts'

/** By tenant, what it is to have: undefined for nothing of its own. The last word counts. */
type Changes = Map<string, Grant | undefined>

export class Amendments {
  private waiting: Changes | undefined
  /** Resolves to the tenants that `waiting` removed, once it is in force. */
  private next: Promise<ReadonlySet<string>> = Promise.resolve(new Set())

  constructor(private readonly gate: Gate) {}

  /** Resolves once it is in force: for a removal, to whether the tenant had been named. */
  async amend(tenant: string, grant: Grant | undefined): Promise<boolean> {
    if (this.waiting === undefined) {
      const changes: Changes = new Map()
      this.waiting = changes
      const send = (): Promise<ReadonlySet<string>> => {
        this.waiting = undefined
        return this.send(changes)
      }
      // One that failed does not stop those after it.
      this.next = this.next.then(send, send)
    }
    this.waiting.set(tenant, grant)
    const removed = await this.next
    return removed.has(tenant)
  }

  private async send(changes: Changes): Promise<ReadonlySet<string>> {
    const granted: [string, Grant][] = []
    const removed: string[] = []
    for (const [tenant, grant] of changes) {
      if (grant === undefined) removed.push(tenant)
      else granted.push([tenant, grant])
    }
    const gone = await this.gate.amend(granted, removed)
    return new Set(removed.filter((_, index) => gone[index]))
  }
}
