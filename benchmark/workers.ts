/** One and two worker threads on the same tenants of the same limiter. */

import { Worker } from 'node:worker_threads'
import { median } from './measure.ts'

export interface Workers {
  /** Median nanoseconds per decision of a worker that is alone. */
  one: number
  /** The same, of each of two that run at once. */
  two: number
  ratio: number
}

/** On `tenants` in common, or on as many each; a single one in common is the worst case. */
export async function workers(
  tenants: number,
  shared: boolean,
  rounds: number,
  count: number,
): Promise<Workers> {
  const threads = [0, 1].map(
    (seed) => new Worker(new URL('./worker.mjs', import.meta.url), { workerData: { tenants, shared, seed } }),
  )
  await Promise.all(threads.map((thread) => once(thread)))
  const [first, second] = threads
  if (first === undefined || second === undefined) throw new Error('two threads were started')
  const [alone, together]: [number[], number[]] = [[], []]
  for (let round = -1; round < rounds; round += 1) {
    const one = [await ask(first, count), await ask(second, count)]
    const two = await Promise.all([ask(first, count), ask(second, count)])
    if (round < 0) continue
    alone.push(...one)
    together.push(...two)
  }
  await Promise.all(threads.map((thread) => thread.terminate()))
  const ratios = alone.map((nanos, index) => (together[index] ?? nanos) / nanos)
  return { one: median(alone), two: median(together), ratio: median(ratios) }
}

function ask(thread: Worker, count: number): Promise<number> {
  thread.postMessage(count)
  return once(thread)
}

/** The next message; an error of the thread ends the benchmark by itself. */
function once(thread: Worker): Promise<number> {
  return new Promise((resolve) => thread.once('message', resolve))
}
