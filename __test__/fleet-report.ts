/** What instances tell of their load, and what it comes to for a fleet. */

import type { Reason } from 'tollgate'

/** What an instance has seen in about a tenth of a second. Times are milliseconds of the Unix epoch, as processes share it. */
export interface Slice {
  from: number
  to: number
  admitted: number
  /** Refused, by the reason. */
  refused: Partial<Record<Reason, number>>
  /** Admitted by the tenant. */
  tenants: Record<string, number>
  /** The limits by which each tenant was decided, as they changed; where a load asks for that. */
  limits: Record<string, number[]>
  /** The longest that a decision was waited for, in milliseconds. */
  longestWait: number
  /** The longest that the event loop came late, in milliseconds. */
  longestStall: number
}

export function emptySlice(from: number): Slice {
  return {
    from,
    to: from,
    admitted: 0,
    refused: {},
    tenants: {},
    limits: {},
    longestWait: 0,
    longestStall: 0,
  }
}

/** Slices of any number of instances. */
export class Report {
  constructor(readonly slices: readonly Slice[]) {}

  static of(reports: readonly Report[]): Report {
    return new Report(reports.flatMap(({ slices }) => slices))
  }

  /** Only what was seen between two instants; slices that reach beyond are left out. */
  between(from: number, to: number): Report {
    return new Report(this.slices.filter((slice) => slice.from >= from && slice.to <= to))
  }

  /** From the first request to the last answer of any of them, in seconds. */
  get seconds(): number {
    const [from, to] = [this.slices.map((slice) => slice.from), this.slices.map((slice) => slice.to)]
    return (Math.max(...to) - Math.min(...from)) / 1_000
  }

  get admitted(): number {
    return sum(this.slices.map(({ admitted }) => admitted))
  }

  get refused(): number {
    return sum(this.slices.flatMap(({ refused }) => Object.values(refused)))
  }

  get reasons(): Reason[] {
    return [...new Set(this.slices.flatMap(({ refused }) => Object.keys(refused) as Reason[]))]
  }

  get tenants(): Map<string, number> {
    const admitted = new Map<string, number>()
    for (const { tenants } of this.slices)
      for (const [name, count] of Object.entries(tenants))
        admitted.set(name, (admitted.get(name) ?? 0) + count)
    return admitted
  }

  get longestWait(): number {
    return Math.max(...this.slices.map(({ longestWait }) => longestWait))
  }

  get longestStall(): number {
    return Math.max(...this.slices.map(({ longestStall }) => longestStall))
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0)
}
