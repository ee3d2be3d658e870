/** A limiter of a fleet whose leases only the test grants: the addon and its backends are made up. */

import { EventEmitter } from 'node:events'
import type { Limiter, MiddlewareOptions } from 'tollgate'
import { clientReader } from '../ts/client-ip.ts'
import { Decided } from '../ts/decided.ts'
import { Fleet } from '../ts/fleet.ts'
import type { Gate, Demand } from '../ts/gate.ts'
import type { Inquiry } from '../ts/inquiry.ts'
import { PolicyLimiter } from '../ts/limiter.ts'
import { mount } from '../ts/middleware.ts'
import { Outcome, type NativeNews } from '../ts/native.ts'
import { resolveMiddlewareOptions } from '../ts/options.ts'
import type { PolicyChanges } from '../ts/policy-changes.ts'
import { reasonOf } from '../ts/reason.ts'
import { rolloutSettings } from '../ts/rollout-settings.ts'
import type { Rollouts } from '../ts/rollouts.ts'
import { tenantResolver } from '../ts/tenant-strategy.ts'
import type { HttpRequest } from '../ts/types.ts'

export class FakeGate {
  readonly plain = false
  /** Who has been charged, in order. */
  readonly charged: string[] = []
  /** Who has asked for the last time without a lease. */
  readonly lastWords: string[] = []
  readonly wasShut: string[] = []
  /** Called by each charge, as the addon asks for keys. */
  onAsk: (inquiry: Inquiry) => void = () => undefined
  private readonly held = new Map<string, number>()
  private readonly awaited = new Map<string, number>()
  private numbers = 0
  private last = 0
  private hear: (news: string) => void = () => undefined

  constructor(private readonly withoutBackend: 'allow' | 'deny') {}

  /** Tokens come for a tenant. */
  grant(tenant: string, tokens: number): void {
    this.held.set(tenant, tokens)
    const number = this.awaited.get(tenant)
    this.awaited.delete(tenant)
    if (number !== undefined) this.tell({ answered: [number], alerts: [] })
  }

  tell(news: NativeNews): void {
    this.hear(JSON.stringify(news))
  }

  readonly shared = {
    onNews: (hear: (news: string) => void) => void (this.hear = hear),
    connect: async () => undefined,
    drain: async () => void this.wasShut.push('drained'),
    backends: () => '[]',
    instances: () => 1,
  }

  charge(tenant: string, cost: number, inquiry: Inquiry, demand: Demand = {}): number {
    if (this.wasShut.includes('closed')) return Outcome.closed
    this.onAsk(inquiry)
    const held = this.held.get(tenant)
    if (held !== undefined) {
      if (held < cost) return Outcome.quota
      this.held.set(tenant, held - cost)
      this.charged.push(tenant)
      return Outcome.ok
    }
    if (demand.lastWord === true) {
      this.lastWords.push(tenant)
      return this.withoutBackend === 'allow' ? Outcome.ok : Outcome.backend
    }
    let number = this.awaited.get(tenant)
    if (number === undefined) this.awaited.set(tenant, (number = ++this.numbers))
    this.last = number
    return Outcome.pending
  }

  lastAwaited = (): number => this.last
  lastTicket = (): number => 0
  readonly comparison = 0
  failed = (): void => undefined
  lastLimits = () => ({ quota: 10, windowMs: 60_000 })
  hasRule = (): boolean => true
  shut = (): void => void this.wasShut.push('shut')
  close = (): void => void this.wasShut.push('closed')
  failure = (outcome: number): Error => new Error(`outcome ${outcome}`)
  dropExpired = (): boolean => false

  decision(outcome: number, tenant: string | undefined): Decided {
    const wait = outcome === Outcome.ok ? 0 : 1_000
    return new Decided(outcome === Outcome.ok, tenant, 'default', 10, 5, 100, wait, reasonOf(outcome))
  }
}

export interface FakeFleet {
  limiter: Limiter
  gate: FakeGate
}

export interface FakeFleetOptions {
  maxWaitMs?: number
  withoutBackend?: 'allow' | 'deny'
}

/** Keys that it may be asked for: `region`, a header. */
export async function fakeFleet(options: FakeFleetOptions = {}): Promise<FakeFleet> {
  const { maxWaitMs = 60_000, withoutBackend = 'deny' } = options
  const fake = new FakeGate(withoutBackend)
  const gate = fake as unknown as Gate
  const events = new EventEmitter()
  const settings = {
    backends: ['redis://made-up'],
    syncIntervalMs: 100,
    leaseTtlMs: 2_000,
    timeoutMs: 500,
    credit: 0,
    onBackendFailure: withoutBackend,
    maxWaitMs,
    rollout: rolloutSettings({}),
  }
  const fleet = new Fleet(gate, settings, events)
  const clients = clientReader(undefined, 56)
  const reading = {
    ...clients,
    readers: new Map([['region', (req: HttpRequest) => req.headers['x-region']]]),
    resolveTenant: tenantResolver({ strategy: 'header-based', header: 'x-tenant-id' }, clients.clientKey),
    rejectMissing: false,
    alert: () => undefined,
    ruleMissing: () => undefined,
    look: () => () => undefined,
  }
  const handler = (given: MiddlewareOptions | undefined) =>
    mount(gate, reading, resolveMiddlewareOptions(given ?? {}), fleet.waiting)
  const changes = { stop: () => undefined } as PolicyChanges
  await fleet.join()
  const rollouts = { stop: () => undefined } as Rollouts
  const limiter = new PolicyLimiter(gate, fleet, handler, events, changes, reading, () => rollouts)
  return { limiter, gate: fake }
}
