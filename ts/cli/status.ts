/** `tollgate status`: what a fleet has agreed on, and who is there. */

import { fleetStatus, rolloutStatus } from '../fleet-state.ts'
import type { CommandLine } from './command-line.ts'
import { Exit, type ExitCode } from './exit.ts'
import { Observer } from './observer.ts'
import { checkLine } from './progress.ts'
import type { Terminal } from './terminal.ts'

export async function status(line: CommandLine, terminal: Terminal): Promise<ExitCode> {
  const observer = await Observer.open(line, terminal.streams.env)
  try {
    const state = observer.state()
    const fleet = fleetStatus(state)
    const rollout = rolloutStatus(state)
    const { namespace, backends } = observer
    terminal.json({ namespace, backends, fleet, rollout })
    const { revision, earlier, instances } = fleet
    terminal.line(`namespace  ${namespace} on ${backends.join(', ')}`)
    terminal.line(
      `active     ${revision === null ? 'nothing yet' : `revision ${revision.number}, ${revision.hash.slice(0, 12)}`}`,
    )
    if (earlier.length > 0) {
      terminal.line(terminal.fit(`earlier    ${earlier.map(({ number }) => number).join(', ')}`))
    }
    if (rollout !== null) {
      const { id, candidate, phase, step, proposer } = rollout
      terminal.line(`rollout    ${id} to revision ${candidate.number}, by ${proposer}`)
      terminal.line(`           ${phase}, step ${step.number} of ${step.of}`)
      for (const stage of rollout.log?.stages ?? []) {
        if (stage.stage !== 'traffic_validation') continue
        for (const check of stage.threshold_checks)
          terminal.line(terminal.fit(`           ${checkLine(check)}`))
      }
    }
    terminal.line()
    terminal.table(
      ['HOST', 'PROCESS', 'ROLE', 'NODE', 'TOLLGATE', 'REVISION'],
      instances.map(({ host, pid, role, nodeVersion, packageVersion, revision: number, refuses }) => [
        host,
        pid,
        role,
        nodeVersion,
        packageVersion,
        refuses === null ? String(number ?? '-') : `${number ?? '-'}, and refuses: ${refuses}`,
      ]),
    )
    return Exit.done
  } finally {
    await observer.close()
  }
}
