/** `tollgate rollback [REVISION]`. */

import { RunningRollout } from '../rollout.ts'
import { proposalSettings } from '../rollout-settings.ts'
import { concluded } from '../rollouts.ts'
import { instanceFindings } from '../topology.ts'
import type { CommandLine } from './command-line.ts'
import { Exit, usageError, type ExitCode } from './exit.ts'
import { agreed, follow, person } from './following.ts'
import { Observer } from './observer.ts'
import type { Terminal } from './terminal.ts'

export async function rollback(line: CommandLine, terminal: Terminal): Promise<ExitCode> {
  const to = revisionOf(line.operands[0])
  const settings = proposalSettings({ proposer: person() }, {})
  const observer = await Observer.open(line, terminal.streams.env)
  try {
    const rollout = observer.state().record?.rollout ?? null
    const cancels = rollout !== null && (to === -1 || to === rollout.from.number)
    if (line.options.yes !== true && !(await agreed(terminal, question(to, cancels)))) return Exit.refused
    const { deployment } = observer
    const running = new RunningRollout(deployment, async (started) => {
      await started.stage('topology_scan', async () => ({ findings: instanceFindings(observer.state()) }))
      for (const stage of ['policy_compilation', 'redis_topology_validation'] as const) {
        started.set(stage, { status: 'skipped' })
      }
      await started.proposed(() => deployment.rollBack(to, JSON.stringify(settings)), settings.proposer)
      return concluded(started)
    })
    const exit = await follow(running, observer, terminal)
    // What was to be cancelled is rolled back: that is done.
    return cancels && exit === Exit.failed ? Exit.done : exit
  } finally {
    await observer.close()
  }
}

function question(to: number, cancels: boolean): string {
  if (cancels) return 'Cancel the rollout that is under way?'
  return to === -1 ? 'Go back to the last good revision?' : `Go back to revision ${to}?`
}

/** -1 for the last good one. */
function revisionOf(operand: string | undefined): number {
  if (operand === undefined) return -1
  if (/^[1-9]\d{0,14}$/.test(operand)) return Number(operand)
  throw usageError(`REVISION: given ${operand}; accepted: the number of a revision, from 1`)
}
