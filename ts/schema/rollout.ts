/** The shape of the options of rollouts. Their defaults are in rollout-settings.ts. */

import * as v from 'valibot'
import { closed, oneOf, shortDuration, whole } from './value.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const SHARE = 'a number from 0 to 1'
const STEPS = 'an array of 1 to 32 numbers above 0, each above the one before, of which the last is 1'

const steps = v.pipe(
  v.array(v.number(STEPS), STEPS),
  v.check((shares) => isSteps(shares), STEPS),
)

function isSteps(shares: readonly number[]): boolean {
  const rises = shares.every((share, index) => share > (shares[index - 1] ?? 0) && share <= 1)
  return shares.length <= 32 && rises && shares.at(-1) === 1
}

function numberBetween(least: number, most: number, accepted: string) {
  return v.pipe(v.number(accepted), v.minValue(least, accepted), v.maxValue(most, accepted))
}

/** The share of decisions that a rollout may flip. */
export const rollbackThreshold = numberBetween(0, 1, SHARE)

export const rolloutObject = closed(
  {
    strategy: v.optional(oneOf(['rolling', 'simultaneous'])),
    steps: v.optional(steps),
    observationWindow: v.optional(shortDuration(0, DAY, "a time from 0 to 24 h, such as '60s'")),
    deadline: v.optional(shortDuration(1, 7 * DAY, "a time from 1 ms to 7 days, such as '15m'")),
    minSamples: v.optional(whole(1, Number.MAX_SAFE_INTEGER)),
    patience: v.optional(shortDuration(100, HOUR, "a time from 100 ms to 1 h, such as '10s'")),
    lead: v.optional(shortDuration(0, HOUR, "a time from 0 to 1 h, such as '3s'")),
    burstRatio: v.optional(numberBetween(1, 1000, 'a number from 1 to 1000')),
    errorRate: v.optional(numberBetween(0, 1, SHARE)),
  },
  'an object of options of a rollout',
)

const PROPOSER = 'a string of 1 to 256 characters'

/** Options of applyPolicy and rollback. */
export const applySchema = closed(
  {
    rollout: v.optional(rolloutObject),
    rollbackThreshold: v.optional(rollbackThreshold),
    force: v.optional(v.boolean('true or false'), false),
    proposer: v.optional(v.pipe(v.string(PROPOSER), v.nonEmpty(PROPOSER), v.maxLength(256, PROPOSER))),
  },
  'an object of options',
)
