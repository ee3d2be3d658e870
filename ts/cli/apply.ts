/** `tollgate apply POLICY`: a rollout, as a limiter's applyPolicy makes it. */

import { compilationOutput } from '../policy-stage.ts'
import { RunningRollout } from '../rollout.ts'
import { proposalSettings, type ProposalSettings } from '../rollout-settings.ts'
import type { RolloutResult } from '../rollout-types.ts'
import { concluded, judged, refuseFaults } from '../rollouts.ts'
import { backendFindings, counted, instanceFindings, type Inspected } from '../topology.ts'
import type { CommandLine } from './command-line.ts'
import { Exit, type ExitCode } from './exit.ts'
import { agreed, follow, person } from './following.ts'
import { Observer } from './observer.ts'
import { readPolicy, type ReadPolicy } from './policy-file.ts'
import type { Terminal } from './terminal.ts'

export async function apply(line: CommandLine, terminal: Terminal): Promise<ExitCode> {
  const settings = settingsOf(line)
  const read = await readPolicy(line.operands[0], line.options['unknown-tenant'])
  const observer = await Observer.open(line, terminal.streams.env)
  try {
    const { record, reports } = observer.state()
    const instances = reports.filter(({ role }) => role === 'instance').length
    const active = record === null ? 'no revision yet' : `revision ${record.active.number}`
    terminal.line(
      `${line.operands[0]} to ${counted(instances, 'instance')} of ${observer.namespace}, which is at ${active}`,
    )
    if (line.options.yes !== true && !(await agreed(terminal, 'Apply it?'))) return Exit.refused
    const rollout = new RunningRollout(observer.deployment, (running) =>
      conduct(running, observer, read, settings),
    )
    if (line.options.confirm === true)
      confirmed(rollout).catch((error: unknown) => unconfirmed(rollout, error, terminal))
    return await follow(rollout, observer, terminal)
  } finally {
    await observer.close()
  }
}

async function conduct(
  rollout: RunningRollout,
  observer: Observer,
  { policy }: ReadPolicy,
  settings: ProposalSettings,
): Promise<RolloutResult> {
  const { deployment } = observer
  await rollout.stage('topology_scan', async () => ({ findings: instanceFindings(observer.state()) }))
  await rollout.stage('policy_compilation', async () => ({ output: compilationOutput(policy, null) }))
  const { findings } = await rollout.stage('redis_topology_validation', async () =>
    judged(backendFindings(JSON.parse(await deployment.inspect()) as Inspected[])),
  )
  refuseFaults(rollout, findings, settings.forced)
  await rollout.proposed(() => deployment.propose(policy, JSON.stringify(settings)), settings.proposer)
  return concluded(rollout)
}

/** Of a rollout that has not begun, its own error says why. */
function unconfirmed({ id }: RunningRollout, error: unknown, terminal: Terminal): void {
  if (id !== null) terminal.error(error instanceof Error ? error.message : String(error))
}

/** Says yes as soon as live traffic is looked at. */
async function confirmed(rollout: RunningRollout): Promise<void> {
  for await (const event of rollout) {
    if (event.kind !== 'stage' || event.stage.stage !== 'traffic_validation') continue
    if (event.stage.status === 'running') return rollout.confirm()
  }
}

/** @throws {@link TollgateConfigError} with every option at fault. */
function settingsOf({ options }: CommandLine): ProposalSettings {
  const given = {
    strategy: options.strategy,
    steps: options.steps === undefined ? undefined : options.steps.split(',').map(Number),
    observationWindow: options.window,
    deadline: options.deadline,
    minSamples: options['min-samples'] === undefined ? undefined : Number(options['min-samples']),
  }
  const threshold = options.threshold === undefined ? undefined : Number(options.threshold)
  return proposalSettings(
    { rollout: given, rollbackThreshold: threshold, force: options.force === true, proposer: person() },
    {},
  )
}
