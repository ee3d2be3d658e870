/**
 * One thread's decisions. The path of every request: a call into the addon leaves its answer in a typed array, and
 * one object is made of that.
 */

import { TollgateClosedError, TollgateInputError, type TollgateError } from './errors.ts'
import { addon, answer, channel, Outcome, Slot, translated } from './native.ts'
import type { NativeGate, NativeHot, NativePolicyDraft } from './native.ts'
import { printed } from './printed.ts'
import type { Grant } from './quota.ts'
import { ACCEPTED_NAME } from './tenant-name.ts'
import type { Decision, Reason } from './types.ts'

const REASONS: readonly Reason[] = ['ok', 'quota', 'blocked', 'denied', 'overflow', 'ok', 'denied']

/** A decision. Always made in this one shape, so that code that reads decisions is compiled for it. */
class Decided implements Decision {
  constructor(
    readonly allowed: boolean,
    readonly tenant: string | undefined,
    readonly rule: string,
    readonly limit: number,
    readonly remaining: number,
    readonly resetMs: number,
    readonly retryAfterMs: number,
    readonly reason: Reason,
  ) {}
}

/** What a gate is opened with. */
export interface GateSettings {
  namespace: string
  maxKeys: number
  keyShare: number
  clock?: (() => number) | undefined
  /** Are its tenants loaded again and again? */
  refreshes: boolean
}

export class Gate {
  private readonly native: NativeGate
  private readonly id: number
  private readonly hot: NativeHot
  private readonly clock: (() => number) | undefined

  /** @throws {@link TollgateConfigError} if the namespace serves another policy. */
  constructor(draft: NativePolicyDraft, settings: GateSettings) {
    this.clock = settings.clock
    const { namespace, maxKeys, keyShare, refreshes } = settings
    const { channel: way, hot } = channel()
    this.tick()
    try {
      this.native = new (addon().Gate)(way, namespace, draft, maxKeys, keyShare, refreshes)
    } catch (error) {
      throw translated(error, 'namespace', printed(namespace))
    }
    this.id = this.native.id
    this.hot = hot
  }

  /** Charges a tenant; gives an outcome. */
  consume(tenant: string, cost: number): number {
    this.tick()
    answer[Slot.limiter] = this.id
    if (cost === 1) this.hot.consume(tenant)
    else if (!atCost(this.hot.consume, tenant, cost)) return Outcome.invalidCost
    return answer[Slot.outcome]!
  }

  /** Charges a client's address; gives an outcome. */
  consumeAnonymous(key: string, cost: number): number {
    this.tick()
    answer[Slot.limiter] = this.id
    if (cost === 1) this.hot.consumeAnonymous(key)
    else if (!atCost(this.hot.consumeAnonymous, key, cost)) return Outcome.invalidCost
    return answer[Slot.outcome]!
  }

  peek(tenant: string, cost: number): number {
    this.tick()
    let outcome: number = Outcome.invalidCost
    atCost((name) => (outcome = this.native.peek(name, false)), tenant, cost)
    return outcome
  }

  reward(name: string, anonymous: boolean, tokens: number): number {
    this.tick()
    return this.native.reward(name, anonymous, tokens)
  }

  penalize(tenant: string, tokens: number): number {
    this.tick()
    return this.native.penalize(tenant, false, tokens)
  }

  block(tenant: string, durationMs: number): number {
    this.tick()
    return this.native.block(tenant, false, durationMs)
  }

  reset(tenant: string): number {
    this.tick()
    return this.native.reset(tenant, false)
  }

  /** The decision that the last call left behind; `outcome` is what that call gave, and not negative. */
  decision(outcome: number, tenant: string | undefined): Decision {
    return new Decided(
      outcome === Outcome.ok || outcome === Outcome.unlimited,
      tenant,
      'default',
      answer[Slot.capacity]!,
      answer[Slot.remaining]!,
      answer[Slot.resetMs]!,
      answer[Slot.retryAfterMs]!,
      REASONS[outcome]!,
    )
  }

  /** The error that a negative outcome stands for. */
  failure(outcome: number, tenant: unknown, cost: unknown): TollgateError {
    switch (outcome) {
      case Outcome.invalidTenant:
        return new TollgateInputError(
          'TOLLGATE_INVALID_TENANT',
          `tenant: given ${printed(tenant)}; accepted: ${ACCEPTED_NAME}`,
        )
      case Outcome.invalidCost:
        return new TollgateInputError(
          'TOLLGATE_INVALID_COST',
          `cost: given ${printed(cost)}; accepted: a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`,
        )
      default:
        return new TollgateClosedError()
    }
  }

  /** The quota that the last decision came from: Infinity without a limit. */
  lastQuota(): number {
    return answer[Slot.quota]!
  }

  /** The window of {@link lastQuota}, in milliseconds. */
  lastWindowMs(): number {
    return answer[Slot.windowMs]!
  }

  /** Changes tenants of the policy in force; resolves, once that is done, to which of `removed` were named. */
  amend(granted: readonly [string, Grant][], removed: string[]): Promise<boolean[]> {
    const column = (pick: (grant: Grant) => number): Float64Array =>
      Float64Array.from(granted, ([, grant]) => pick(grant))
    this.tick()
    return this.native.amend(
      granted.map(([name]) => name),
      column(({ quota }) => quota),
      column(({ burst }) => burst),
      column(({ windowMs }) => windowMs),
      removed,
    )
  }

  /** Replaces the policy; resolves, once it is in force, to whether it is another one. */
  replace(draft: NativePolicyDraft): Promise<boolean> {
    this.tick()
    return this.native.replace(draft)
  }

  stats(): ReturnType<NativeGate['stats']> {
    return this.native.stats()
  }

  close(): void {
    this.native.close()
  }

  /** Leaves the time: this limiter's own, or the system's. */
  private tick(): void {
    answer[Slot.now] = this.clock === undefined ? NaN : this.clock()
  }
}

/** Calls with a cost other than the 1 that lies in the answer between calls; false if it is not even a number. */
function atCost(call: (name: string) => void, name: string, cost: number): boolean {
  // The array would turn '5' into 5 and null into 0.
  if (typeof cost !== 'number') return false
  answer[Slot.cost] = cost
  try {
    call(name)
    return true
  } finally {
    answer[Slot.cost] = 1
  }
}
