/** `tollgate plan POLICY`: what applying it would do. Nothing is changed. */

import { specDiff, tenantDiff } from '../policy-diff.ts'
import { compilationOutput } from '../policy-stage.ts'
import { refusedBy } from '../native.ts'
import type { FleetState } from '../fleet-state.ts'
import { backendFindings, counted, instanceFindings, type Inspected } from '../topology.ts'
import type { CommandLine } from './command-line.ts'
import { Exit, type ExitCode } from './exit.ts'
import { Observer } from './observer.ts'
import { readPolicy, type ReadPolicy } from './policy-file.ts'
import type { Terminal } from './terminal.ts'

/** What would come of it, and how the command ends. */
interface Verdict {
  exit: ExitCode
  text: string
}

export async function plan(line: CommandLine, terminal: Terminal): Promise<ExitCode> {
  const { against, force = false } = line.options
  const unknownTenant = line.options['unknown-tenant']
  const read = await readPolicy(line.operands[0], unknownTenant)
  const diff = against === undefined ? null : difference(await readPolicy(against, unknownTenant), read)
  const compilation = compilationOutput(read.policy, diff)
  const { image_bytes: bytes, tenants, rules, limits, hash, optimizations } = compilation
  terminal.line(`policy  ${hash}`)
  const parts = [
    counted(bytes, 'byte'),
    counted(tenants, 'tenant'),
    counted(rules, 'rule'),
    counted(limits, 'limit'),
  ]
  terminal.line(`        ${parts.join(', ')}`)
  for (const text of optimizations) terminal.line(terminal.fit(`        ${text}`))
  if (diff !== null) {
    terminal.line(diff.length === 0 ? `changes none from ${against}` : `changes from ${against}`)
    for (const text of diff) terminal.line(terminal.fit(`  ${text}`))
  }
  if (Observer.backends(line, terminal.streams.env).length === 0) {
    terminal.json({ compilation, fleet: null })
    return Exit.done
  }
  const observer = await Observer.open(line, terminal.streams.env)
  try {
    const state = observer.state()
    const findings = [
      ...instanceFindings(state),
      ...backendFindings(JSON.parse(await inspected(observer)) as Inspected[]),
    ]
    const verdict = judge(
      state,
      read.policy.hash,
      findings.some(({ level }) => level === 'fault'),
      force,
    )
    terminal.json({
      compilation,
      fleet: { revision: state.record?.active ?? null, findings },
      verdict: verdict.text,
      exit: verdict.exit,
    })
    terminal.line('fleet')
    for (const finding of findings) terminal.finding(finding)
    terminal.line(`\n${verdict.text}`)
    return verdict.exit
  } finally {
    await observer.close()
  }
}

async function inspected({ deployment }: Observer): Promise<string> {
  try {
    return await deployment.inspect()
  } catch (error) {
    throw refusedBy(error, null)
  }
}

function difference(before: ReadPolicy, after: ReadPolicy): string[] {
  const tenants = tenantDiff(before.settings, after.settings)
  return [
    ...specDiff(before.settings.policy, after.settings.policy),
    ...(tenants ?? ['tenants are not compared: they are loaded, or too many']),
  ]
}

function judge(
  { record, reports }: FleetState,
  hash: string,
  hasFaults: boolean,
  isForced: boolean,
): Verdict {
  const instances = reports.filter(({ role }) => role === 'instance').length
  if (record?.active.hash === hash) {
    return {
      exit: Exit.done,
      text: `nothing to do: this is revision ${record.active.number}, which is active`,
    }
  }
  if (record?.rollout) {
    return { exit: Exit.refused, text: `refused: the rollout ${record.rollout.execution_id} is under way` }
  }
  if (record?.refused.some((refusal) => refusal.hash === hash) === true && !isForced) {
    return { exit: Exit.refused, text: 'refused: this policy was rolled back before; change it, or force it' }
  }
  if (instances === 0) return { exit: Exit.refused, text: 'refused: no instance of the fleet lives' }
  if (hasFaults && !isForced)
    return { exit: Exit.failed, text: 'refused: the backends have faults; mend them, or force it' }
  const from = record === null ? 'none' : String(record.active.number)
  return {
    exit: Exit.done,
    text: `a rollout would bring it to ${counted(instances, 'instance')}; active is revision ${from}`,
  }
}
