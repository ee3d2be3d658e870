/** Response headers that tell a client its quota, in the versions that are in use. */

import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Gate } from './gate.ts'
import type { Decision, HeaderVersion } from './types.ts'

/** Writes the headers of a decision that a gate has just made. `key` is what it was charged to. */
export type HeaderWriter = (res: ServerResponse, decision: Decision, key: string) => void

/** A writer for several versions; none if there is nothing to write. */
export function headerWriter(versions: readonly HeaderVersion[], gate: Gate): HeaderWriter | undefined {
  const writers: HeaderWriter[] = []
  // The same two fields: draft-8 says all that draft-11 does.
  if (versions.includes('draft-8')) writers.push(writeDraft8(gate))
  else if (versions.includes('draft-11')) writers.push(writeDraft11(gate))
  if (versions.includes('legacy')) writers.push(writeLegacy)
  const [first, second] = writers
  if (first === undefined || second === undefined) return first
  return (res, decision, key) => {
    first(res, decision, key)
    second(res, decision, key)
  }
}

/** What RateLimit-Policy says of a limit, once for all decisions. */
interface PolicyField {
  value: string
  quota: number
  windowMs: number
}

/** Different quotas whose fields are remembered. */
const QUOTAS = 10_000

/** RateLimit-Policy of a limit; null for no limit, of which there is nothing to say. */
function policyFields(): (quota: number, windowMs: number) => PolicyField | null {
  const byQuota = new Map<number, PolicyField[]>()
  // Most requests have the limit of the one before.
  let last: PolicyField | undefined
  return (quota, windowMs) => {
    if (quota === Infinity) return null
    if (last !== undefined && last.quota === quota && last.windowMs === windowMs) return last
    const fields = byQuota.get(quota) ?? []
    let field = fields.find((each) => each.windowMs === windowMs)
    if (field === undefined) {
      const window = quota === 0 ? '' : `;w=${Math.max(1, Math.ceil(windowMs / 1000))}`
      field = { value: `"default";q=${integer(quota)}${window}`, quota, windowMs }
      if (byQuota.size >= QUOTAS) byQuota.clear()
      byQuota.set(quota, [...fields, field])
    }
    last = field
    return field
  }
}

/** Structured Fields hold integers of at most 15 digits (RFC 9651, section 3.3.1). */
function integer(number: number): number {
  return Math.min(number, 999_999_999_999_999)
}

/**
 * `t`, the effective window: the seconds until the bucket is full. In a refusal it ends when Retry-After does, because
 * draft-11, section 6, wants Retry-After not to end before it.
 */
function rateLimit(decision: Decision, quota: number): string {
  const ready = Math.ceil(decision.resetMs / 1000)
  const retry = decision.retryAfterMs
  const window =
    retry === 0 || retry === Infinity ? ready : Math.min(ready, Math.max(1, Math.ceil(retry / 1000)))
  const field = `"default";r=${integer(Math.min(decision.remaining, quota))}`
  return quota === 0 ? field : `${field};t=${window}`
}

function writeDraft11(gate: Gate): HeaderWriter {
  const policyField = policyFields()
  return (res, decision) => {
    const policy = policyField(gate.lastQuota(), gate.lastWindowMs())
    if (policy === null) return
    res.setHeader('RateLimit-Policy', policy.value)
    res.setHeader('RateLimit', rateLimit(decision, policy.quota))
  }
}

function writeDraft8(gate: Gate): HeaderWriter {
  const policyField = policyFields()
  const partitionKey = partitionKeys()
  return (res, decision, key) => {
    const policy = policyField(gate.lastQuota(), gate.lastWindowMs())
    if (policy === null) return
    const partition = `;pk=:${partitionKey(key)}:`
    res.setHeader('RateLimit-Policy', policy.value + partition)
    res.setHeader('RateLimit', rateLimit(decision, policy.quota) + partition)
  }
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
