/**
 * Changes of the policy in force: another definition, tenants that are named or loaded again. They take turns, so that none
 * undoes what was asked for after it.
 */

import type { EventEmitter } from 'node:events'
import { Amendments, type Own } from './amendments.ts'
import { TollgateError } from './errors.ts'
import type { Gate } from './gate.ts'
import type { AlertEvent, AppliedPolicy, CompileReport, PolicyEvent } from './limiter-types.ts'
import type { NamedRules } from './named-rules.ts'
import type { PolicySource } from './policy-source.ts'
import type { PolicyDefinition } from './policy-types.ts'
import { Refreshing } from './tenant-refresh.ts'
import { Turns } from './turns.ts'

export class PolicyChanges {
  private readonly turns = new Turns()
  private readonly amendments: Amendments
  private readonly refreshing: Refreshing
  private stopped = false
  /** Has it been told that another limiter's policy is in force? */
  private superseded = false

  constructor(
    private readonly gate: Gate,
    private readonly source: PolicySource,
    private readonly named: NamedRules,
    private readonly events: EventEmitter,
  ) {
    this.amendments = new Amendments(gate, this.turns)
    this.refreshing = new Refreshing(
      () => this.refresh(),
      (error) => this.alert('tenant-refresh-failed', 'policyDefinition.tenantOverrides', error),
    )
    this.refreshing.every(source.definition.tenantRefresh)
  }

  /** Puts another definition in force; nothing has changed if it cannot be. */
  apply(definition: PolicyDefinition): Promise<AppliedPolicy> {
    return this.turns.take(async () => {
      const next = await this.source.read(definition)
      const policy = await this.source.compile(next)
      // Only now: a route may have been added while tenants were loaded.
      this.named.check(next.policy)
      const changed = await this.gate.replace(policy, false)
      this.source.definition = next
      this.refreshing.every(this.stopped ? undefined : next.tenantRefresh)
      if (changed) this.announce('applied')
      const { revision, policyHash: hash } = this.gate.stats()
      return { revision, hash, report: JSON.parse(policy.report()) as CompileReport }
    })
  }

  /** Gives a tenant a quota of its own, or takes that away; resolves to whether that was there. */
  async amend(tenant: string, own: Own | undefined): Promise<boolean> {
    const wasNamed = await this.amendments.amend(tenant, own)
    if (wasNamed || own !== undefined) this.announce('amended')
    return wasNamed
  }

  /** No more of what goes on by itself. */
  stop(): void {
    this.stopped = true
    this.refreshing.stop()
  }

  private async refresh(): Promise<void> {
    const { definition } = this.source
    // Nobody waits while tenants are loaded, which may take long.
    const policy = await this.source.compile(definition)
    await this.turns.take(async () => {
      if (definition !== this.source.definition) return
      const changed = await this.gate.replace(policy, true)
      const superseded = !this.gate.isInForce(definition.policy)
      if (superseded && !this.superseded) this.alert('policy-superseded', 'policyDefinition', anothers())
      this.superseded = superseded
      if (changed) this.announce('refreshed')
    })
  }

  private announce(kind: PolicyEvent['kind']): void {
    if (this.stopped) return
    const { revision, policyHash: hash } = this.gate.stats()
    this.events.emit('policy', { kind, revision, hash } satisfies PolicyEvent)
  }

  private alert(kind: AlertEvent['kind'], option: string, error: unknown): void {
    this.events.emit('alert', { kind, option, error } satisfies AlertEvent)
  }
}

function anothers(): TollgateError {
  return new TollgateError(
    'TOLLGATE_CONFIG',
    'another limiter of the namespace has applied another policy; the tenants of this one are not refreshed',
  )
}
