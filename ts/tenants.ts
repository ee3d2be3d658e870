/**
 * Loads tenant overrides into a policy draft: checked row by row, handed to the addon in columns, a chunk at a time,
 * so that a million of them never hold the event loop for long.
 */

import { setImmediate as nextTurn } from 'node:timers/promises'
import { MOST_ISSUES, TollgateConfigError, type ConfigIssue } from './errors.ts'
import type { Grant, Grants } from './grant.ts'
import { isDuplicate, translated, type NativeCompiledPolicy, type NativePolicyDraft } from './native.ts'
import { pathOf, printed } from './printed.ts'
import { QuotaReader } from './quota.ts'
import { ACCEPTED_NAME, isTenantName } from './tenant-name.ts'

/** Tenants between two turns of the event loop. */
const CHUNK = 5_000

const PATH = ['policyDefinition', 'tenantOverrides']
const ACCEPTED =
  'a record, a Map or an array of rows { tenant, quota, tier?, burst?, window?, algorithm? }, or a function that gives one'

type Loader = () => unknown

/**
 * Adds every tenant of `source` to `draft`, and compiles it.
 * @throws {@link TollgateConfigError} with every fault found; `TOLLGATE_TENANT_LOADER` if `source` is a function that
 * throws or rejects.
 */
export async function compileTenants(
  draft: NativePolicyDraft,
  source: unknown,
  grants: Grants,
): Promise<NativeCompiledPolicy> {
  const loaded = typeof source === 'function' ? await load(source as Loader) : source
  const rows = Array.isArray(loaded) ? loaded : []
  const issues: ConfigIssue[] = []
  if (loaded !== undefined || source !== undefined) await add(draft, loaded, grants, issues)
  if (issues.length > 0) throw new TollgateConfigError([...issues, ...duplicates(rows)])
  try {
    return await draft.compile()
  } catch (error) {
    // The addon knows that a tenant came twice, not where: the rows are searched only now.
    const found = isDuplicate(error) ? duplicates(rows) : []
    if (found.length > 0) throw new TollgateConfigError(found)
    throw translated(error, pathOf(PATH), 'these tenants')
  }
}

/** What is wrong with tenants, as far as they are there: a function is not called. */
export async function tenantIssues(source: unknown, grants: Grants): Promise<ConfigIssue[]> {
  if (source === undefined || typeof source === 'function') return []
  const issues: ConfigIssue[] = []
  await add({ addTenants: () => undefined }, source, grants, issues)
  return Array.isArray(source) ? [...issues, ...duplicates(source)] : issues
}

/** What takes tenants. */
type Taker = Pick<NativePolicyDraft, 'addTenants'>

function add(draft: Taker, loaded: unknown, grants: Grants, issues: ConfigIssue[]): Promise<void> {
  if (Array.isArray(loaded)) return addRows(draft, loaded, grants, issues)
  if (loaded instanceof Map) return addEntries(draft, loaded.entries(), loaded.size, grants, issues)
  if (isRecord(loaded)) return addEntries(draft, ownEntries(loaded), Infinity, grants, issues)
  issues.push({ path: pathOf(PATH), given: printed(loaded), accepted: ACCEPTED })
  return Promise.resolve()
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
  private readonly kinds = new Float64Array(CHUNK)

  add(name: string, grant: Grant): void {
    const row = this.names.push(name) - 1
    this.quotas[row] = grant.quota
    this.bursts[row] = grant.burst
    this.windows[row] = grant.windowMs
    this.kinds[row] = grant.kind
  }

  /** Hands them over, and is empty again. */
  flush(draft: Taker): void {
    const end = this.names.length
    const column = (values: Float64Array): Float64Array => values.subarray(0, end)
    try {
      draft.addTenants(
        this.names,
        column(this.quotas),
        column(this.bursts),
        column(this.windows),
        column(this.kinds),
      )
    } catch (error) {
      throw translated(error, pathOf(PATH), 'these tenants')
    }
    this.names.length = 0
  }
}

async function addEntries(
  draft: Taker,
  entries: Iterable<[unknown, unknown]>,
  size: number,
  grants: Grants,
  issues: ConfigIssue[],
): Promise<void> {
  const reader = new QuotaReader(grants, (issue) => issues.push(issue))
  const columns = new Columns()
  const grant = { ...grants.default }
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
      columns.flush(draft)
      await nextTurn()
      // A Map that grows as fast as it is read would never end.
      if (read > size + CHUNK) break
    }
  }
  columns.flush(draft)
}

async function addRows(
  draft: Taker,
  rows: readonly unknown[],
  grants: Grants,
  issues: ConfigIssue[],
): Promise<void> {
  const reader = new QuotaReader(grants, (issue) => issues.push(issue))
  const columns = new Columns()
  const grant = { ...grants.default }
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
      columns.flush(draft)
      await nextTurn()
    }
  }
  columns.flush(draft)
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
