/** `tollgate history`: the audit trail. */

import { historyOf } from '../history.ts'
import type { AuditEntry } from '../rollout-types.ts'
import type { CommandLine } from './command-line.ts'
import { CommandError, Exit, usageError, type ExitCode } from './exit.ts'
import { Observer } from './observer.ts'
import type { Terminal } from './terminal.ts'

const COUNT = 50

export async function history(line: CommandLine, terminal: Terminal): Promise<ExitCode> {
  const { count = String(COUNT) } = line.options
  if (!/^[1-9]\d{0,5}$/.test(count))
    throw usageError(`--count: given ${count}; accepted: a whole number from 1`)
  const observer = await Observer.open(line, terminal.streams.env)
  try {
    const trail = historyOf(await audited(observer, Number(count)))
    terminal.json(trail)
    terminal.table(
      ['NUMBER', 'TIME', 'ROLLOUT', 'EVENT', ''],
      trail.entries.map((entry) => [
        String(entry.number),
        entry.time,
        entry.execution_id,
        entry.event,
        details(entry),
      ]),
    )
    if (!trail.intact)
      terminal.line(terminal.paint('red', `the trail is not as it was written: ${trail.broken}`))
    return trail.intact ? Exit.done : Exit.failed
  } finally {
    await observer.close()
  }
}

async function audited({ deployment }: Observer, count: number): Promise<string> {
  try {
    return await deployment.audit(count)
  } catch (error) {
    throw new CommandError(Exit.refused, error instanceof Error ? error.message : String(error))
  }
}

/** What an entry says besides, in a few words. */
function details({
  number: _number,
  time: _time,
  execution_id: _id,
  event: _event,
  driver: _driver,
  ...rest
}: AuditEntry): string {
  return Object.entries(rest)
    .filter(([, value]) => value !== false)
    .map(([name, value]) => `${name} ${told(name, value)}`)
    .join(', ')
}

function told(name: string, value: unknown): string {
  // An instant, in microseconds.
  if (name === 'on' && typeof value === 'number') return new Date(value / 1_000).toISOString()
  if (typeof value !== 'object' || value === null) return String(value)
  if (Array.isArray(value)) return String(value.length)
  const { number, name: reason, by } = value as { number?: number; name?: string; by?: string }
  if (number !== undefined) return String(number)
  return reason === undefined ? JSON.stringify(value) : `${reason}${by === undefined ? '' : ` by ${by}`}`
}
