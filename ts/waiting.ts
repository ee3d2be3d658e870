/**
 * Who waits for a lease. Many requests may wait for one answer of a backend; when it has come, or their time is over, they ask
 * again in the order in which they came. There is one timer for all of them, which keeps the process alive only as long as
 * somebody waits.
 */

/** Who wait at most; whoever comes then has the last word at once. */
const MOST = 10_000

/** Who ask in one turn of the event loop: what each of them goes on to do is in the same turn. */
const SLICE = 64

/** Asks again: undefined if it is to wait on, which it may not be the last time. */
export type Ask<Result> = (isLast: boolean) => Result | Promise<Result> | undefined

/** What it waits by. */
export interface WaitingSettings {
  /** How long anybody waits, in milliseconds. */
  maxWaitMs: number
  /** The number of the answer that whoever has asked last awaits. */
  awaited: () => number
  /** Milliseconds of a clock that never runs backwards. */
  now: () => number
}

/** One that waits. */
interface Waiter {
  readonly deadline: number
  awaited: number
  /** Gives whether it is decided. */
  again(isLast: boolean): boolean
}

export class Waiting {
  /** All that are not decided. They have equally long to wait, so whoever came first is due first. */
  private readonly waiters = new Set<Waiter>()
  private readonly byAnswer = new Map<number, Set<Waiter>>()
  /** Those that are to ask again, in order. */
  private readonly ready = new Set<Waiter>()
  private timer: NodeJS.Timeout | undefined
  private isResuming = false
  private isStopped = false
  private onEmpty: (() => void) | undefined

  constructor(private readonly settings: WaitingSettings) {}

  /** Waits for the answer of a number, and others after it. Resolves to what is decided, or rejects with what `ask` throws. */
  until<Result>(awaited: number, ask: Ask<Result>): Promise<Result> {
    const { maxWaitMs, now } = this.settings
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        deadline: now() + maxWaitMs,
        awaited,
        again: (isLast) => {
          try {
            const result = ask(isLast)
            if (result === undefined && !isLast) return false
            resolve(result as Result | Promise<Result>)
          } catch (error) {
            reject(error as Error)
          }
          return true
        },
      }
      if (maxWaitMs === 0 || this.isStopped || this.waiters.size >= MOST) return void waiter.again(true)
      this.waiters.add(waiter)
      this.park(waiter)
      this.arm()
    })
  }

  /** These answers have come: who waits for them asks again. */
  answered(numbers: readonly number[]): void {
    for (const number of numbers) {
      for (const waiter of this.byAnswer.get(number) ?? []) this.ready.add(waiter)
      this.byAnswer.delete(number)
    }
    if (!this.isResuming) this.resume()
  }

  /** Who waits has the last word now, and so has whoever comes; resolves when nobody waits any more. */
  stop(): Promise<void> {
    this.isStopped = true
    return new Promise((resolve) => {
      this.onEmpty = resolve
      for (const waiter of this.waiters) this.unpark(waiter)
      if (!this.isResuming) this.resume()
    })
  }

  private park(waiter: Waiter): void {
    const together = this.byAnswer.get(waiter.awaited)
    if (together === undefined) this.byAnswer.set(waiter.awaited, new Set([waiter]))
    else together.add(waiter)
  }

  /** It asks again, whether what it awaits has come or not. */
  private unpark(waiter: Waiter): void {
    const together = this.byAnswer.get(waiter.awaited)
    if (together?.delete(waiter) === true && together.size === 0) this.byAnswer.delete(waiter.awaited)
    this.ready.add(waiter)
  }

  /** Lets some of those ask that are to, and the rest in the next turn of the event loop. */
  private resume(): void {
    const time = this.settings.now()
    let left = SLICE
    for (const waiter of this.ready) {
      if (left-- === 0) break
      this.ready.delete(waiter)
      if (waiter.again(this.isStopped || waiter.deadline <= time)) {
        this.waiters.delete(waiter)
      } else {
        waiter.awaited = this.settings.awaited()
        this.park(waiter)
      }
    }
    this.isResuming = this.ready.size > 0
    if (this.isResuming) return void setImmediate(() => this.resume())
    this.arm()
    if (this.waiters.size === 0) this.onEmpty?.()
  }

  /** Sees to it that the timer goes off when the first of those that wait is due. */
  private arm(): void {
    const [first] = this.waiters
    if (first === undefined) {
      clearTimeout(this.timer)
      this.timer = undefined
    } else {
      this.timer ??= setTimeout(() => this.lapse(), Math.ceil(first.deadline - this.settings.now()))
    }
  }

  /** Who is due has the last word. */
  private lapse(): void {
    this.timer = undefined
    const time = this.settings.now()
    for (const waiter of this.waiters) {
      if (waiter.deadline > time) break
      this.unpark(waiter)
    }
    if (!this.isResuming) this.resume()
  }
}
