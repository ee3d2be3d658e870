/** A policy on its way: the stages that are run here, and those in which the fleet has a part, in one log. */

import { setTimeout as pause } from 'node:timers/promises'
import { TollgateRolloutError } from './errors.ts'
import { FleetReader } from './fleet-state.ts'
import { refusedBy, type NativeDeployment } from './native.ts'
import type {
  CompilationOutput,
  ExecutionLog,
  Rollout,
  RolloutEvent,
  RolloutOutcome,
  RolloutResult,
  StageLog,
  StageName,
  StageStatus,
  TopologyFinding,
} from './rollout-types.ts'

/** What is found in a stage that is run here. */
export type Found =
  | { findings: TopologyFinding[] }
  | { output: CompilationOutput }
  | { instances_updated: number; instances_pending: number }

/** How often the fleet is looked at while somebody waits for it, in milliseconds. */
const POLL_MS = 50
/** How long a rollout that the fleet is done with may be missing from what is seen, before the audit trail is asked, in milliseconds. */
const MISSED_MS = 2_000
/** So many entries of the audit trail are searched. */
const ENTRIES = 200

/** Runs a rollout: the stages before the fleet knows of it, the proposal, and what is done in the end. */
export type Conduct<Result> = (rollout: RunningRollout) => Promise<Result>

export class RunningRollout<Result extends RolloutResult = RolloutResult> implements Rollout<Result> {
  log = emptyLog()
  readonly [Symbol.toStringTag] = 'Rollout'
  private readonly result: Promise<Result>
  private readonly listeners = new Set<(event: RolloutEvent | undefined) => void>()
  private over: RolloutEvent | undefined
  private failure: { error: unknown } | undefined
  private proposer = ''

  constructor(
    private readonly deployment: NativeDeployment,
    conduct: Conduct<Result>,
  ) {
    this.result = this.run(conduct)
  }

  get id(): string | null {
    return this.log.execution_id
  }

  async cancel(): Promise<void> {
    await this.ask('cancel')
  }

  async confirm(): Promise<void> {
    await this.ask('confirm')
  }

  // oxlint-disable-next-line unicorn/no-thenable -- awaiting a rollout gives how it ended
  then<Kept = Result, Caught = never>(
    kept?: ((result: Result) => Kept | PromiseLike<Kept>) | null,
    caught?: ((error: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<Kept | Caught> {
    return this.result.then(kept, caught)
  }

  catch<Caught = never>(
    caught?: ((error: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<Result | Caught> {
    return this.result.catch(caught)
  }

  finally(act?: (() => void) | null): Promise<Result> {
    return this.result.finally(act)
  }

  /** What has happened so far, one event for each stage that has begun, and then what happens. */
  async *[Symbol.asyncIterator](): AsyncGenerator<RolloutEvent, void, void> {
    // Who iterates is told of the error here.
    this.result.catch(() => undefined)
    const queue = new EventQueue(this.log.stages.filter(hasBegun).map((stage) => this.staged(stage)))
    const listen = (event: RolloutEvent | undefined): void => queue.add(event)
    this.listeners.add(listen)
    if (this.over !== undefined) queue.add(this.over)
    if (this.over !== undefined || this.failure !== undefined) queue.add(undefined)
    try {
      for (let event = await queue.next(); event !== undefined; event = await queue.next()) yield event
      if (this.failure !== undefined) throw this.failure.error
    } finally {
      this.listeners.delete(listen)
    }
  }

  /** Runs a stage; what it finds is in the log. */
  async stage<Finding extends Found & { status?: StageStatus }>(
    name: StageName,
    find: () => Promise<Finding>,
  ): Promise<Finding> {
    const start = performance.now()
    const elapsed = (): number => Math.round(performance.now() - start)
    this.set(name, { status: 'running', duration_ms: 0 })
    try {
      const found = await find()
      const { status = 'passed', ...details } = found
      this.set(name, { status, duration_ms: elapsed(), ...details })
      return found
    } catch (error) {
      this.set(name, { status: 'failed', duration_ms: elapsed() })
      throw error
    }
  }

  /** Says of a stage what is known of it. */
  set(name: StageName, known: Partial<StageLog>): void {
    const stages = this.log.stages.map((stage) =>
      stage.stage === name ? ({ ...stage, ...known, stage: name } as StageLog) : stage,
    )
    this.log = { ...this.log, stages }
    const stage = stages.find((other) => other.stage === name)
    if (stage !== undefined) this.tell(this.staged(stage))
  }

  /** The rollout has begun, or what is under way was cancelled. */
  called(id: string): void {
    this.log = { ...this.log, execution_id: id }
  }

  /** Proposes; the fleet calls it by what this resolves to. */
  async proposed(propose: () => Promise<string>, proposer: string): Promise<void> {
    this.proposer = proposer
    try {
      this.called(await propose())
    } catch (error) {
      throw refusedBy(error, this.log)
    }
  }

  /** Follows what the fleet does until it is done. */
  async outcome(): Promise<RolloutOutcome> {
    const reader = new FleetReader(this.deployment)
    let missedSince: number | undefined
    for (;;) {
      const { record, log } = this.read(reader)
      if (log !== null && log.execution_id === this.id) {
        this.takeIn(log)
        if (log.outcome !== undefined) return this.ended(log.outcome)
      } else if (record !== null && record.rollout?.execution_id !== this.id) {
        missedSince ??= performance.now()
        if (performance.now() - missedSince > MISSED_MS) {
          const outcome = await this.audited()
          if (outcome !== undefined) return this.ended(outcome)
        }
      }
      await pause(POLL_MS)
    }
  }

  /** It is over without a fleet. */
  ended(outcome: RolloutOutcome): RolloutOutcome {
    this.log = { ...this.log, outcome }
    const { status: kind, revision } = outcome
    const reason = outcome.status === 'rolled_back' ? outcome.reason : undefined
    this.over = { kind, id: this.id ?? '', revision, reason, log: this.log }
    return outcome
  }

  private async run(conduct: Conduct<Result>): Promise<Result> {
    try {
      return await conduct(this)
    } catch (error) {
      this.failure = { error }
      throw error
    } finally {
      if (this.over !== undefined) this.tell(this.over)
      this.tell(undefined)
    }
  }

  private read(reader: FleetReader): ReturnType<FleetReader['read']> {
    try {
      return reader.read()
    } catch (error) {
      throw refusedBy(error, this.log)
    }
  }

  /** Brings in the stages in which the fleet has a part. */
  private takeIn({ estimated_completion, stages }: ExecutionLog): void {
    this.log = { ...this.log, estimated_completion }
    for (const stage of stages) {
      const before = this.log.stages.find((other) => other.stage === stage.stage)
      if (stage.stage !== 'policy_injection' && stage.stage !== 'traffic_validation') continue
      if (before !== undefined && isDifferent(before, stage)) this.set(stage.stage, stage)
    }
  }

  /** How it ended, by the audit trail. */
  private async audited(): Promise<RolloutOutcome | undefined> {
    const { entries } = JSON.parse(await this.deployment.audit(ENTRIES)) as { entries: AuditJson[] }
    const own = entries.filter((entry) => entry.execution_id === this.id)
    for (const { event, revision, to, reason } of own) {
      if (event === 'locked' && revision !== undefined) return { status: 'locked', revision }
      if (event === 'rolled_back' && to !== undefined) {
        return { status: 'rolled_back', revision: to, reason: reason?.name.replaceAll('_', ' ') ?? '' }
      }
    }
    return undefined
  }

  private async ask(what: 'confirm' | 'cancel'): Promise<void> {
    if (this.id === null) throw new TollgateRolloutError('the rollout has not begun yet', this.log)
    try {
      await this.deployment.askRollout(what, this.proposer)
    } catch (error) {
      throw refusedBy(error, this.log)
    }
  }

  private staged(stage: StageLog): RolloutEvent {
    return { kind: 'stage', id: this.id, stage, log: this.log }
  }

  private tell(event: RolloutEvent | undefined): void {
    for (const listen of this.listeners) listen(event)
  }
}

interface AuditJson {
  execution_id: string
  event: string
  revision?: RolloutOutcome['revision']
  to?: RolloutOutcome['revision']
  reason?: { name: string }
}

/** Events on their way to somebody who may be slow: of what is new in one stage, only the last is kept. */
class EventQueue {
  private wake: (() => void) | undefined

  constructor(private readonly events: (RolloutEvent | undefined)[]) {}

  /** `undefined` ends it. */
  add(event: RolloutEvent | undefined): void {
    const last = this.events.at(-1)
    if (last !== undefined && event !== undefined && isSame(last, event)) this.events.pop()
    this.events.push(event)
    this.wake?.()
  }

  async next(): Promise<RolloutEvent | undefined> {
    if (this.events.length === 0) {
      await new Promise<void>((resolve) => (this.wake = resolve))
    }
    return this.events.shift()
  }
}

/** Is there more to tell of a stage than how long it has taken? */
export function isDifferent(before: StageLog, after: StageLog): boolean {
  // In the same order: what comes from the addon has its names in another one.
  return JSON.stringify(before) !== JSON.stringify({ ...before, ...after, duration_ms: before.duration_ms })
}

/** Is it the same stage in the same status? */
function isSame(one: RolloutEvent, other: RolloutEvent): boolean {
  if (one.kind !== 'stage' || other.kind !== 'stage') return false
  return one.stage.stage === other.stage.stage && one.stage.status === other.stage.status
}

function hasBegun({ status }: StageLog): boolean {
  return status !== 'pending'
}

function emptyLog(): ExecutionLog {
  const pending = { status: 'pending', duration_ms: 0 } as const
  return {
    execution_id: null,
    agent: 'tollgate',
    task: 'enforce_rate_limit_policy',
    start_timestamp: timestamp(new Date()),
    stages: [
      { stage: 'topology_scan', ...pending, findings: [] },
      { stage: 'policy_compilation', ...pending, output: null },
      { stage: 'redis_topology_validation', ...pending, findings: [] },
      { stage: 'policy_injection', ...pending, instances_updated: 0, instances_pending: 0 },
      { stage: 'traffic_validation', ...pending, validation_window: '', threshold_checks: [] },
    ],
    estimated_completion: null,
  }
}

/** RFC 3339, in UTC and to the second. */
export function timestamp(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}
