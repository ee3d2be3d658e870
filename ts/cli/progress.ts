/** How a rollout is shown while it goes on: as lines that change on a terminal, as one line for each change elsewhere. */

import type {
  ExecutionLog,
  Rollout,
  RolloutEvent,
  StageLog,
  ThresholdCheck,
  TopologyFinding,
} from '../rollout-types.ts'
import { counted } from '../topology.ts'
import type { Terminal } from './terminal.ts'

/** Shows what happens to a rollout until it is over. */
export async function showProgress(rollout: Rollout, terminal: Terminal): Promise<void> {
  const lines = terminal.isTerminal ? new LiveLines(terminal) : new PlainLines(terminal)
  for await (const event of rollout) lines.show(event)
  lines.end(rollout.log)
}

/** One line for each stage, written anew with each event. */
class LiveLines {
  private height = 0

  constructor(private readonly terminal: Terminal) {}

  show({ log }: RolloutEvent): void {
    this.draw(log)
  }

  end(log: ExecutionLog): void {
    this.draw(log)
  }

  private draw({ stages }: ExecutionLog): void {
    const { terminal } = this
    if (terminal.isAsking) {
      // What was drawn is above the question.
      this.height = 0
      return
    }
    if (this.height > 0) terminal.streams.stdout.write(`\u001B[${this.height}A\u001B[J`)
    for (const stage of stages) terminal.line(terminal.fit(stageLine(stage, terminal)))
    this.height = stages.length
  }
}

/** A line where the status of a stage has changed. */
class PlainLines {
  private readonly shown = new Map<string, string>()

  constructor(private readonly terminal: Terminal) {}

  show(event: RolloutEvent): void {
    if (event.kind !== 'stage') return
    const { stage } = event
    if (stage.status === 'pending' || (stage.status === 'running' && !this.takesLong(stage))) return
    // How many instances are updated is news; how many requests were judged is not.
    const key =
      stage.stage === 'policy_injection' ? JSON.stringify([stage.status, summary(stage)]) : stage.status
    if (this.shown.get(stage.stage) === key) return
    this.shown.set(stage.stage, key)
    this.terminal.line(stageLine(stage, this.terminal))
  }

  end(log: ExecutionLog): void {
    for (const stage of log.stages) {
      if (stage.status === 'skipped' && !this.shown.has(stage.stage))
        this.terminal.line(stageLine(stage, this.terminal))
    }
  }

  private takesLong({ stage }: StageLog): boolean {
    return stage === 'policy_injection' || stage === 'traffic_validation'
  }
}

function stageLine(stage: StageLog, terminal: Terminal): string {
  const name = stage.stage.padEnd(26)
  const time = stage.status === 'pending' || stage.status === 'skipped' ? '' : seconds(stage.duration_ms)
  const said = stage.status === 'skipped' ? 'skipped' : stage.status === 'pending' ? '' : summary(stage)
  return `${terminal.status(stage.status)} ${name}${time.padStart(8)}  ${said}`.trimEnd()
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(1)} s`
}

function summary(stage: StageLog): string {
  switch (stage.stage) {
    case 'topology_scan':
    case 'redis_topology_validation':
      return found(stage.findings)
    case 'policy_compilation': {
      if (stage.output === null) return ''
      const { image_bytes: bytes, tenants, rules, hash } = stage.output
      return `${counted(bytes, 'byte')}, ${counted(tenants, 'tenant')}, ${counted(rules, 'rule')}; ${hash.slice(0, 12)}`
    }
    case 'policy_injection': {
      if (stage.status === 'pending') return ''
      const { instances_updated: updated, instances_pending: pending } = stage
      return `${updated} of ${counted(updated + pending, 'instance')}`
    }
    default:
      return stage.threshold_checks.length === 0 ? '' : checked(stage.threshold_checks)
  }
}

function found(findings: readonly TopologyFinding[]): string {
  const count = (holds: (finding: TopologyFinding) => boolean): number => findings.filter(holds).length
  const parts: [number, string][] = [
    [count(({ role }) => role === 'instance'), 'instance'],
    [count(({ kind, level }) => kind === 'redis_node' && level === 'info'), 'Redis node'],
    [count(({ level }) => level === 'warning'), 'warning'],
    [count(({ level }) => level === 'fault'), 'fault'],
  ]
  const named = parts.filter(([number]) => number > 0)
  return named.map(([number, what]) => counted(number, what)).join(', ')
}

/** What has failed, or else what was looked at. */
function checked(checks: readonly ThresholdCheck[]): string {
  const failed = checks.filter(({ verdict }) => verdict === 'failed')
  if (failed.length > 0) return failed.map(checkLine).join('; ')
  const fleet = checks.filter(({ scope }) => scope === 'fleet')
  const samples = Math.max(0, ...fleet.map((check) => check.samples))
  const flips = fleet.find(({ check }) => check === 'decision_flips')
  const share = flips === undefined ? '' : `, ${(flips.value * 100).toFixed(2)} % flipped to deny`
  return `${counted(samples, 'request')} judged${share}`
}

export function checkLine({ check, value, threshold, samples, scope }: ThresholdCheck): string {
  const whose = scope === 'fleet' ? 'the fleet' : `tenant ${JSON.stringify(scope.tenant.name)}`
  return `${check} ${value.toFixed(4)}, at most ${threshold}, in ${counted(samples, 'request')} of ${whose}`
}
