/**
 * What each limit had to say of a decision: numbers in a ledger, which become objects when somebody asks.
 *
 * The addon writes them to the end of an array that many decisions share, so nothing is copied, and nothing is made for each
 * limit. A ledger that is full is left to the decisions that stand in it. Under a policy of so many rules that one decision may need
 * more, there is one ledger for all of them, from which each takes a copy of what it came to.
 */

import { Buffer } from 'node:buffer'
import { answer, Applied, channel, Outcome, Slot } from './native.ts'
import { reasonOf } from './reason.ts'
import type { AppliedLimit } from './types.ts'

/** The name of a tenant's own quota, where rules have theirs. */
export const QUOTA = 'default'

/** Numbers in a ledger: 4 KiB, which are held as long as one of its decisions is. */
const LENGTH = 512

let ledger = new Float64Array(0)
let used = 0

/** Tells the addon where to leave what the next decision's limits say: so many at most. */
export function openRecord(limits: number): void {
  const needed = limits * Applied.each
  if (used + needed > ledger.length) {
    // Not filled with zeros: it is written before it is read.
    const bytes = Math.max(LENGTH, needed) * Float64Array.BYTES_PER_ELEMENT
    ledger = new Float64Array(Buffer.allocUnsafeSlow(bytes).buffer)
    used = 0
    channel().channel.setLedger(ledger)
  }
  answer[Slot.ledger] = used
}

/** Where the limits of one decision stand. */
export class LimitsRecord {
  private constructor(
    private readonly numbers: Float64Array,
    private readonly start: number,
    private readonly end: number,
    private readonly decisive: number,
    /** Names of rules, by number. */
    private readonly rules: readonly string[],
  ) {}

  /** No limit. */
  static readonly NONE = new LimitsRecord(ledger, 0, 0, -1, [])

  /** Keeps what the last decision has left since {@link openRecord}. */
  static kept(rules: readonly string[]): LimitsRecord {
    const length = answer[Slot.applied]! * Applied.each
    const decisive = answer[Slot.decisive]! * Applied.each
    if (ledger.length > LENGTH) {
      return new LimitsRecord(ledger.slice(used, used + length), 0, length, decisive, rules)
    }
    const start = used
    used += length
    return new LimitsRecord(ledger, start, used, start + decisive, rules)
  }

  /** The name of the limit that decided. */
  decisiveRule(): string {
    return this.decisive < this.start ? QUOTA : this.ruleAt(this.decisive)
  }

  /** The limits, the one that decided first. */
  read(): AppliedLimit[] {
    const limits: AppliedLimit[] = []
    this.each((at) => limits.push(this.limitAt(at)))
    return limits
  }

  /** Calls with the place of each limit whose mode is to enforce, the one that decided first. */
  eachEnforced(call: (at: number) => void): void {
    this.each((at) => {
      if (this.numbers[at + Applied.outcome]! < Applied.shadow) call(at)
    })
  }

  private each(call: (at: number) => void): void {
    const decides = this.decisive >= this.start
    if (decides) call(this.decisive)
    for (let at = this.start; at < this.end; at += Applied.each) {
      if (at !== this.decisive) call(at)
    }
  }

  /** A number of the limit at a place. */
  number(at: number, which: number): number {
    return this.numbers[at + which]!
  }

  ruleAt(at: number): string {
    const rule = this.numbers[at]!
    return rule < 0 ? QUOTA : (this.rules[rule] ?? QUOTA)
  }

  private limitAt(at: number): AppliedLimit {
    const coded = this.number(at, Applied.outcome)
    const shadow = coded >= Applied.shadow
    const outcome = shadow ? coded - Applied.shadow : coded
    return {
      rule: this.ruleAt(at),
      mode: shadow ? 'shadow' : 'enforce',
      allowed: outcome === Outcome.ok,
      limit: this.number(at, Applied.capacity),
      remaining: this.number(at, Applied.remaining),
      resetMs: this.number(at, Applied.resetMs),
      retryAfterMs: this.number(at, Applied.retryAfterMs),
      reason: reasonOf(outcome),
    }
  }
}
