/**
 * What each limit had to say of a decision, as the addon left it: numbers, which become objects when somebody asks.
 *
 * They are copied out of the answer, because the next decision overwrites it, to the end of a longer array that many decisions
 * share: a number costs a nanosecond so, and an object of ten costs fifty.
 */

import { answer, Applied, Outcome, Slot } from './native.ts'
import { reasonOf } from './reason.ts'
import type { AppliedLimit } from './types.ts'

/** The name of a tenant's own quota, where rules have theirs. */
export const QUOTA = 'default'

/** Numbers in a shared array, which is held as long as one of its decisions is: room for more than one decision can have. */
const SHARED = 4_096

let shared = new Float64Array(SHARED)
let used = 0

/** Where limits stand in a shared array. */
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
  static readonly NONE = new LimitsRecord(shared, 0, 0, -1, [])

  /** Keeps what lies in the answer now. */
  static kept(rules: readonly string[]): LimitsRecord {
    const length = answer[Slot.applied]! * Applied.each
    if (used + length > SHARED) {
      shared = new Float64Array(SHARED)
      used = 0
    }
    // Named here, because what may change while a loop runs is read anew in each of its turns.
    const from = answer
    const to = shared
    const start = used
    for (let index = 0; index < length; index++) to[start + index] = from[Applied.first + index]!
    used += length
    return new LimitsRecord(to, start, used, start + from[Slot.decisive]! * Applied.each, rules)
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
