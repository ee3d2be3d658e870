/** What a rollout finds before it begins: who is there, and whether the backends are fit for it. */

import cluster from 'node:cluster'
import { isMainThread, threadId } from 'node:worker_threads'
import type { FleetState } from './fleet-state.ts'
import type { BackendStatus } from './limiter-types.ts'
import type { TopologyFinding } from './rollout-types.ts'

/** A backend that was looked over, as the addon tells it in JSON; one that cannot be reached has an error. */
export interface Inspected {
  url: string
  error?: string
  inspection?: Inspection
}

export interface Inspection {
  kind: string
  nodes: InspectedNode[]
  slots: { covered: number; masters: number; imbalance: number | null } | null
  findings: { level: TopologyFinding['level']; node: string | null; text: string }[]
}

export interface InspectedNode {
  address: string
  reachable: boolean
  role: string | null
  version: string | null
  round_trip_ms: number | null
  clock_ahead_ms: number | null
  used_memory: number | null
  max_memory: number | null
  eviction_policy: string | null
  keys: number | null
  replicas: { address: string; state: string; lag_bytes: number | null; lag_seconds: number | null }[]
}

/** The instances of a fleet; a process by itself is told of by {@link workerFindings}. */
export function instanceFindings({ reports, record }: FleetState): TopologyFinding[] {
  const deciding = reports.filter(({ host, role }) => host !== '' && role === 'instance')
  const named = deciding.toSorted((one, other) => Number(one.pid) - Number(other.pid))
  const findings = named.map((report): TopologyFinding => {
    const { host, pid, node_version, package_version, role, enforces } = report
    const revision = enforces?.number ?? null
    const at = revision === null ? 'not in service' : `at revision ${revision}`
    const text = `${host}, process ${pid}: Node ${node_version}, tollgate ${package_version}, ${at}`
    return { kind: 'instance', level: 'info', text, host, pid, node_version, package_version, role, revision }
  })
  const versions = new Set(named.map((report) => report.package_version))
  if (versions.size > 1) {
    const text = `instances run several versions of tollgate: ${[...versions].toSorted().join(', ')}`
    findings.push({ kind: 'instance', level: 'warning', text })
  }
  const astray = reports.filter(
    ({ enforces }) => enforces !== null && record !== null && enforces.number !== record.active.number,
  )
  if (astray.length > 0 && record !== null) {
    const text = `${counted(astray.length, 'instance')} not at revision ${record.active.number}, which is active`
    findings.push({ kind: 'instance', level: 'warning', text })
  }
  return findings
}

/** What this process knows of cluster workers and worker threads. */
export function workerFindings(): TopologyFinding[] {
  const findings: TopologyFinding[] = []
  const add = (text: string, details: object): void => {
    findings.push({ kind: 'workers', level: 'info', text, ...details })
  }
  if (cluster.isWorker)
    add(`this process is cluster worker ${cluster.worker?.id}`, { worker: cluster.worker?.id })
  const workers = Object.keys(cluster.workers ?? {}).length
  if (workers > 0) add(`this process is the primary of ${counted(workers, 'cluster worker')}`, { workers })
  if (!isMainThread) add(`the rollout was asked for in worker thread ${threadId}`, { thread: threadId })
  return findings
}

/** The nodes of the backends, as the limiter knows them. */
export function nodeFindings(backends: readonly BackendStatus[]): TopologyFinding[] {
  return backends.flatMap(({ url, kind, state, nodes }): TopologyFinding[] =>
    nodes.length === 0
      ? [{ kind: 'redis_node', level: 'warning', text: `${url}: ${state}, and nothing is known of it`, url }]
      : nodes.map(({ address, role }) => {
          const text = `${address}: ${role} of ${url} (${kind}, ${state})`
          return { kind: 'redis_node', level: 'info', text, url, address, role }
        }),
  )
}

/** Whether the backends are fit for a rollout. */
export function backendFindings(inspected: readonly Inspected[]): TopologyFinding[] {
  return inspected.flatMap(({ url, error, inspection }): TopologyFinding[] => {
    if (inspection === undefined) {
      return [{ kind: 'backend', level: 'fault', text: `${url}: ${error ?? 'nothing is known of it'}`, url }]
    }
    const findings = inspection.findings.map(({ level, node, text }): TopologyFinding => ({
      kind: 'backend',
      level,
      text: `${node ?? url}: ${text}`,
      url,
    }))
    return [...findings, ...seenNodes(inspection, url)]
  })
}

function seenNodes({ kind, nodes, slots }: Inspection, url: string): TopologyFinding[] {
  const findings = nodes.map((node): TopologyFinding => {
    const { address, reachable, role, version, round_trip_ms, clock_ahead_ms, eviction_policy, keys } = node
    const lag_ms = node.replicas.map(({ lag_seconds }) => (lag_seconds ?? 0) * 1_000)
    const lag = lag_ms.length === 0 ? {} : { replication_lag_ms: Math.max(...lag_ms) }
    const facts = [
      role,
      version === null ? undefined : `Redis ${version}`,
      round_trip_ms === null ? undefined : `${round_trip_ms.toFixed(2)} ms`,
      keys === null ? undefined : counted(keys, 'key'),
      eviction_policy,
    ]
    const text = reachable ? `${address}: ${facts.filter(Boolean).join(', ')}` : `${address}: does not answer`
    const details = { address, role, version, round_trip_ms, clock_ahead_ms, eviction_policy, keys, ...lag }
    return { kind: 'redis_node', level: 'info', text, url, ...details }
  })
  if (slots !== null) {
    const balance =
      slots.imbalance === null ? '' : `, the fullest with ${slots.imbalance.toFixed(2)} times the average`
    const text = `${url}: ${slots.covered} of 16384 slots on ${counted(slots.masters, 'master')}${balance}`
    findings.push({ kind: 'backend', level: 'info', text, url, topology: kind, ...slots })
  }
  return findings
}

/** `1 key`, `2 keys`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}
