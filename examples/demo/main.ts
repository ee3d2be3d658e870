/**
 * Starts a real service, drives real traffic at it, and says whether every tenant got what it is granted and no more.
 *
 *     npm run demo                    about ten seconds; exits 0 only if every verdict is good
 *     npm run demo -- --seconds 30
 *     npm run demo -- --serve         keeps the service up for curl
 */

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { tenants } from './tenants.ts'
import { drive, type Traffic } from './traffic.ts'
import { report, shown } from './report.ts'
import { judge } from './verdict.ts'

const { values } = parseArgs({
  options: { serve: { type: 'boolean', default: false }, seconds: { type: 'string', default: '10' } },
})
const seconds = Number(values.seconds)
if (!(seconds >= 5 && seconds <= 3600)) {
  console.error(`--seconds: given ${values.seconds}; accepted: 5 to 3600`)
  process.exit(2)
}

const { service, origin } = await start(values.serve ? (process.env['PORT'] ?? '3000') : '0')
if (values.serve) {
  console.log(`Serving on ${origin}: try\n`)
  console.log(`  curl -i -H 'x-tenant-id: acme' ${origin}\n`)
  console.log('or, to see acme run out of its quota,\n')
  console.log(
    `  for i in $(seq 50); do curl -s -o /dev/null -w '%{http_code} ' -H 'x-tenant-id: acme' ${origin}; done\n`,
  )
  console.log('Ctrl-C ends it.')
} else {
  const senders = tenants.reduce((sum, { sends }) => sum + sends, 0)
  console.log(`${tenants.length} tenants send ${senders} requests a second to ${origin} for ${seconds} s\n`)
  const traffic = await drive(origin, tenants, seconds, progressLine())
  service.kill()
  const verdicts = traffic.counts.map(judge)
  console.log(`${process.stdout.isTTY ? '\n' : ''}\n${report(verdicts)}\n`)
  console.log(shown('An admitted request', traffic.allowed))
  console.log(shown('A refused one', traffic.refused))
  const passed = verdicts.every((verdict) => verdict.passed)
  const failing = verdicts.filter((verdict) => !verdict.passed).map(({ count }) => count.tenant.name)
  console.log(passed ? 'Every tenant got its quota, and no more.' : `Not as granted: ${failing.join(', ')}.`)
  process.exitCode = passed && traffic.allowed !== undefined && traffic.refused !== undefined ? 0 : 1
}

async function start(port: string): Promise<{ service: ChildProcess; origin: string }> {
  const path = fileURLToPath(new URL('./service.ts', import.meta.url))
  const child = fork(path, { env: { ...process.env, PORT: port }, execArgv: ['--import', 'tsx'] })
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the service ended with ${String(code)} before it listened`)
  })
  const [{ port: open }] = (await Promise.race([once(child, 'message'), ended])) as [{ port: number }]
  ended.catch(() => undefined)
  return { service: child, origin: `http://127.0.0.1:${open}` }
}

/** One line that is written over on a terminal; elsewhere a line a second. */
function progressLine(): (traffic: Traffic, elapsed: number) => void {
  let last = -1
  return ({ counts }, elapsed) => {
    const step = Math.floor(process.stdout.isTTY ? elapsed * 10 : elapsed)
    if (step === last) return
    last = step
    const sum = (pick: 'sent' | 'admitted' | 'denied'): string =>
      counts.reduce((total, count) => total + count[pick], 0).toLocaleString('en')
    const line = `${elapsed.toFixed(1).padStart(5)} s   ${sum('sent')} sent   ${sum('admitted')} admitted   ${sum('denied')} denied`
    process.stdout.write(process.stdout.isTTY ? `\r${line}\x1b[K` : `${line}\n`)
  }
}
