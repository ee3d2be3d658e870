/** A limiter's way to rollouts: it runs the stages before the fleet knows of one, proposes, and follows. */

import type { EventEmitter } from 'node:events'
import type { AppSight } from './app-sight.ts'
import { TollgateRolloutError } from './errors.ts'
import type { Fleet } from './fleet.ts'
import { FleetReader, fleetStatus, rolloutStatus, type FleetState } from './fleet-state.ts'
import { FleetWatch } from './fleet-watch.ts'
import type { Gate } from './gate.ts'
import { historyOf } from './history.ts'
import type { AppliedPolicy, CompileReport } from './limiter-types.ts'
import type { NativeCompiledPolicy } from './native.ts'
import type { PolicyChanges, Prepared } from './policy-changes.ts'
import type { PolicyDefinition } from './policy-types.ts'
import { compilationOutput } from './policy-stage.ts'
import { RunningRollout, timestamp } from './rollout.ts'
import {
  proposalSettings,
  rolloutSettings,
  type ProposalSettings,
  type RolloutGiven,
} from './rollout-settings.ts'
import type {
  ApplyOptions,
  FleetStatus,
  History,
  RolloutResult,
  RolloutStatus,
  TopologyFinding,
} from './rollout-types.ts'
import {
  backendFindings,
  counted,
  instanceFindings,
  nodeFindings,
  workerFindings,
  type Inspected,
} from './topology.ts'

/** What rollouts are made of. */
export interface RolloutParts {
  gate: Gate
  changes: PolicyChanges
  /** None without backends. */
  fleet: Fleet | undefined
  /** The limiter's own options about rollouts. */
  defaults: RolloutGiven
  apps: AppSight
  events: EventEmitter
  /** @throws {@link TollgateClosedError} after the limiter was closed. */
  open: () => void
}

/** What is known of a fleet before there is one. */
const NOTHING: FleetState = { record: null, reports: [], log: null, failure: null }

export class Rollouts {
  private readonly reader: FleetReader
  private readonly watch: FleetWatch
  /** A process by itself takes no part in rollouts before its first. */
  private takesPart: boolean

  constructor(private readonly parts: RolloutParts) {
    const { gate, fleet, events, defaults } = parts
    this.reader = new FleetReader(gate.deployment)
    this.takesPart = fleet !== undefined
    const patienceMs = rolloutSettings(defaults).settings.patience / 1_000
    this.watch = new FleetWatch({ reader: this.reader, events, patienceMs, now: () => performance.now() })
    if (this.takesPart) this.watch.begin()
  }

  /** Tells of nothing any more. */
  stop(): void {
    this.watch.stop()
  }

  apply(definition: PolicyDefinition, options: ApplyOptions = {}): RunningRollout<AppliedPolicy> {
    return new RunningRollout<AppliedPolicy>(this.parts.gate.deployment, async (rollout) => {
      this.parts.open()
      const settings = proposalSettings(options, this.parts.defaults)
      return this.isAtOnce(options)
        ? this.parts.changes.turn(() => this.atOnce(rollout, definition))
        : this.byStages(rollout, definition, settings)
    })
  }

  rollback(revision: number | undefined, options: ApplyOptions = {}): RunningRollout {
    const { gate, open } = this.parts
    return new RunningRollout(gate.deployment, async (rollout) => {
      open()
      const settings = proposalSettings(options, this.parts.defaults)
      await rollout.stage('topology_scan', async () => ({ findings: this.topology() }))
      for (const stage of ['policy_compilation', 'redis_topology_validation'] as const) {
        rollout.set(stage, { status: 'skipped' })
      }
      this.begin()
      const to = revision ?? -1
      await rollout.proposed(() => gate.deployment.rollBack(to, JSON.stringify(settings)), settings.proposer)
      return concluded(rollout)
    })
  }

  async history(count: number): Promise<History> {
    this.parts.open()
    return historyOf(await this.parts.gate.deployment.audit(count))
  }

  /** What is known of the fleet; null without backends. */
  fleet(): FleetStatus | null {
    return this.parts.fleet === undefined ? null : fleetStatus(this.state())
  }

  underWay(): RolloutStatus | null {
    return rolloutStatus(this.state())
  }

  private state(): FleetState {
    return this.takesPart ? this.reader.read() : NOTHING
  }

  private begin(): void {
    this.takesPart = true
    this.watch.begin()
  }

  private isAtOnce({ rollout, force }: ApplyOptions): boolean {
    const { fleet, defaults } = this.parts
    return fleet === undefined && defaults.rollout === undefined && rollout === undefined && force !== true
  }

  /** Puts a policy in force where there is nobody to be careful of. */
  private async atOnce(rollout: RunningRollout, definition: PolicyDefinition): Promise<AppliedPolicy> {
    const { gate, changes } = this.parts
    rollout.called(`infra_rl_${timestamp(new Date()).replaceAll(/\D/g, '_').slice(0, -1)}`)
    rollout.set('topology_scan', { status: 'skipped' })
    const prepared = await this.compiled(rollout, definition)
    rollout.set('redis_topology_validation', { status: 'skipped' })
    await rollout.stage('policy_injection', async () => {
      await changes.replace(prepared)
      return { instances_updated: 1, instances_pending: 0 }
    })
    rollout.set('traffic_validation', { status: 'skipped' })
    const { revision, policyHash: hash } = gate.stats()
    rollout.ended({ status: 'locked', revision: { number: revision, hash } })
    return { status: 'locked', revision, hash, report: reportOf(prepared.policy), log: rollout.log }
  }

  private async byStages(
    rollout: RunningRollout,
    definition: PolicyDefinition,
    settings: ProposalSettings,
  ): Promise<AppliedPolicy> {
    const { gate, changes } = this.parts
    const prepared = await changes.turn(async () => {
      await rollout.stage('topology_scan', async () => ({ findings: this.topology() }))
      const compiled = await this.compiled(rollout, definition)
      await this.validated(rollout, settings.forced)
      this.begin()
      const propose = (): Promise<string> =>
        gate.deployment.propose(compiled.policy, JSON.stringify(settings))
      await rollout.proposed(propose, settings.proposer)
      return compiled
    })
    const result = await concluded(rollout)
    // The policy whose tenants are refreshed from then on.
    if (result.status === 'locked') changes.adopt(prepared.next)
    return { ...result, report: reportOf(prepared.policy) }
  }

  private async compiled(rollout: RunningRollout, definition: PolicyDefinition): Promise<Prepared> {
    let prepared: Prepared | undefined
    await rollout.stage('policy_compilation', async () => {
      prepared = await this.parts.changes.prepare(definition)
      return { output: compilationOutput(prepared.policy, prepared.diff) }
    })
    return prepared as unknown as Prepared
  }

  private async validated(rollout: RunningRollout, forced: boolean): Promise<void> {
    const { gate, fleet } = this.parts
    if (fleet === undefined) return rollout.set('redis_topology_validation', { status: 'skipped' })
    const { findings } = await rollout.stage('redis_topology_validation', async () => {
      return judged(backendFindings(JSON.parse(await gate.deployment.inspect()) as Inspected[]))
    })
    refuseFaults(rollout, findings, forced)
  }

  private topology(): TopologyFinding[] {
    const { gate, fleet, apps } = this.parts
    const { keys, tenants } = gate.stats()
    const text = `the policy in force names ${counted(tenants, 'tenant')}; this process remembers ${counted(keys, 'key')}`
    return [
      ...instanceFindings(this.state()),
      ...workerFindings(),
      { kind: 'tenants', level: 'info', text, tenants, keys },
      ...nodeFindings(fleet?.backends() ?? []),
      ...apps.findings(),
    ]
  }
}

/** Findings of backends with what follows from them. */
export function judged(findings: TopologyFinding[]): {
  findings: TopologyFinding[]
  status: 'passed' | 'failed'
} {
  return { findings, status: findings.some(({ level }) => level === 'fault') ? 'failed' : 'passed' }
}

/** @throws {@link TollgateRolloutError} where backends have faults, unless it is forced. */
export function refuseFaults(
  rollout: Pick<RunningRollout, 'log'>,
  findings: readonly TopologyFinding[],
  forced: boolean,
): void {
  const faults = findings.filter(({ level }) => level === 'fault').map(({ text }) => text)
  if (faults.length === 0 || forced) return
  throw new TollgateRolloutError(
    `the backends are not fit for a rollout: ${faults.join('; ')}. Mend them, or force it`,
    rollout.log,
  )
}

/** Follows it to its end. */
export async function concluded(rollout: Pick<RunningRollout, 'log' | 'outcome'>): Promise<RolloutResult> {
  const outcome = await rollout.outcome()
  const { status, revision } = outcome
  const reason = outcome.status === 'rolled_back' ? { reason: outcome.reason } : {}
  return { status, revision: revision.number, hash: revision.hash, log: rollout.log, ...reason }
}

function reportOf(policy: NativeCompiledPolicy): CompileReport {
  return JSON.parse(policy.report()) as CompileReport
}
