/**
 * Loads tenant overrides into a policy draft: checked row by row, handed to the addon in columns, a chunk at a time,
 * so that a million of them never hold the event loop for long.
 */

import { setImmediate as nextTurn } from 'node:timers/promises'
import { TollgateConfigError, type ConfigIssue } from './errors.ts'
import { translated, type NativePolicyDraft } from './native.ts'
import { pathOf, printed } from './printed.ts'
import { QuotaReader, type Grant } from './quota.ts'
import { ACCEPTED_NAME, isTenantName } from './tenant-name.ts'

/** Tenants between two turns of the event loop. */
const CHUNK = 5_000
/** Faults that are kept. A table with the wrong column has one in each of a million rows. */
const MOST_ISSUES = 1_000

const PATH = ['policyDefinition', 'tenantOverrides']
const ACCEPTED =
  'a record, a Map or an array of rows { tenant, quota, burst?, window? }, or a function that gives one'

type Loader = () => unknown

/**
 * Adds every tenant of `source` to `draft`.
 * @throws {@link TollgateConfigError} with every fault found; `TOLLGATE_TENANT_LOADER` if `source` is a function that
 * throws or rejects.
 */
export async function addTenants(draft: NativePolicyDraft, source: unknown, defaults: Grant): Promise<void> {
  const loaded = typeof source === 'function' ? await load(source as Loader) : source
  if (loaded === undefined && source === undefined) return
  const issues: ConfigIssue[] = []
  if (Array.isArray(loaded)) {
    await addRows(draft, loaded, defaults, issues)
  } else if (loaded instanceof Map) {
    await addEntries(draft, loaded.entries(), loaded.size, defaults, issues)
  } else if (isRecord(loaded)) {
    await addEntries(draft, ownEntries(loaded), Infinity, defaults, issues)
  } else {
    issues.push({ path: pathOf(PATH), given: printed(loaded), accepted: ACCEPTED })
  }
  if (issues.length > 0) throw new TollgateConfigError(issues)
}

async function load(loader: Loader): Promise<unknown> {
  try {
    return await loader()
  } catch (cause) {
    const hint = `the loader threw ${cause instanceof Error ? printed(cause.message) : printed(cause)}`
    const issue = { path: pathOf(PATH), given: 'a function', accepted: ACCEPTED, hint }
    throw new TollgateConfigError([issue], 'TOLLGATE_TENANT_LOADER', { cause })
  }
}

/** A plain object, of this realm or another, or one without a prototype. */
function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function* ownEntries(record: Record<string, unknown>): Generator<[string, unknown]> {
  for (const name of Object.keys(record)) yield [name, record[name]]
}

/** Tenants on their way into the draft. */
class Columns {
  private readonly names: string[] = []
  private readonly quotas = new Float64Array(CHUNK)
  private readonly bursts = new Float64Array(CHUNK)
  private readonly windows = new Float64Array(CHUNK)

  add(name: string, grant: Grant): void {
    const row = this.names.push(name) - 1
    this.quotas[row] = grant.quota
    this.bursts[row] = grant.burst
    this.windows[row] = grant.windowMs
  }

  flush(draft: NativePolicyDraft): void {
    const end = this.names.length
    draft.addTenants(
      this.names,
      this.quotas.subarray(0, end),
      this.bursts.subarray(0, end),
      this.windows.subarray(0, end),
    )
    this.names.length = 0
  }
}

async function addEntries(
  draft: NativePolicyDraft,
  entries: Iterable<[unknown, unknown]>,
  size: number,
  defaults: Grant,
  issues: ConfigIssue[],
): Promise<void> {
  const reader = new QuotaReader(defaults, (issue) => issues.push(issue))
  const columns = new Columns()
  const grant = { ...defaults }
  let read = 0
  for (const [name, value] of entries) {
    const sound = reader.read(value, grant, () => [...PATH, String(name)], false)
    if (typeof name !== 'string' || !isTenantName(name)) {
      issues.push({
        path: pathOf(PATH),
        given: printed(name),
        accepted: ACCEPTED_NAME,
        hint: 'not a tenant name',
      })
    } else if (sound) {
      columns.add(name, grant)
    }
    if (issues.length >= MOST_ISSUES) return
    read += 1
    if (read % CHUNK === 0) {
      flush(draft, columns)
      await nextTurn()
      // A Map that grows as fast as it is read would never end.
      if (read > size + CHUNK) break
    }
  }
  flush(draft, columns)
}

async function addRows(
  draft: NativePolicyDraft,
  rows: readonly unknown[],
  defaults: Grant,
  issues: ConfigIssue[],
): Promise<void> {
  const reader = new QuotaReader(defaults, (issue) => issues.push(issue))
  const columns = new Columns()
  const grant = { ...defaults }
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index]
    const sound = reader.read(row, grant, () => [...PATH, index], true)
    if (typeof row === 'object' && row !== null && !Array.isArray(row)) {
      const { tenant } = row as { tenant?: unknown }
      if (typeof tenant !== 'string' || !isTenantName(tenant)) {
        issues.push({
          path: pathOf([...PATH, index, 'tenant']),
          given: printed(tenant),
          accepted: ACCEPTED_NAME,
        })
      } else if (sound) {
        columns.add(tenant, grant)
      }
    }
    if (issues.length >= MOST_ISSUES) break
    if (index % CHUNK === CHUNK - 1) {
      if (!flush(draft, columns, rows, issues)) return
      await nextTurn()
    }
  }
  if (flush(draft, columns, rows, issues) && issues.length > 0) issues.push(...duplicates(rows))
}

/** Hands the columns over; false if they hold a tenant for the second time, which is then among the issues. */
function flush(
  draft: NativePolicyDraft,
  columns: Columns,
  rows: readonly unknown[] = [],
  issues: ConfigIssue[] = [],
): boolean {
  try {
    columns.flush(draft)
    return true
  } catch (error) {
    // The addon knows that a tenant came twice, not where: the rows are searched only now.
    const found = duplicates(rows)
    if (found.length === 0) throw translated(error, pathOf(PATH), 'these tenants')
    issues.push(...found)
    return false
  }
}

function duplicates(rows: readonly unknown[]): ConfigIssue[] {
  const first = new Map<string, number>()
  const issues: ConfigIssue[] = []
  for (const [index, row] of rows.entries()) {
    const tenant = (row as { tenant?: unknown } | null)?.tenant
    if (typeof tenant !== 'string') continue
    const earlier = first.get(tenant)
    if (earlier === undefined) {
      first.set(tenant, index)
    } else if (issues.length < MOST_ISSUES) {
      issues.push({
        path: pathOf([...PATH, index, 'tenant']),
        given: printed(tenant),
        accepted: 'one row a tenant',
        hint: `rows ${earlier} and ${index} name the same tenant`,
      })
    }
  }
  return issues
}
