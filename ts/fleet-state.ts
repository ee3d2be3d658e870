/** What a fleet has agreed on and what its instances say, as the addon tells it in JSON. */

import type { NativeDeployment } from './native.ts'
import type { StrategyJson } from './rollout-settings.ts'
import type {
  ExecutionLog,
  FleetInstance,
  FleetRevision,
  FleetStatus,
  RolloutStatus,
} from './rollout-types.ts'

interface Phase {
  name: RolloutStatus['phase']
  /** Counted from 0. */
  step?: number
}

interface RolloutRecord {
  execution_id: string
  candidate: FleetRevision
  from: FleetRevision
  strategy: StrategyJson
  phase: Phase
  settings: { patience: number }
  proposer: string
  forced: boolean
}

interface FleetRecord {
  active: FleetRevision
  earlier: FleetRevision[]
  refused: { hash: string }[]
  rollout: RolloutRecord | null
  last_execution: string | null
}

interface InstanceReport {
  role: 'instance' | 'observer'
  enforces: FleetRevision | null
  refuses: { revision: FleetRevision; why: string } | null
  host: string
  pid: string
  node_version: string
  package_version: string
}

/** All that is known. */
export interface FleetState {
  record: FleetRecord | null
  reports: InstanceReport[]
  log: ExecutionLog | null
  failure: string | null
}

/** Reads it when it has changed. */
export class FleetReader {
  private text = ''
  private state: FleetState = { record: null, reports: [], log: null, failure: null }

  constructor(private readonly deployment: Pick<NativeDeployment, 'fleet'>) {}

  /** The same object as before if nothing has changed. */
  read(): FleetState {
    const text = this.deployment.fleet()
    if (text !== this.text) {
      this.text = text
      this.state = JSON.parse(text) as FleetState
    }
    return this.state
  }
}

export function fleetStatus({ record, reports, failure }: FleetState): FleetStatus {
  return {
    revision: record?.active ?? null,
    instances: reports.map(instanceOf).toSorted(byProcess),
    earlier: record?.earlier ?? [],
    failure,
  }
}

function byProcess(one: FleetInstance, other: FleetInstance): number {
  return one.host.localeCompare(other.host) || Number(one.pid) - Number(other.pid)
}

function instanceOf(report: InstanceReport): FleetInstance {
  const { host, pid, node_version: nodeVersion, package_version: packageVersion, role } = report
  const revision = report.enforces?.number ?? null
  return { host, pid, nodeVersion, packageVersion, revision, role, refuses: report.refuses?.why ?? null }
}

export function rolloutStatus({ record, log }: FleetState): RolloutStatus | null {
  const rollout = record?.rollout
  if (rollout === undefined || rollout === null) return null
  const { execution_id: id, candidate, from, phase, strategy, proposer, forced } = rollout
  const of = strategy === 'simultaneous' ? 1 : strategy.rolling.length
  const step = { number: Math.min((phase.step ?? 0) + 1, of), of }
  const own = log?.execution_id === id ? log : null
  return { id, candidate, from, phase: phase.name, step, proposer, forced, log: own }
}
