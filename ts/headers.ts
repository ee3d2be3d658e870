/** Response headers that tell a client its quota, in the versions that are in use. */

import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Limits } from './gate.ts'
import { LimitsRecord, QUOTA } from './ledger.ts'
import { Applied } from './native.ts'
import type { Decision, HeaderVersion } from './types.ts'

/**
 * Writes the headers of a decision, and of the limits that it came from. `key` is what it was charged to. `more`: the same
 * limiter has written others to this response before, of limits that apply as well.
 */
export type HeaderWriter = (
  res: ServerResponse,
  decision: Decision,
  limits: Limits,
  key: string,
  more: boolean,
) => void

/** A writer for several versions; none if there is nothing to write. */
export function headerWriter(versions: readonly HeaderVersion[]): HeaderWriter | undefined {
  const writers: HeaderWriter[] = []
  // The same two fields: draft-8 says all that draft-11 does.
  if (versions.includes('draft-8')) writers.push(writeDraft8())
  else if (versions.includes('draft-11')) writers.push(writeDraft11())
  if (versions.includes('legacy')) writers.push(writeLegacy)
  const [first, second] = writers
  if (first === undefined || second === undefined) return first
  return (res, decision, limits, key, more) => {
    first(res, decision, limits, key, more)
    second(res, decision, limits, key, more)
  }
}

/** What RateLimit-Policy says of a limit, once for all decisions. */
interface PolicyField {
  value: string
  rule: string
  quota: number
  windowMs: number
}

/** Different limits whose fields are remembered. */
const LIMITS = 10_000

/** RateLimit-Policy of a limit; null for no limit, of which there is nothing to say. */
type PolicyFields = (rule: string, quota: number, windowMs: number) => PolicyField | null

function policyFields(): PolicyFields {
  const byQuota = new Map<number, PolicyField[]>()
  let count = 0
  // Most requests have the limit of the one before.
  let last: PolicyField | undefined
  return (rule, quota, windowMs) => {
    if (quota === Infinity) return null
    if (last !== undefined && isOf(last, rule, quota, windowMs)) return last
    const fields = byQuota.get(quota) ?? []
    let field = fields.find((each) => isOf(each, rule, quota, windowMs))
    if (field === undefined) {
      field = { value: policyValue(rule, quota, windowMs), rule, quota, windowMs }
      if (++count > LIMITS) {
        byQuota.clear()
        count = 1
      }
      byQuota.set(quota, [...fields, field])
    }
    last = field
    return field
  }
}

function isOf(field: PolicyField, rule: string, quota: number, windowMs: number): boolean {
  return field.quota === quota && field.windowMs === windowMs && field.rule === rule
}

function policyValue(rule: string, quota: number, windowMs: number): string {
  const policy = `"${rule}";q=${integer(quota)}`
  if (quota === 0) return policy
  // Without a window it counts requests in flight (section 3.1.2 of draft-11).
  return windowMs === 0
    ? `${policy};qu="concurrent-requests"`
    : `${policy};w=${Math.max(1, Math.ceil(windowMs / 1000))}`
}

/** Structured Fields hold integers of at most 15 digits (RFC 9651, section 3.3.1). */
function integer(number: number): number {
  return Math.min(number, 999_999_999_999_999)
}

/** What {@link rateLimit} says of a limit. */
type Level = Pick<Decision, 'remaining' | 'resetMs' | 'retryAfterMs'>

/**
 * `t`, the effective window: the seconds until the bucket is full. In a refusal it ends when Retry-After does, because
 * draft-11, section 6, wants Retry-After not to end before it.
 */
function rateLimit(level: Level, { rule, quota, windowMs }: PolicyField): string {
  const ready = Math.ceil(level.resetMs / 1000)
  const retry = level.retryAfterMs
  const window =
    retry === 0 || retry === Infinity ? ready : Math.min(ready, Math.max(1, Math.ceil(retry / 1000)))
  const field = `"${rule}";r=${integer(Math.min(level.remaining, quota))}`
  return quota === 0 || windowMs === 0 ? field : `${field};t=${window}`
}

/** Writes both fields of every limit that applied, the one that decided first; what `parameters` gives is added to each. */
function fieldWriter(parameters: (key: string) => string): HeaderWriter {
  const policyField = policyFields()
  return (res, decision, limits, key, more) => {
    const added = parameters(key)
    if (limits instanceof LimitsRecord) {
      const { policies, levels } = fieldsOf(limits, decision, policyField, added)
      return write(res, policies, levels, more)
    }
    const policy = policyField(QUOTA, limits.quota, limits.windowMs)
    if (policy !== null) write(res, policy.value + added, rateLimit(decision, policy) + added, more)
  }
}

function write(res: ServerResponse, policies: string, levels: string, more: boolean): void {
  if (policies === '') return
  res.setHeader('RateLimit-Policy', more ? before(res, 'RateLimit-Policy', policies) : policies)
  res.setHeader('RateLimit', more ? before(res, 'RateLimit', levels) : levels)
}

/** A field with what was written to it before at its end. */
function before(res: ServerResponse, field: string, value: string): string {
  const written = res.getHeader(field)
  return typeof written === 'string' ? `${value}, ${written}` : value
}

function fieldsOf(
  record: LimitsRecord,
  decision: Decision,
  policyField: PolicyFields,
  added: string,
): { policies: string; levels: string } {
  let policies = ''
  let levels = ''
  record.eachEnforced((at) => {
    const quota = record.number(at, Applied.quota)
    const policy = policyField(record.ruleAt(at), quota, record.number(at, Applied.windowMs))
    if (policy === null) return
    const level = {
      remaining: record.number(at, Applied.remaining),
      resetMs: record.number(at, Applied.resetMs),
      // Of a refusal, no window may end after the time that it is to be tried again.
      retryAfterMs: decision.retryAfterMs,
    }
    const comma = policies === '' ? '' : ', '
    policies += comma + policy.value + added
    levels += comma + rateLimit(level, policy) + added
  })
  return { policies, levels }
}

function writeDraft11(): HeaderWriter {
  return fieldWriter(() => '')
}

function writeDraft8(): HeaderWriter {
  const partitionKey = partitionKeys()
  return fieldWriter((key) => `;pk=:${partitionKey(key)}:`)
}

/** Partition keys that are remembered, in each of two generations. */
const REMEMBERED = 4_096

/** The first 12 bytes of a key's SHA-256: tells partitions apart, without repeating what a client sent. */
function partitionKeys(): (key: string) => string {
  let recent = new Map<string, string>()
  let older = new Map<string, string>()
  return (key) => {
    let partition = recent.get(key)
    if (partition !== undefined) return partition
    partition = older.get(key) ?? createHash('sha256').update(key).digest().toString('base64', 0, 12)
    if (recent.size >= REMEMBERED) {
      older = recent
      recent = new Map()
    }
    recent.set(key, partition)
    return partition
  }
}

const writeLegacy: HeaderWriter = (res, decision) => {
  if (decision.limit === Infinity) return
  res.setHeader('X-RateLimit-Limit', String(decision.limit))
  res.setHeader('X-RateLimit-Remaining', String(decision.remaining))
  res.setHeader('X-RateLimit-Reset', String(Math.ceil((Date.now() + decision.resetMs) / 1000)))
}

/** Retry-After of a refusal (RFC 6585, section 4), unless it would never be admitted. */
export function writeRetryAfter(res: ServerResponse, decision: Decision): void {
  if (decision.retryAfterMs === Infinity) return
  res.setHeader('Retry-After', String(Math.max(1, Math.ceil(decision.retryAfterMs / 1000))))
}
