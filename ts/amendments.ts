/**
 * Changes of tenants on their way into the policy in force. Each change moves every bucket, in the background, so those
 * that come while something else is under way go together, in the next turn.
 */

import { TollgateClosedError, TollgateConfigError, type ConfigIssue } from './errors.ts'
import type { Gate } from './gate.ts'
import type { Grant, Grants } from './grant.ts'
import type { TenantOverride } from './policy-types.ts'
import { QuotaReader } from './quota.ts'
import { isObject } from './schema/value.ts'
import type { Turns } from './turns.ts'

/** What a tenant is to have of its own; where there is nothing, it is to have none. */
export interface Own {
  quota: TenantOverride
}

/** One tenant's change, and who waits for it. */
interface Change {
  tenant: string
  own: Own | undefined
  /** Takes, of a removal, whether the tenant had been named. */
  resolve: (wasNamed: boolean) => void
  reject: (error: unknown) => void
}

/** A change that can be made. */
interface Readable extends Change {
  grant: Grant | undefined
}

export class Amendments {
  private waiting: Change[] = []
  /** The end of the turns when the last of `waiting` came: what comes after another change goes after it. */
  private since: unknown

  constructor(
    private readonly gate: Gate,
    private readonly turns: Turns,
  ) {}

  /** Resolves once it is in force: for a removal, to whether the tenant had been named. */
  amend(tenant: string, own: Own | undefined): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const change: Change = { tenant, own: own && copied(own), resolve, reject }
      if (this.waiting.length > 0 && this.since === this.turns.end) {
        this.waiting.push(change)
        return
      }
      const together = [change]
      this.waiting = together
      void this.turns.take(() => {
        if (this.waiting === together) this.waiting = []
        return this.send(together)
      })
      this.since = this.turns.end
    })
  }

  private async send(together: readonly Change[]): Promise<void> {
    let changes: Readable[] = []
    try {
      // Those of the policy that is in force by now, whoever put it there.
      const grants = this.gate.grants()
      changes = together.flatMap((change) => readable(change, grants))
    } catch (error) {
      for (const { reject } of together) reject(error)
    }
    if (changes.length > 0) await this.make(changes)
  }

  /** Makes them together, or if that cannot be, those of them that can be. */
  private async make(changes: readonly Readable[]): Promise<void> {
    // By tenant: the last word counts.
    const grants = new Map(changes.map(({ tenant, grant }) => [tenant, grant]))
    const granted = [...grants].filter((entry): entry is [string, Grant] => entry[1] !== undefined)
    const removed = [...grants.keys()].filter((tenant) => grants.get(tenant) === undefined)
    try {
      const gone = await this.gate.amend(granted, removed)
      const were = new Set(removed.filter((_, index) => gone[index]))
      for (const { tenant, resolve } of changes) resolve(were.has(tenant))
    } catch (error) {
      if (changes.length === 1 || error instanceof TollgateClosedError) {
        for (const { reject } of changes) reject(error)
      } else {
        for (const change of changes) await this.make([change])
      }
    }
  }
}

/** As it is now, whatever becomes of the object. */
function copied({ quota }: Own): Own {
  return { quota: isObject(quota) ? ({ ...(quota as object) } as TenantOverride) : quota }
}

/** A change as numbers; one at fault is refused alone. */
function readable(change: Change, grants: Grants): Readable[] {
  const { own } = change
  if (own === undefined) return [{ ...change, grant: undefined }]
  const issues: ConfigIssue[] = []
  const grant = { ...grants.default }
  new QuotaReader(grants, (issue) => issues.push(issue)).read(own.quota, grant, () => ['quota'], false)
  if (issues.length === 0) return [{ ...change, grant }]
  change.reject(new TollgateConfigError(issues))
  return []
}
