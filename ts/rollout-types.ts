/** Rollouts, as they are asked for and told of. Types only. */

import type { RolloutOptions } from './types.ts'

/** Options of {@link Limiter.applyPolicy} and {@link Limiter.rollback}. */
export interface ApplyOptions {
  /** What is different from the limiter's option `rollout`. Default: nothing. */
  rollout?: RolloutOptions | undefined
  /** Default: the limiter's. */
  rollbackThreshold?: number | undefined
  /** In spite of faults of the backends, and of an earlier rollback of the same policy? Default: false. */
  force?: boolean | undefined
  /** Who wants it, for the audit trail: 1 to 256 characters. Default: host and process. */
  proposer?: string | undefined
}

/** A stage of a rollout. */
export type StageName =
  | 'topology_scan'
  | 'policy_compilation'
  | 'redis_topology_validation'
  | 'policy_injection'
  | 'traffic_validation'

/**
 * How a stage stands: `'skipped'` if it was not needed or not come to, `'inconclusive'` if there was too little traffic to judge by.
 */
export type StageStatus = 'pending' | 'running' | 'passed' | 'failed' | 'skipped' | 'inconclusive'

interface Staged {
  stage: StageName
  status: StageStatus
  /** How long it took, or has taken so far. */
  duration_ms: number
}

/** Who and what is there; and whether the backends are fit for a rollout. */
export interface ScanStage extends Staged {
  stage: 'topology_scan' | 'redis_topology_validation'
  findings: TopologyFinding[]
}

/** What the compiler made of the policy; null before it has. */
export interface CompilationStage extends Staged {
  stage: 'policy_compilation'
  output: CompilationOutput | null
}

/** Instances come to decide by the policy. */
export interface InjectionStage extends Staged {
  stage: 'policy_injection'
  instances_updated: number
  instances_pending: number
}

/** Live traffic is judged by both policies. */
export interface ValidationStage extends Staged {
  stage: 'traffic_validation'
  /** How long each step is looked at, at least: `'60s'`. */
  validation_window: string
  threshold_checks: ThresholdCheck[]
}

/** A stage as the log has it. */
export type StageLog = ScanStage | CompilationStage | InjectionStage | ValidationStage

/** Something that was found. */
export interface TopologyFinding {
  /** What it is about. */
  kind: 'instance' | 'workers' | 'tenants' | 'redis_node' | 'backend' | 'app'
  /** `'fault'`: it is wrong; `'warning'`: it may go wrong; `'info'`: good to know. */
  level: 'info' | 'warning' | 'fault'
  /** In words. */
  text: string
  /** What there is to know by kind: an instance's host, pid, versions and revision; a node's address and role; an app's path. */
  [detail: string]: unknown
}

/** What the compiler made of a policy, and how it differs from the one in force. */
export interface CompilationOutput {
  hash: string
  image_bytes: number
  tenants: number
  rules: number
  limits: number
  optimization_level: number
  /** What was known beforehand, left out or merged. */
  optimizations: string[]
  /** One line for each difference; null if it is not known what is in force. */
  diff: string[] | null
}

/** What a check of live traffic has found. */
export interface ThresholdCheck {
  check: 'decision_flips' | 'burst_ratio' | 'tenant_isolation' | 'error_rate'
  value: number
  /** What it may be at most. */
  threshold: number
  /** Of how many requests it speaks. */
  samples: number
  scope: 'fleet' | { tenant: { hash: string; name: string } }
  verdict: 'passed' | 'inconclusive' | 'failed'
}

/** A policy as a fleet calls it. */
export interface FleetRevision {
  /** Counted from 1, and never given twice. */
  number: number
  hash: string
}

/** How a rollout ended. */
export type RolloutOutcome =
  | { status: 'locked'; revision: FleetRevision }
  | { status: 'rolled_back'; revision: FleetRevision; reason: string; check?: ThresholdCheck['check'] }

/** A rollout, from its beginning to where it stands. */
export interface ExecutionLog {
  /** `infra_rl_2026_01_15_09_42_17`; null until the fleet knows of it. */
  execution_id: string | null
  agent: 'tollgate'
  task: 'enforce_rate_limit_policy'
  /** RFC 3339, in UTC. */
  start_timestamp: string
  /** All five, in their order. */
  stages: StageLog[]
  /** When it is over if all goes well, as far as can be said: RFC 3339, in UTC. */
  estimated_completion: string | null
  /** How it ended, once it has. */
  outcome?: RolloutOutcome | undefined
}

/** Something has happened to a rollout. */
export type RolloutEvent =
  | {
      /** A stage has begun or ended, or there is something new in it. */
      kind: 'stage'
      id: string | null
      stage: StageLog
      log: ExecutionLog
    }
  | {
      /** It is over. */
      kind: 'locked' | 'rolled_back'
      id: string
      revision: FleetRevision
      /** Why it was rolled back. */
      reason?: string | undefined
      log: ExecutionLog
    }

/** How a rollout ended, and what is in force now. */
export interface RolloutResult {
  status: 'locked' | 'rolled_back'
  /** The number of the policy in force: of a fleet, or after a rollout, the fleet's; otherwise this process's. */
  revision: number
  /** SHA-256 of its content. */
  hash: string
  log: ExecutionLog
  /** Why it was rolled back. */
  reason?: string | undefined
}

/**
 * A policy on its way. Awaiting it gives how it ended; it rejects with a {@link TollgateRolloutError} if it does not begin, and with a
 * {@link TollgateConfigError} for faults of the policy. Iterating it gives what happens, from the first stage to the end.
 * @example
 * const rollout = limiter.applyPolicy(definition)
 * for await (const event of rollout) if (event.kind === 'stage') console.log(event.stage.stage, event.stage.status)
 * const { status, reason } = await rollout
 */
export interface Rollout<Result extends RolloutResult = RolloutResult>
  extends Promise<Result>, AsyncIterable<RolloutEvent> {
  /** What it is called; null until the fleet knows of it. */
  readonly id: string | null
  /** How it stands. Another object each time that something has changed. */
  readonly log: ExecutionLog
  /** Rolls it back; resolves once that is asked for. */
  cancel(): Promise<void>
  /** Takes too little traffic for enough; resolves once that is asked for. What fails fails nevertheless. */
  confirm(): Promise<void>
}

/** An entry of the audit trail. */
export interface AuditEntry {
  /** Counted from 1, without a gap. */
  number: number
  /** When, by the backend's clock: RFC 3339, in UTC. */
  time: string
  /** Of which rollout. */
  execution_id: string
  /** What has happened: `'proposed'`, `'locked'`, `'rolled_back'` and so on. */
  event: string
  /** What there is to know of it. */
  [detail: string]: unknown
}

/** What a fleet's audit trail says. */
export interface History {
  /** The newest last. */
  entries: AuditEntry[]
  /** Is the trail as it was written? Each entry is chained to the one before. */
  intact: boolean
  /** What is wrong with it. */
  broken?: string | undefined
}

/** A process of a fleet. */
export interface FleetInstance {
  host: string
  pid: string
  nodeVersion: string
  packageVersion: string
  /** The revision that it decides by; null if it is not in service. */
  revision: number | null
  /** An observer, such as a command line, decides on nothing. */
  role: 'instance' | 'observer'
  /** Why it does not take an image, if it does not. */
  refuses: string | null
}

/** What is known of a fleet. */
export interface FleetStatus {
  /** What is active outside a rollout; null until that is known. */
  revision: FleetRevision | null
  /** Those that live, this process among them. */
  instances: FleetInstance[]
  /** Revisions that one can go back to, the newest last. */
  earlier: FleetRevision[]
  /** Why this process takes no part in rollouts at present; null if it does. */
  failure: string | null
}

/** A rollout that is under way. */
export interface RolloutStatus {
  id: string
  candidate: FleetRevision
  from: FleetRevision
  phase: 'staging' | 'switching' | 'agreed' | 'validating' | 'promoting' | 'rolling_back'
  /** Which step of how many, from 1. */
  step: { number: number; of: number }
  proposer: string
  forced: boolean
  log: ExecutionLog | null
}
