/** Load on a limiter, from within one process. */

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate, setTimeout } from 'node:timers/promises'
import type { Decision } from 'tollgate'
import { emptySlice, type Slice } from './fleet-report.ts'

export interface Load {
  tenants: readonly string[]
  /** How uneven they are: the n-th is asked for 1 / n^zipf times as often as the first. Default: 0, alike. */
  zipf?: number
  milliseconds: number
  way: 'consume' | 'tryConsume'
  /** How many ask at once, each again when it was answered; who was refused a millisecond later. */
  inFlight: number
  /** Asks at most so often. Default: as often as it can. */
  perSecond?: number | undefined
  /** Tells what it has seen so often, in milliseconds. Default: 100. */
  tellEvery?: number
  /** Tells by which limits each tenant was decided. */
  limits?: boolean
}

type Told = Pick<Decision, 'allowed' | 'reason'> & Partial<Pick<Decision, 'limit'>>

/** What load is put on. */
export interface Loaded {
  consume(tenant: string): Promise<Told>
  tryConsume(tenant: string): Told
}

/** How often the event loop's delay is sampled, in milliseconds; a sample is the delay and this. */
const RESOLUTION = 5

/** Puts load on a limiter, and tells what it has seen now and then and in the end. */
export async function hammer(on: Loaded, load: Load, told: (slice: Slice) => void): Promise<void> {
  const chosen = chooser(load.tenants, load.zipf ?? 0)
  const paced = pace(load.perSecond)
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION })
  delay.enable()
  let slice = emptySlice(epoch())
  const tell = (): void => {
    told({ ...slice, to: epoch(), longestStall: Math.max(0, delay.max / 1e6 - RESOLUTION) })
    delay.reset()
    slice = emptySlice(epoch())
  }
  const timer = setInterval(tell, load.tellEvery ?? 100)
  const end = performance.now() + load.milliseconds
  const asking = Array.from({ length: load.inFlight }, async () => {
    for (;;) {
      await paced()
      if (performance.now() >= end) return
      const tenant = chosen()
      const asked = performance.now()
      const decision = load.way === 'consume' ? await on.consume(tenant) : on.tryConsume(tenant)
      slice.longestWait = Math.max(slice.longestWait, performance.now() - asked)
      if (load.limits === true && decision.limit !== undefined) {
        const limits = (slice.limits[tenant] ??= [])
        if (limits.at(-1) !== decision.limit) limits.push(decision.limit)
      }
      if (decision.allowed) {
        slice.admitted += 1
        slice.tenants[tenant] = (slice.tenants[tenant] ?? 0) + 1
        await setImmediate()
      } else {
        slice.refused[decision.reason] = (slice.refused[decision.reason] ?? 0) + 1
        await setTimeout(1)
      }
    }
  })
  try {
    await Promise.all(asking)
  } finally {
    clearInterval(timer)
    delay.disable()
  }
  tell()
}

function epoch(): number {
  return performance.timeOrigin + performance.now()
}

/** Waits until the next request is due. */
function pace(perSecond: number | undefined): () => Promise<unknown> {
  const start = performance.now()
  let asked = 0
  return async () => {
    if (perSecond === undefined) return
    const due = start + ((asked += 1) * 1_000) / perSecond
    const early = due - performance.now()
    if (early > 0) await setTimeout(early)
  }
}

/** Names by chance, the n-th with a weight of 1 / n^exponent. */
function chooser(names: readonly string[], exponent: number): () => string {
  let total = 0
  const sums = names.map((_, index) => (total += 1 / (index + 1) ** exponent))
  return () => {
    const point = Math.random() * total
    let [low, high] = [0, names.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle]! <= point) low = middle + 1
      else high = middle
    }
    return names[low]!
  }
}
