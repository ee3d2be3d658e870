/** How long single decisions take while a million keys are swept beside them, and while nothing is. */

import { createRequire } from 'node:module'
import { setTimeout } from 'node:timers/promises'
import type * as Native from '../native.cjs'
import { median, quantile, tenantNames } from './measure.ts'

// Sweeps come by themselves, when a table fills. To have them one after another, this talks to the addon.
const native = createRequire(import.meta.url)('../native.cjs') as typeof Native

const KEYS = 1_000_000
const HOT = 1_000
/** How often a sweep is asked for; one that goes on is not begun again. */
const SWEEP_EVERY = 10_000

/** What the addon asks of the array that it leaves its answers in. */
const ANSWER_BYTES = 8 * 18

export interface Pauses {
  p50: number
  p99: number
  p9999: number
}

export interface Sweeping {
  quiet: Pauses
  sweeping: Pauses
  /** Of the p99.99, within rounds. */
  ratio: number
}

export async function sweeping(rounds: number, count: number): Promise<Sweeping> {
  const spec = { default: { quota: 1000, burst: 0, windowMs: 3_600_000, algorithm: 'token-bucket' } }
  const policy = await new native.PolicyDraft(JSON.stringify(spec), 2).compile()
  const answer = new Float64Array(new ArrayBuffer(ANSWER_BYTES))
  answer[0] = 1
  answer[1] = NaN
  const channel = new native.Channel(answer)
  const gate = new native.Gate(channel, 'benchmark-sweep', policy, 2 * KEYS, 1, false)
  answer[8] = gate.id
  const { consume } = channel.hot()
  for (const name of tenantNames(KEYS)) consume(name)
  const names = tenantNames(HOT)
  const samples = new Float64Array(count)

  async function pauses(swept: boolean): Promise<Pauses> {
    for (let turn = 0; turn < count; turn += 1) {
      if (turn % SWEEP_EVERY === 0) {
        if (swept) gate.sweep()
        await setTimeout(0)
      }
      const start = process.hrtime.bigint()
      consume(names[turn % HOT] ?? '')
      samples[turn] = Number(process.hrtime.bigint() - start)
    }
    const sorted = Array.from(samples)
    return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), p9999: quantile(sorted, 0.9999) }
  }

  const taken: { quiet: Pauses; sweeping: Pauses }[] = []
  for (let round = -1; round < rounds; round += 1) {
    const quiet = await pauses(false)
    const swept = await pauses(true)
    // The last sweep ends before the next quiet time begins.
    await setTimeout(500)
    if (round >= 0) taken.push({ quiet, sweeping: swept })
  }
  gate.close()
  const medians = (pick: 'quiet' | 'sweeping'): Pauses => ({
    p50: median(taken.map((round) => round[pick].p50)),
    p99: median(taken.map((round) => round[pick].p99)),
    p9999: median(taken.map((round) => round[pick].p9999)),
  })
  return {
    quiet: medians('quiet'),
    sweeping: medians('sweeping'),
    ratio: median(taken.map(({ quiet, sweeping: swept }) => swept.p9999 / quiet.p9999)),
  }
}
