/** What the demo prints when it is done. */

import { window } from './tenants.ts'
import type { Answer } from './traffic.ts'
import type { Verdict } from './verdict.ts'

/** A table, a line per tenant. */
export function report(verdicts: readonly Verdict[]): string {
  const heading = [
    'tenant',
    'tier',
    `quota/${window}`,
    'burst',
    'sent',
    'admitted',
    'denied',
    'bound',
    'got',
    'verdict',
  ]
  const rows = verdicts.map(({ count, bound, share, passed }) => [
    count.tenant.name,
    count.tenant.tier,
    ...[count.tenant.quota, count.tenant.burst, count.sent, count.admitted, count.denied, bound].map(String),
    `${(share * 100).toFixed(1)} %`,
    passed ? 'held' : count.failed > 0 ? `${count.failed} FAILED` : 'BROKEN',
  ])
  const widths = heading.map((title, column) =>
    Math.max(...[heading, ...rows].map((row) => (row[column] ?? title).length)),
  )
  const line = (row: string[]): string =>
    row
      .map((cell, column) =>
        column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
  const rule = widths.map((width) => '─'.repeat(width)).join('  ')
  const notes =
    'bound = quota + burst + quota x time until the last answer\ngot = admitted, of the bound when the last request was sent, or of all that was sent if that is less'
  return [line(heading), rule, ...rows.map(line), '', notes].join('\n')
}

/** An answer as it came over the wire, as far as it is about limits. */
export function shown(title: string, answer: Answer | undefined): string {
  if (answer === undefined) return `${title}: there was none\n`
  const told = /^(ratelimit|retry-after|content-type)/
  const headers = Object.entries(answer.headers).filter(([name]) => told.test(name))
  const lines = [
    `HTTP/1.1 ${answer.status}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
    '',
    answer.body,
  ]
  return [`${title}:`, '', ...lines.map((line) => `  ${line}`), ''].join('\n')
}
