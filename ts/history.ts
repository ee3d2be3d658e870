/** The audit trail, as it is shown. */

import { timestamp } from './rollout.ts'
import type { AuditEntry, History } from './rollout-types.ts'

interface TrailJson {
  /** Times are in microseconds; what an entry says may be of a later version, and not understood. */
  entries: { number: number; at: number; said: { execution_id: string; event: string; at: number } | null }[]
  intact: boolean
  broken: string | null
}

/** From the JSON of the addon. */
export function historyOf(json: string): History {
  const { entries, intact, broken } = JSON.parse(json) as TrailJson
  return { entries: entries.map(shown), intact, ...(broken === null ? {} : { broken }) }
}

function shown({ number, at, said }: TrailJson['entries'][number]): AuditEntry {
  const { at: _at, ...told } = said ?? { execution_id: '', event: 'unknown', at }
  return { number, time: timestamp(new Date(at / 1_000)), ...told }
}
