/** Watches the fleet that a limiter belongs to: tells of rollouts, whoever began them, and of what a person should look at. */

import type { EventEmitter } from 'node:events'
import { hostname } from 'node:os'
import { TollgateError } from './errors.ts'
import type { FleetReader, FleetState } from './fleet-state.ts'
import type { AlertEvent, PolicyEvent } from './limiter-types.ts'
import { isDifferent } from './rollout.ts'
import type { ExecutionLog, RolloutEvent, StageLog } from './rollout-types.ts'

/** How often it looks, in milliseconds. */
const EVERY_MS = 500

type Report = FleetState['reports'][number]

/** What a watch stands on, so that a test can move its time. */
export interface Watched {
  reader: Pick<FleetReader, 'read'>
  events: EventEmitter
  /** How long an instance may be on another revision, in milliseconds. */
  patienceMs: number
  now: () => number
}

export class FleetWatch {
  private timer: NodeJS.Timeout | undefined
  private last: FleetState | undefined
  private log: ExecutionLog | undefined
  /** Since when instances are on another revision, and those that have been told of. */
  private readonly astray = new Map<string, number>()
  private readonly told = new Set<string>()

  constructor(private readonly watched: Watched) {}

  /** Begins, if it has not: what is so already is no news. Keeps no process alive. */
  begin(): void {
    if (this.timer !== undefined) return
    this.timer = setInterval(() => this.look(), EVERY_MS).unref()
    this.look()
  }

  stop(): void {
    clearInterval(this.timer)
  }

  /** Tells of what has changed. */
  look(): void {
    const state = this.watched.reader.read()
    if (state !== this.last) {
      const before = this.last
      this.last = state
      this.tellOwn(before, state)
      // One that was over before this limiter came is no news.
      if (before === undefined && state.log?.outcome !== undefined) this.log = state.log
      else if (state.log !== null) this.tellRollout(state.log)
      this.tellRefusals(state.reports)
    }
    this.tellAstray(state)
  }

  /** This process decides by another policy than before. */
  private tellOwn(before: FleetState | undefined, after: FleetState): void {
    const was = before?.reports.find(isOwn)?.enforces
    const is = after.reports.find(isOwn)?.enforces
    if (was === undefined || was === null || is === undefined || is === null || was.number === is.number)
      return
    const event = { kind: 'applied', revision: is.number, hash: is.hash } satisfies PolicyEvent
    this.watched.events.emit('policy', event)
  }

  private tellRollout(log: ExecutionLog): void {
    const before = this.log?.execution_id === log.execution_id ? this.log : undefined
    this.log = log
    if (before?.outcome !== undefined) return
    for (const stage of log.stages) {
      const known = before?.stages.find((other) => other.stage === stage.stage)
      if (hasChanged(known, stage)) this.emit({ kind: 'stage', id: log.execution_id, stage, log })
    }
    const { outcome, execution_id: id } = log
    if (outcome === undefined || id === null) return
    const { status: kind, revision } = outcome
    const reason = outcome.status === 'rolled_back' ? outcome.reason : undefined
    this.emit({ kind, id, revision, reason, log })
    if (reason !== undefined) this.alert('policy-rolled-back', `rollout ${id} was rolled back: ${reason}`)
  }

  private tellRefusals(reports: readonly Report[]): void {
    for (const report of reports) {
      const { refuses } = report
      if (refuses === null) continue
      const text = `does not take the image of revision ${refuses.revision.number}: ${refuses.why}`
      this.once(`refuses ${nameOf(report)} ${refuses.revision.hash}`, 'image-refused', text, report)
    }
  }

  private tellAstray({ record, reports }: FleetState): void {
    if (record === null) return
    const { active, rollout } = record
    const now = this.watched.now()
    const known = new Set<string>()
    for (const report of reports) {
      const { enforces, role } = report
      const isCandidate = rollout !== null && enforces?.number === rollout.candidate.number
      if (role === 'observer' || enforces === null || enforces.number === active.number || isCandidate)
        continue
      const name = nameOf(report)
      known.add(name)
      const since = this.astray.get(name) ?? now
      this.astray.set(name, since)
      if (now - since <= this.watched.patienceMs) continue
      const text = `is at revision ${enforces.number}, and ${active.number} is active`
      this.once(`astray ${name} ${active.number}`, 'instance-diverged', text, report)
    }
    for (const name of this.astray.keys()) if (!known.has(name)) this.astray.delete(name)
  }

  private once(key: string, kind: AlertEvent['kind'], text: string, report: Report): void {
    if (this.told.has(key)) return
    this.told.add(key)
    this.alert(kind, `${nameOf(report)} ${text}`, { host: report.host, pid: report.pid })
  }

  private alert(kind: AlertEvent['kind'], text: string, instance?: AlertEvent['instance']): void {
    const error = new TollgateError('TOLLGATE_ROLLOUT_REFUSED', text)
    this.watched.events.emit('alert', { kind, option: 'rollout', instance, error } satisfies AlertEvent)
  }

  private emit(event: RolloutEvent): void {
    this.watched.events.emit('rollout', event)
  }
}

function isOwn({ host, pid, role }: Report): boolean {
  return role === 'instance' && (host === '' || (host === hostname() && pid === String(process.pid)))
}

function nameOf({ host, pid }: Report): string {
  return host === '' ? 'this process' : `${host}, process ${pid},`
}

function hasChanged(before: StageLog | undefined, after: StageLog): boolean {
  if (before === undefined) return after.status !== 'pending' && after.status !== 'skipped'
  return isDifferent(before, after)
}
