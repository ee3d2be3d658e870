/** Decisions, as they are given to the service. */

import type { LimitsRecord } from './ledger.ts'
import type { Reservation } from './limiter-types.ts'
import type { AppliedLimit, Decision, Reason } from './types.ts'

/** A decision. Always made in this one shape, so that code that reads decisions is compiled for it. */
export class Decided implements Decision {
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

  get limits(): readonly AppliedLimit[] {
    if (this.limit === Infinity) return []
    const { allowed, rule, limit, remaining, resetMs, retryAfterMs, reason } = this
    return [{ rule, mode: 'enforce', allowed, limit, remaining, resetMs, retryAfterMs, reason }]
  }
}

/** One that several limits may have had a part in. Not derived from the other, because that takes as long as the decision. */
export class Ruled implements Decision {
  readonly #record: LimitsRecord

  constructor(
    readonly allowed: boolean,
    readonly tenant: string | undefined,
    readonly rule: string,
    readonly limit: number,
    readonly remaining: number,
    readonly resetMs: number,
    readonly retryAfterMs: number,
    readonly reason: Reason,
    record: LimitsRecord,
  ) {
    this.#record = record
  }

  get limits(): readonly AppliedLimit[] {
    return this.#record.read()
  }
}

/** Hands in what was reserved; each gives whether that had not been done. */
export interface Settling {
  settle: (actual: number) => boolean
  cancel: () => boolean
}

/** A decision on a cost that is known only afterwards. It is held for minutes, so it takes its limits out of the ledger. */
export class Reserved extends Decided implements Reservation {
  readonly #limits: readonly AppliedLimit[]
  readonly #settling: Settling

  constructor(decision: Decision, settling: Settling) {
    const { allowed, tenant, rule, limit, remaining, resetMs, retryAfterMs, reason } = decision
    super(allowed, tenant, rule, limit, remaining, resetMs, retryAfterMs, reason)
    this.#limits = decision.limits
    this.#settling = settling
  }

  override get limits(): readonly AppliedLimit[] {
    return this.#limits
  }

  settle(actual: number): boolean {
    return this.#settling.settle(actual)
  }

  cancel(): boolean {
    return this.#settling.cancel()
  }
}
