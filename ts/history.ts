/** The audit trail, as it is shown. */

import { timestamp } from './rollout.ts'
import type { AuditEntry, History } from './rollout-types.ts'

interface TrailJson {
  entries: { number: number; at: number; execution_id: string; event: string; [detail: string]: unknown }[]
  intact: boolean
  broken?: string
}

/** From the JSON of the addon, whose times are in microseconds. */
export function historyOf(json: string): History {
  const { entries, ...trail } = JSON.parse(json) as TrailJson
  const shown = entries.map(({ at, ...entry }): AuditEntry => ({
    ...entry,
    time: timestamp(new Date(at / 1_000)),
  }))
  return { entries: shown, ...trail }
}
