/**
 * Starts a real service, drives real traffic at it, and says whether every tenant got what it is granted and no more.
 *
 *     npm run demo                    about ten seconds; exits 0 only if every verdict is good
 *     npm run demo -- --seconds 3
 *     npm run demo -- --serve         keeps the service up for curl
 */

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { tenants, window } from './tenants.ts'
import { drive, type Answer, type Traffic } from './traffic.ts'
import { judge, type Verdict } from './verdict.ts'

const { values } = parseArgs({
  options: { serve: { type: 'boolean', default: false }, seconds: { type: 'string', default: '10' } },
})
const seconds = Number(values.seconds)
if (!(seconds > 0 && seconds <= 3600)) {
  console.error(`--seconds: given ${values.seconds}; accepted: more than 0, at most 3600`)
  process.exit(2)
}

const { service, origin } = await start(values.serve ? (process.env['PORT'] ?? '3000') : '0')
if (values.serve) {
  console.log(`Serving on ${origin}: try, more than ten times in a second,\n`)
  console.log(`  curl -i -H 'x-tenant-id: acme' ${origin}\n`)
  console.log('Ctrl-C ends it.')
} else {
  const senders = tenants.reduce((sum, { sends }) => sum + sends, 0)
  console.log(`${tenants.length} tenants send ${senders} requests a second to ${origin} for ${seconds} s\n`)
  const traffic = await drive(origin, tenants, seconds, progressLine())
  service.kill()
  const verdicts = traffic.counts.map(judge)
  console.log(`${process.stdout.isTTY ? '\n' : ''}\n${report(verdicts)}\n`)
  show('An admitted request', traffic.allowed)
  show('A refused one', traffic.refused)
  const passed = verdicts.every((verdict) => verdict.passed)
  const failing = verdicts.filter((verdict) => !verdict.passed).map(({ count }) => count.tenant.name)
  console.log(passed ? 'Every tenant got its quota, and no more.' : `Not as granted: ${failing.join(', ')}.`)
  process.exitCode = passed && traffic.allowed !== undefined && traffic.refused !== undefined ? 0 : 1
}

async function start(port: string): Promise<{ service: ChildProcess; origin: string }> {
  const path = fileURLToPath(new URL('./service.ts', import.meta.url))
  const service = fork(path, { env: { ...process.env, PORT: port }, execArgv: ['--import', 'tsx'] })
  const ended = once(service, 'exit').then(([code]) => {
    throw new Error(`the service ended with ${String(code)} before it listened`)
  })
  const [{ port: open }] = (await Promise.race([once(service, 'message'), ended])) as [{ port: number }]
  ended.catch(() => undefined)
  return { service, origin: `http://127.0.0.1:${open}` }
}

/** One line that is written over on a terminal; elsewhere a line a second. */
function progressLine(): (traffic: Traffic, elapsed: number) => void {
  let shown = -1
  return ({ counts }, elapsed) => {
    const step = Math.floor(process.stdout.isTTY ? elapsed * 10 : elapsed)
    if (step === shown) return
    shown = step
    const sum = (pick: 'sent' | 'admitted' | 'denied'): string =>
      counts.reduce((total, count) => total + count[pick], 0).toLocaleString('en')
    const line = `${elapsed.toFixed(1).padStart(5)} s   ${sum('sent')} sent   ${sum('admitted')} admitted   ${sum('denied')} denied`
    process.stdout.write(process.stdout.isTTY ? `\r${line}\x1b[K` : `${line}\n`)
  }
}

function report(verdicts: readonly Verdict[]): string {
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

function show(title: string, answer: Answer | undefined): void {
  console.log(`${title}:\n`)
  if (answer === undefined) return console.log('  there was none')
  console.log(`  HTTP/1.1 ${answer.status}`)
  const told = /^(ratelimit|retry-after|content-type)/
  for (const [name, value] of Object.entries(answer.headers))
    if (told.test(name)) console.log(`  ${name}: ${value}`)
  console.log(`\n  ${answer.body}\n`)
}
