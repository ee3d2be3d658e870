/** What rollouts go by: their options with nothing left out, as the addon reads them. */

import { hostname } from 'node:os'
import type * as v from 'valibot'
import { TollgateConfigError, type ConfigIssue } from './errors.ts'
import { issueOf, shaped } from './fault.ts'
import { applySchema, type rolloutObject } from './schema/rollout.ts'

type Checked = v.InferOutput<typeof rolloutObject>

/** The strategy, as the addon reads it. */
export type StrategyJson = 'simultaneous' | { rolling: number[] }

/** How long a rollout waits for what, and what it does not tolerate, as the addon reads it. Times are in microseconds. */
export interface SettingsJson {
  window: number
  deadline: number
  min_samples: number
  patience: number
  lead: number
  thresholds: { decision_flips: number; burst_ratio: number; error_rate: number }
}

export interface RolloutSettings {
  strategy: StrategyJson
  settings: SettingsJson
  proposer: string
}

/** What one call of applyPolicy or rollback goes by. */
export interface ProposalSettings extends RolloutSettings {
  forced: boolean
}

/** What options say of rollouts. */
export interface RolloutGiven {
  rollout?: Checked | undefined
  rollbackThreshold?: number | undefined
}

const WINDOW_MS = 60_000
const DEADLINE_MS = 15 * 60_000

function micros(milliseconds: number): number {
  return milliseconds * 1_000
}

export function rolloutSettings({ rollout = {}, rollbackThreshold = 0.05 }: RolloutGiven): RolloutSettings {
  const { observationWindow = WINDOW_MS, strategy = 'rolling', steps = [0.1, 0.5, 1] } = rollout
  return {
    strategy: strategy === 'rolling' ? { rolling: steps } : strategy,
    settings: {
      window: micros(observationWindow),
      deadline: micros(rollout.deadline ?? Math.max(DEADLINE_MS, observationWindow)),
      min_samples: rollout.minSamples ?? 100,
      patience: micros(rollout.patience ?? 10_000),
      lead: micros(rollout.lead ?? 3_000),
      thresholds: {
        decision_flips: rollbackThreshold,
        burst_ratio: rollout.burstRatio ?? 1,
        error_rate: rollout.errorRate ?? 0.005,
      },
    },
    proposer: `${hostname()}, process ${process.pid}`,
  }
}

/** Options of a rollout that do not go together. */
export function rolloutIssues({ rollout = {} }: RolloutGiven, root: string): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  const { strategy, steps, lead, deadline, observationWindow = WINDOW_MS } = rollout
  if (steps !== undefined && strategy === 'simultaneous') {
    issues.push({
      path: `${root}.steps`,
      given: `[${steps.join(', ')}]`,
      accepted: "with strategy: 'rolling', or left out",
    })
  }
  if (lead !== undefined && strategy !== 'simultaneous') {
    issues.push({
      path: `${root}.lead`,
      given: `${lead} ms`,
      accepted: "with strategy: 'simultaneous', or left out",
    })
  }
  if (deadline !== undefined && deadline < observationWindow) {
    const accepted = `at least observationWindow, which is ${observationWindow} ms`
    issues.push({ path: `${root}.deadline`, given: `${deadline} ms`, accepted })
  }
  return issues
}

/**
 * What a call goes by, whose options are above those of the limiter.
 * @throws {@link TollgateConfigError} with every fault found.
 */
export function proposalSettings(options: unknown, defaults: RolloutGiven): ProposalSettings {
  const { output, faults } = shaped(applySchema, options)
  if (faults.length > 0) throw new TollgateConfigError(faults.map((fault) => issueOf(fault, ['applyPolicy'])))
  const given: RolloutGiven = {
    rollout: { ...unlessChanged(defaults.rollout, output.rollout), ...output.rollout },
    rollbackThreshold: output.rollbackThreshold ?? defaults.rollbackThreshold,
  }
  const issues = rolloutIssues(given, 'applyPolicy.rollout')
  if (issues.length > 0) throw new TollgateConfigError(issues)
  const settings = rolloutSettings(given)
  return { ...settings, proposer: output.proposer ?? settings.proposer, forced: output.force }
}

/** The limiter's options, without those that are for another strategy than the one that is asked for here. */
function unlessChanged(defaults: Checked = {}, { strategy }: Checked = {}): Checked {
  if (strategy === undefined || strategy === defaults.strategy) return defaults
  const { steps: _steps, lead: _lead, ...rest } = defaults
  return rest
}
