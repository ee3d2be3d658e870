/**
 * Contenders side by side: every round measures each of them once, in an order that rotates, so that what the machine
 * does meanwhile happens to all. What counts is the median over rounds, and the median of the ratios within a round.
 */

export interface Contender {
  name: string
  /** Does its work `count` times; gives nanoseconds per time. */
  run(count: number): number | Promise<number>
}

export interface Measured {
  name: string
  /** Median nanoseconds per operation. */
  median: number
  /** The quarter and three-quarter points. */
  low: number
  high: number
  /** By round. */
  rounds: number[]
}

export async function measure(
  contenders: readonly Contender[],
  rounds: number,
  count: number,
): Promise<Measured[]> {
  const samples = new Map<string, number[]>(contenders.map(({ name }) => [name, []]))
  // Two rounds to compile and fill, which are not counted.
  for (let round = -2; round < rounds; round += 1) {
    for (let turn = 0; turn < contenders.length; turn += 1) {
      const contender = contenders[(turn + round + 2) % contenders.length]
      if (contender === undefined) continue
      const nanos = await contender.run(count)
      if (round >= 0) samples.get(contender.name)?.push(nanos)
    }
  }
  return [...samples].map(([name, taken]) => ({ name, ...spread(taken), rounds: taken }))
}

/** The median of one contender's time over another's, taken within rounds. */
export function ratio(measured: readonly Measured[], over: string, under: string): number {
  const [upper, lower] = [found(measured, over), found(measured, under)]
  return median(upper.rounds.map((nanos, round) => nanos / (lower.rounds[round] ?? nanos)))
}

/** As {@link ratio}, of what each adds to a third. */
export function addedRatio(measured: readonly Measured[], over: string, under: string, bare: string): number {
  const base = found(measured, bare).rounds
  const added = (name: string): number =>
    median(found(measured, name).rounds.map((nanos, round) => nanos - (base[round] ?? 0)))
  return added(over) / added(under)
}

export function found(measured: readonly Measured[], name: string): Measured {
  const one = measured.find((each) => each.name === name)
  if (one === undefined) throw new Error(`nothing was measured under the name ${name}`)
  return one
}

export function spread(samples: readonly number[]): { median: number; low: number; high: number } {
  return { median: quantile(samples, 0.5), low: quantile(samples, 0.25), high: quantile(samples, 0.75) }
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5)
}

export function quantile(samples: readonly number[], part: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? NaN
}

/** A contender that calls a function with one name after another. */
export function calling(name: string, names: readonly string[], call: (name: string) => unknown): Contender {
  return { name, run: loop('', name, names, call) }
}

/** As {@link calling}, for a function that gives a promise, which is awaited as its users await it. */
export function awaiting(
  name: string,
  names: readonly string[],
  call: (name: string) => Promise<unknown>,
): Contender {
  return { name, run: loop('await', name, names, call) }
}

/**
 * A loop of a contender's own: V8 specialises it for that one call. It gives functions of equal source one profile, so
 * each source is made different.
 */
function loop(wait: '' | 'await', name: string, names: readonly string[], call: unknown): Contender['run'] {
  const source = `
    // ${name} ${(loops += 1)}
    let next = 0
    return ${wait === '' ? '' : 'async'} (count) => {
      const start = clock()
      for (let turn = 0; turn < count; turn += 1) {
        next = next + 1 < names.length ? next + 1 : 0
        ${wait} call(names[next])
      }
      return Number(clock() - start) / count
    }`
  return new Function('call', 'names', 'clock', source)(
    call,
    names,
    process.hrtime.bigint,
  ) as Contender['run']
}

let loops = 0

/** Names as they come out of a socket: flat, one byte a character. A concatenation would be flattened when first read. */
export function tenantNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => Buffer.from(`tenant-${index}`).toString('latin1'))
}
