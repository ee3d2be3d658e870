/** A policy in force, in this process or in a fleet of them. */

import type { EventEmitter } from 'node:events'
import { hostname } from 'node:os'
import { inspectApp } from './app-inspection.ts'
import { Reserved } from './decided.ts'
import { ACCEPTED_BLOCK, ACCEPTED_WINDOW, milliseconds } from './duration.ts'
import { TollgateClosedError, TollgateInputError, type TollgateErrorCode } from './errors.ts'
import { ACCEPTED_COST, isCost, type Gate } from './gate.ts'
import { Expiry } from './expiry.ts'
import type { Fleet } from './fleet.ts'
import { NOTHING, SaidInquiry, type Inquiry, type Reading } from './inquiry.ts'
import { QUOTA } from './ledger.ts'
import { Outcome } from './native.ts'
import type { PolicyChanges } from './policy-changes.ts'
import { printed } from './printed.ts'
import { isTenantName } from './tenant-name.ts'
import type { Duration, PolicyDefinition, TenantOverride } from './policy-types.ts'
import type {
  AppliedPolicy,
  BucketOptions,
  ConsumeOptions,
  Limiter,
  LimiterEvents,
  LimiterStatus,
  Reservation,
  ReserveOptions,
} from './limiter-types.ts'
import type { Rollouts } from './rollouts.ts'
import type { ApplyOptions, History, Rollout, TopologyFinding } from './rollout-types.ts'
import type { Decision, Middleware, MiddlewareOptions } from './types.ts'

/** What options speak of. */
interface AskedOf {
  rule: string | undefined
  inquiry: Inquiry
}

/** How long a reservation stands that nobody settles. */
const RESERVED_MS = 5 * 60 * 1000

/** Makes a request handler; it is given, because requests are above limiters. */
export type Mount = (options: MiddlewareOptions | undefined) => Middleware

export class PolicyLimiter implements Limiter {
  private closed = false
  private ending: Promise<void> | undefined
  private readonly expiry: Expiry
  private readonly rollouts: Rollouts

  constructor(
    private readonly gate: Gate,
    /** None without backends. */
    private readonly fleet: Fleet | undefined,
    private readonly mount: Mount,
    private readonly events: EventEmitter,
    private readonly changes: PolicyChanges,
    private readonly reading: Reading,
    rollouts: (open: () => void) => Rollouts,
  ) {
    this.expiry = new Expiry(gate)
    this.rollouts = rollouts(() => this.open())
  }

  middleware(options?: MiddlewareOptions): Middleware {
    this.open()
    return this.mount(options)
  }

  tryConsume(tenant: string, options?: ConsumeOptions): Decision {
    // The shortest way is for callers that say nothing but a name.
    if (options === undefined && this.gate.plain) {
      const outcome = this.gate.consume(tenant, 1)
      if (outcome >= 0) return this.gate.decisionOn(QUOTA, outcome, tenant)
    }
    return this.charged(tenant, options?.cost ?? 1, this.asked(options ?? {}), false)
  }

  private charged(tenant: string, cost: number, { rule, inquiry }: AskedOf, lastWord: boolean): Decision {
    const demand = rule === undefined && !lastWord ? undefined : { rule, lastWord }
    const outcome = this.gate.charge(tenant, cost, inquiry, demand)
    if (outcome < 0) throw this.gate.failure(outcome, tenant, cost)
    const decision = this.gate.decision(outcome, tenant)
    // The call is over at once: slots that it took come back.
    const ticket = this.gate.lastTicket()
    if (ticket !== 0) this.gate.end(ticket)
    return decision
  }

  async consume(tenant: string, options?: ConsumeOptions): Promise<Decision> {
    const decision = this.tryConsume(tenant, options)
    if (decision.reason !== 'lease-pending') return decision
    const cost = options?.cost ?? 1
    const asked = this.asked(options ?? {})
    return this.leased(decision, (isLast) => this.charged(tenant, cost, asked, isLast))
  }

  /** Decides again once there is a lease, or it has been waited for long enough. */
  private leased<Given extends Decision>(pending: Given, again: (isLast: boolean) => Given): Promise<Given> {
    if (this.fleet === undefined) return Promise.resolve(pending)
    return this.fleet.waiting.until(this.gate.lastAwaited(), (isLast) => {
      const decision = again(isLast)
      return decision.reason === 'lease-pending' && !isLast ? undefined : decision
    })
  }

  peek(tenant: string, options: ConsumeOptions = {}): Decision {
    const cost = options.cost ?? 1
    const { rule, inquiry } = this.asked(options)
    const outcome = this.gate.examine(named(tenant), cost, inquiry, { rule })
    if (outcome < 0) throw this.gate.failure(outcome, tenant, cost)
    return this.gate.decision(outcome, tenant)
  }

  async reserve(tenant: string, options: ReserveOptions = {}): Promise<Reservation> {
    const cost = options.cost ?? 1
    const ttl = milliseconds(options.ttl ?? RESERVED_MS)
    if (ttl === undefined) throw invalid('ttl', options.ttl, ACCEPTED_WINDOW)
    const asked = this.asked(options)
    const reservation = this.reserved(tenant, cost, ttl, asked, false)
    if (reservation.reason !== 'lease-pending') return reservation
    return this.leased(reservation, (isLast) => this.reserved(tenant, cost, ttl, asked, isLast))
  }

  private reserved(
    tenant: string,
    cost: number,
    ttl: number,
    { rule, inquiry }: AskedOf,
    lastWord: boolean,
  ): Reservation {
    const outcome = this.gate.charge(named(tenant), cost, inquiry, { rule, ticket: true, lastWord })
    if (outcome < 0) throw this.gate.failure(outcome, tenant, cost)
    const decision = this.gate.decision(outcome, tenant)
    const ticket = this.gate.lastTicket()
    if (ticket !== 0) {
      this.gate.expire(ticket, ttl)
      this.expiry.watch()
    }
    // Where no limit was charged there is no ticket, and all the same it is settled once.
    let open = decision.allowed
    const once = (handIn: () => boolean): boolean => {
      const wasOpen = open
      open = false
      return wasOpen && (ticket === 0 || handIn())
    }
    return new Reserved(decision, {
      settle: (actual) => {
        if (!isCost(actual)) throw invalid('actual', actual, ACCEPTED_COST)
        return once(() => this.gate.settle(ticket, actual))
      },
      cancel: () => once(() => this.gate.cancel(ticket)),
    })
  }

  reward(tenant: string, tokens: number, options: BucketOptions = {}): Decision {
    const { rule, inquiry } = this.asked(options)
    const outcome = this.gate.reward(named(tenant), counted(tokens), inquiry, { rule })
    return this.decided(outcome, tenant, tokens, rule)
  }

  penalize(tenant: string, tokens: number, options: BucketOptions = {}): Decision {
    const { rule, inquiry } = this.asked(options)
    const outcome = this.gate.penalize(named(tenant), counted(tokens), inquiry, { rule })
    return this.decided(outcome, tenant, tokens, rule)
  }

  block(tenant: string, duration: Duration, options: BucketOptions = {}): Decision {
    const time = milliseconds(duration, 0)
    if (time === undefined) throw invalid('duration', duration, ACCEPTED_BLOCK)
    const { rule, inquiry } = this.asked(options)
    const outcome = this.gate.block(named(tenant), time, inquiry, { rule })
    return this.decided(outcome, tenant, time, rule)
  }

  reset(tenant: string, options: BucketOptions = {}): Decision {
    const { rule, inquiry } = this.asked(options)
    return this.decided(this.gate.reset(named(tenant), inquiry, { rule }), tenant, 0, rule)
  }

  explain(tenant: string, options: ConsumeOptions = {}): string {
    const { rule, inquiry } = this.asked(options)
    return this.gate.explain(named(tenant), options.cost ?? 1, inquiry, { rule })
  }

  applyPolicy(definition: PolicyDefinition, options?: ApplyOptions): Rollout<AppliedPolicy> {
    return this.rollouts.apply(definition, options)
  }

  rollback(revision?: number, options?: ApplyOptions): Rollout {
    return this.rollouts.rollback(revision, options)
  }

  history(count = 50): Promise<History> {
    return this.rollouts.history(count)
  }

  inspectApp(app: unknown): TopologyFinding[] {
    return inspectApp(app)
  }

  async upsertTenant(tenant: string, quota: TenantOverride): Promise<void> {
    this.open()
    await this.changes.amend(this.nameable(tenant), { quota })
  }

  async removeTenant(tenant: string): Promise<boolean> {
    this.open()
    return this.changes.amend(this.nameable(tenant), undefined)
  }

  status(): LimiterStatus {
    this.open()
    const { revision, policyHash, tenants, rules, limits, ...stats } = this.gate.stats()
    const { keys, slots, bytes, overflowed, imageBytes, optimizationLevel } = stats
    return {
      policy: { revision, hash: policyHash, tenants, rules, limits, imageBytes, optimizationLevel },
      instances: [{ host: hostname(), pid: process.pid, revision }],
      liveInstances: this.fleet?.instances() ?? 1,
      backends: this.fleet?.backends() ?? [],
      rollout: this.rollouts.underWay(),
      fleet: this.rollouts.fleet(),
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

  close(): Promise<void> {
    this.ending ??= this.end()
    return this.ending
  }

  private async end(): Promise<void> {
    this.closed = true
    this.changes.stop()
    this.rollouts.stop()
    this.expiry.stop()
    await this.fleet?.leave()
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

  private open(): void {
    if (this.closed) throw new TollgateClosedError()
  }

  private decided(outcome: number, tenant: string, cost: number, rule: string | undefined): Decision {
    if (outcome < Outcome.ok) throw this.gate.failure(outcome, tenant, cost)
    return this.gate.decisionOn(rule ?? QUOTA, outcome, tenant)
  }

  /** The rule and the request that options speak of. */
  private asked({ rule, request }: BucketOptions): AskedOf {
    this.open()
    if (rule !== undefined && !this.gate.hasRule(rule)) {
      throw invalid('rule', rule, 'the name of a rule of the policy in force', 'TOLLGATE_UNKNOWN_RULE')
    }
    return { rule, inquiry: request === undefined ? NOTHING : new SaidInquiry(request, this.reading) }
  }
}

/** The addon's slower functions throw a TypeError of their own for what is not a string; '' they refuse like us. */
function named(tenant: unknown): string {
  return typeof tenant === 'string' ? tenant : ''
}

function invalid(
  name: string,
  given: unknown,
  accepted: string,
  code: TollgateErrorCode = 'TOLLGATE_INVALID_COST',
): TollgateInputError {
  return new TollgateInputError(code, `${name}: given ${printed(given)}; accepted: ${accepted}`)
}

/** As {@link named}: -1 is refused. */
function counted(tokens: unknown): number {
  return typeof tokens === 'number' ? tokens : -1
}
