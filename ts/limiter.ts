/** A policy in force in this process. */

import type { EventEmitter } from 'node:events'
import { hostname } from 'node:os'
import { ACCEPTED_BLOCK, milliseconds } from './duration.ts'
import { Amendments } from './amendments.ts'
import { TollgateClosedError, TollgateConfigError, TollgateInputError, type ConfigIssue } from './errors.ts'
import type { Gate } from './gate.ts'
import { Outcome, type NativePolicyDraft } from './native.ts'
import { printed } from './printed.ts'
import { QuotaReader, type Grant } from './quota.ts'
import { isTenantName } from './tenant-name.ts'
import type {
  ConsumeOptions,
  Decision,
  Duration,
  Limiter,
  LimiterEvents,
  LimiterStatus,
  Middleware,
  MiddlewareOptions,
  PolicyEvent,
  TenantOverride,
} from './types.ts'

/** Makes a request handler; it is given, because requests are above limiters. */
export type Mount = (options: MiddlewareOptions | undefined) => Middleware

export class InProcessLimiter implements Limiter {
  /** Called once, when it is closed. */
  beforeClose: () => void = () => undefined
  private closed = false
  private readonly amendments: Amendments

  constructor(
    private readonly gate: Gate,
    private readonly mount: Mount,
    private readonly events: EventEmitter,
    /** What an override takes that it leaves out. */
    private readonly defaults: Grant,
  ) {
    this.amendments = new Amendments(gate)
  }

  middleware(options?: MiddlewareOptions): Middleware {
    this.open()
    return this.mount(options)
  }

  tryConsume(tenant: string, options?: ConsumeOptions): Decision {
    const cost = options?.cost ?? 1
    const outcome = this.gate.consume(tenant, cost)
    if (outcome < 0) throw this.gate.failure(outcome, tenant, cost)
    return this.gate.decision(outcome, tenant)
  }

  async consume(tenant: string, options?: ConsumeOptions): Promise<Decision> {
    return this.tryConsume(tenant, options)
  }

  peek(tenant: string, options?: ConsumeOptions): Decision {
    const cost = options?.cost ?? 1
    return this.decided(this.gate.peek(named(tenant), cost), tenant, cost)
  }

  reward(tenant: string, tokens: number): Decision {
    return this.decided(this.gate.reward(named(tenant), false, counted(tokens)), tenant, tokens)
  }

  penalize(tenant: string, tokens: number): Decision {
    return this.decided(this.gate.penalize(named(tenant), counted(tokens)), tenant, tokens)
  }

  block(tenant: string, duration: Duration): Decision {
    const time = milliseconds(duration, 0)
    if (time === undefined) {
      const message = `duration: given ${printed(duration)}; accepted: ${ACCEPTED_BLOCK}`
      throw new TollgateInputError('TOLLGATE_INVALID_COST', message)
    }
    return this.decided(this.gate.block(named(tenant), time), tenant, time)
  }

  reset(tenant: string): Decision {
    return this.decided(this.gate.reset(named(tenant)), tenant, 0)
  }

  async upsertTenant(tenant: string, quota: TenantOverride): Promise<void> {
    this.open()
    const issues: ConfigIssue[] = []
    const grant = { ...this.defaults }
    new QuotaReader(this.defaults, (issue) => issues.push(issue)).read(quota, grant, () => ['quota'], false)
    if (issues.length > 0) throw new TollgateConfigError(issues)
    await this.amendments.amend(this.nameable(tenant), grant)
    this.announce('amended')
  }

  async removeTenant(tenant: string): Promise<boolean> {
    this.open()
    const wasNamed = await this.amendments.amend(this.nameable(tenant), undefined)
    if (wasNamed) this.announce('amended')
    return wasNamed
  }

  /** Puts another policy in force. */
  async replacePolicy(draft: NativePolicyDraft): Promise<void> {
    if (this.closed) return
    if (await this.gate.replace(draft)) this.announce('refreshed')
  }

  status(): LimiterStatus {
    this.open()
    const { revision, policyHash, tenants, limits, keys, slots, bytes, overflowed } = this.gate.stats()
    return {
      policy: { revision, hash: policyHash, tenants, rules: 1, limits },
      instances: [{ host: hostname(), pid: process.pid, revision }],
      backends: [],
      rollout: null,
      keys: { held: keys, slots, bytes, overflowed },
    }
  }

  on<Name extends keyof LimiterEvents>(event: Name, listener: (event: LimiterEvents[Name]) => void): this {
    this.events.on(event, listener)
    return this
  }

  off<Name extends keyof LimiterEvents>(event: Name, listener: (event: LimiterEvents[Name]) => void): this {
    this.events.off(event, listener)
    return this
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    this.beforeClose()
    this.gate.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @throws {@link TollgateInputError} */
  private nameable(tenant: string): string {
    if (typeof tenant === 'string' && isTenantName(tenant)) return tenant
    throw this.gate.failure(Outcome.invalidTenant, tenant, 0)
  }

  private announce(kind: PolicyEvent['kind']): void {
    if (this.closed) return
    const { revision, hash } = this.status().policy
    this.events.emit('policy', { kind, revision, hash } satisfies PolicyEvent)
  }

  private open(): void {
    if (this.closed) throw new TollgateClosedError()
  }

  private decided(outcome: number, tenant: string, cost: number): Decision {
    if (outcome < Outcome.ok) throw this.gate.failure(outcome, tenant, cost)
    return this.gate.decision(outcome, tenant)
  }
}

/** The addon's slower functions throw a TypeError of their own for what is not a string; '' they refuse like us. */
function named(tenant: unknown): string {
  return typeof tenant === 'string' ? tenant : ''
}

/** As {@link named}: -1 is refused. */
function counted(tokens: unknown): number {
  return typeof tokens === 'number' ? tokens : -1
}
