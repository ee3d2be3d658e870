/** What a fleet goes by: the options about backends with nothing left out. */

import { hostname } from 'node:os'
import type * as v from 'valibot'
import type { ConfigIssue } from './errors.ts'
import { packageVersion } from './package-version.ts'
import { printed } from './printed.ts'
import { rolloutSettings, type RolloutSettings } from './rollout-settings.ts'
import type { optionsSchema } from './schema/options.ts'
import { isObject } from './schema/value.ts'

type Checked = Omit<v.InferOutput<typeof optionsSchema>, 'policyDefinition'>

/** A fleet that shares its buckets over backends. Times are in milliseconds. */
export interface FleetSettings {
  backends: readonly string[]
  syncIntervalMs: number
  maxWaitMs: number
  leaseTtlMs: number
  /** Tokens that may be spent ahead of the first lease; 0 to wait for it. */
  credit: number
  onBackendFailure: 'local' | 'allow' | 'deny'
  timeoutMs: number
  /** How this instance proposes the policy that it starts with. */
  rollout: RolloutSettings
}

/** What says nothing without backends. */
const ABOUT_BACKENDS = [
  'syncInterval',
  'maxWait',
  'leaseTtl',
  'coldStart',
  'credit',
  'onBackendFailure',
  'backendTimeout',
] as const satisfies (keyof Checked)[]

/** A lease that lives less than so many intervals would end before its renewal has had a second chance. */
const INTERVALS_A_LEASE = 4

const DEFAULT_SYNC_MS = 100
const SHORTEST_DEFAULT_LEASE_MS = 2_000

/** Undefined without backends: the process is by itself. */
export function fleetSettings(options: Checked): FleetSettings | undefined {
  if (options.backends.length === 0) return undefined
  const { syncInterval = DEFAULT_SYNC_MS, coldStart = 'wait', credit = 1 } = options
  return {
    backends: options.backends,
    syncIntervalMs: syncInterval,
    maxWaitMs: options.maxWait ?? 50,
    leaseTtlMs: options.leaseTtl ?? Math.max(SHORTEST_DEFAULT_LEASE_MS, INTERVALS_A_LEASE * syncInterval),
    credit: coldStart === 'credit' ? credit : 0,
    onBackendFailure: options.onBackendFailure ?? 'local',
    timeoutMs: options.backendTimeout ?? 500,
    rollout: rolloutSettings(options),
  }
}

/** Options that do not go together. `given` is what the service gave, which has the right shape. */
export function fleetIssues(given: unknown, options: Checked): ConfigIssue[] {
  const raw = isObject(given) ? given : {}
  // An empty list says that there are to be none, as where a service runs by itself while it is being written.
  if (raw['backends'] === undefined) {
    return ABOUT_BACKENDS.filter((name) => raw[name] !== undefined).map((name) => ({
      path: name,
      given: printed(raw[name]),
      accepted: 'with backends, or left out',
      hint: `${name} says nothing without backends`,
    }))
  }
  const issues: ConfigIssue[] = []
  const { credit, coldStart, leaseTtl, syncInterval = DEFAULT_SYNC_MS } = options
  if (credit !== undefined && coldStart !== 'credit') {
    issues.push({ path: 'credit', given: printed(credit), accepted: "with coldStart: 'credit', or left out" })
  }
  if (leaseTtl !== undefined && leaseTtl < INTERVALS_A_LEASE * syncInterval) {
    const accepted = `at least four times syncInterval, which is ${syncInterval} ms`
    issues.push({ path: 'leaseTtl', given: printed(raw['leaseTtl']), accepted })
  }
  if (options.backends.length > 0 && options.clock !== undefined) {
    const accepted = "without backends, whose leases end by the system's clock"
    issues.push({ path: 'clock', given: printed(raw['clock']), accepted })
  }
  return issues
}

/** As the addon reads them: how long requests wait is no concern of its. */
export function settingsJson(settings: FleetSettings): string {
  return JSON.stringify({ ...settings, maxWaitMs: undefined, process: thisProcess() })
}

/** What the fleet is told of this process, as the addon reads it. */
export function thisProcess(): Record<string, string> {
  return {
    host: hostname(),
    pid: String(process.pid),
    node_version: process.versions.node,
    package_version: packageVersion(),
  }
}

/** What the addon finds wrong with a backend, or with a policy that a fleet cannot share; undefined if it is something else. */
export function fleetIssue(error: unknown, { backends }: FleetSettings): ConfigIssue | undefined {
  const text = String((error as { message?: unknown }).message)
  const [, path, index, accepted] = /^(backends\[(\d+)\]|policyDefinition): ([^]*)$/.exec(text) ?? []
  if (path === undefined || accepted === undefined) return undefined
  if (index === undefined) {
    return { path, given: 'this policy', accepted: 'a policy that a fleet can share', hint: accepted }
  }
  return { path, given: printed(withoutPassword(backends[Number(index)] ?? '')), accepted }
}

/** A backend as it may be shown: whoever reads a log is not to learn its password. */
export function withoutPassword(backend: string): string {
  // Up to the last @, however a password is written.
  return backend.replace(/^([^:/?#]*:\/\/)?([^:@/]*):[^]*@/, '$1$2:***@')
}
