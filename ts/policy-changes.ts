/**
 * Changes of the policy in force: another definition, tenants that are named or loaded again. They take turns, so that none
 * undoes what was asked for after it.
 */

import type { EventEmitter } from 'node:events'
import { Amendments, type Own } from './amendments.ts'
import { TollgateError } from './errors.ts'
import type { Gate } from './gate.ts'
import type { AlertEvent, PolicyEvent } from './limiter-types.ts'
import type { NamedRules } from './named-rules.ts'
import type { NativeCompiledPolicy } from './native.ts'
import type { PolicySettings } from './options.ts'
import { specDiff, tenantDiff } from './policy-diff.ts'
import type { PolicySource } from './policy-source.ts'
import type { PolicyDefinition } from './policy-types.ts'
import { Refreshing } from './tenant-refresh.ts'
import { Turns } from './turns.ts'

/** A definition that can be put in force. */
export interface Prepared {
  next: PolicySettings
  policy: NativeCompiledPolicy
  /** One line for each difference from what is in force. */
  diff: string[]
}

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

  /** Acts once all that was asked for before is done. */
  turn<Result>(act: () => Promise<Result>): Promise<Result> {
    return this.turns.take(act)
  }

  /**
   * Reads and compiles another definition; to be done in a turn.
   * @throws {@link TollgateConfigError} with every fault found.
   */
  async prepare(definition: PolicyDefinition): Promise<Prepared> {
    const next = await this.source.read(definition)
    const policy = await this.source.compile(next)
    // Only now: a route may have been added while tenants were loaded.
    this.named.check(next.policy)
    return { next, policy, diff: this.diff(next) }
  }

  /** Puts it in force at once; in the same turn. */
  async replace({ next, policy }: Prepared): Promise<void> {
    const changed = await this.gate.replace(policy, false)
    this.adopt(next)
    if (changed) this.announce('applied')
  }

  /** A definition is in force from now on. */
  adopt(next: PolicySettings): void {
    this.source.definition = next
    this.refreshing.every(this.stopped ? undefined : next.tenantRefresh)
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

  /** How a definition differs from what is in force, as far as both are at hand. */
  private diff(next: PolicySettings): string[] {
    const { definition } = this.source
    const lines = specDiff(this.gate.spec(), next.policy)
    if (!this.gate.isInForce(definition.policy)) return lines
    return [
      ...lines,
      ...(tenantDiff(definition, next) ?? ['tenants are loaded by functions, and not compared']),
    ]
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
