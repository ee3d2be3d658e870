/** `tollgate doctor`: what is wrong with a fleet, its backends and an Express app. */

import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inspectApp } from '../app-inspection.ts'
import { fleetStatus } from '../fleet-state.ts'
import { historyOf } from '../history.ts'
import type { TopologyFinding } from '../rollout-types.ts'
import { backendFindings, instanceFindings, type Inspected } from '../topology.ts'
import { isObject } from '../schema/value.ts'
import type { CommandLine } from './command-line.ts'
import { Exit, usageError, type ExitCode } from './exit.ts'
import { Observer } from './observer.ts'
import type { Terminal } from './terminal.ts'

/** So many entries of the audit trail are verified. */
const ENTRIES = 1_000
const ORDER = ['fault', 'warning', 'info']

export async function doctor(line: CommandLine, terminal: Terminal): Promise<ExitCode> {
  const { app } = line.options
  const hasFleet = Observer.backends(line, terminal.streams.env).length > 0
  if (!hasFleet && app === undefined)
    throw usageError('say what to look at: --backend URL, TOLLGATE_BACKENDS or --app MODULE')
  const findings: TopologyFinding[] = [
    ...(app === undefined ? [] : await appFindings(app)),
    ...(hasFleet ? await fleetFindings(line, terminal) : []),
  ].toSorted((one, other) => ORDER.indexOf(one.level) - ORDER.indexOf(other.level))
  const faults = findings.filter(({ level }) => level === 'fault').length
  terminal.json({ findings, faults })
  for (const finding of findings) terminal.finding(finding)
  terminal.line(faults === 0 ? '\nno faults' : `\n${faults === 1 ? '1 fault' : `${faults} faults`}`)
  return faults === 0 ? Exit.done : Exit.failed
}

async function fleetFindings(line: CommandLine, terminal: Terminal): Promise<TopologyFinding[]> {
  const observer = await Observer.open(line, terminal.streams.env)
  try {
    const state = observer.state()
    const { instances } = fleetStatus(state)
    const findings = [
      ...instanceFindings(state),
      ...backendFindings(JSON.parse(await observer.deployment.inspect()) as Inspected[]),
    ]
    if (!instances.some(({ role }) => role === 'instance')) {
      findings.push({
        kind: 'instance',
        level: 'warning',
        text: `no instance of namespace ${observer.namespace} lives`,
      })
    }
    for (const { host, pid, refuses } of instances) {
      if (refuses === null) continue
      findings.push({
        kind: 'instance',
        level: 'fault',
        text: `${host}, process ${pid}: it refuses an image: ${refuses}`,
      })
    }
    const { entries, intact, broken } = historyOf(await observer.deployment.audit(ENTRIES))
    const text = intact
      ? `the last ${entries.length} entries of the audit trail are as they were written`
      : `the audit trail is not as it was written: ${broken}`
    findings.push({ kind: 'backend', level: intact ? 'info' : 'fault', text })
    return findings
  } finally {
    await observer.close()
  }
}

async function appFindings(file: string): Promise<TopologyFinding[]> {
  let module: Record<string, unknown>
  try {
    module = (await import(pathToFileURL(resolve(file)).href)) as Record<string, unknown>
  } catch (error) {
    throw usageError(`${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
  const inner = isObject(module['default']) ? module['default'] : {}
  const app = [module['app'], module['default'], inner['app'], inner['default']].find(
    (value) => typeof value === 'function',
  )
  if (app === undefined) throw usageError(`${file}: it exports no Express app, as app or as its default`)
  return inspectApp(app)
}
