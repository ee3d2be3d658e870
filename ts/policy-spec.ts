/** A policy with nothing left out, as the addon reads it. Types only. */

import type { Algorithm } from './policy-types.ts'

export interface LimitSpec {
  /** Tokens per window, from 0. */
  quota: number | 'unlimited'
  burst: number
  windowMs: number | 'month'
  algorithm: Algorithm
}

/** Lists that are empty match anything. */
export interface MatchSpec {
  method: string[]
  path: string[]
  tier: string[]
  tenant: string[]
}

type Omissible<Fields> = { [Name in keyof Fields]?: Fields[Name] | undefined }

/** Has either a quota and all that goes with it, or `concurrency`: what has both or neither is refused by the addon. */
export interface RuleSpec extends Omissible<LimitSpec> {
  name: string
  match: MatchSpec
  per: string[]
  concurrency?: number | undefined
  cost?: number | undefined
  mode: 'enforce' | 'shadow'
}

export interface ListSpec {
  tenants: string[]
  addresses: string[]
}

export interface PolicySpec {
  default: LimitSpec
  unknownTenant: 'default' | 'reject'
  tiers: Record<string, LimitSpec>
  rules: RuleSpec[]
  allow: ListSpec
  deny: ListSpec
  caseSensitive: boolean
  strictPaths: boolean
}
