import assert from 'node:assert/strict'
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { enforceRateLimitPolicy, type ExecutionLog, type FleetStatus, type History } from 'tollgate'
import { Terminal } from '../ts/cli/terminal.ts'
import { freePort } from './ports.ts'
import { redisServer } from './redis.ts'
import { until } from './until.ts'

const CLI = fileURLToPath(new URL('../dist/cli.js', import.meta.url))
const ROOT = fileURLToPath(new URL('..', import.meta.url))

const directory = mkdtempSync(join(tmpdir(), 'tollgate-cli-'))
after(() => rmSync(directory, { recursive: true, force: true }))

function file(name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

const fifty = file('fifty.json', '{ "defaultQuota": 50, "burstAllowance": 0 }')
const ten = file(
  'ten.yaml',
  'defaultQuota: 10\nburstAllowance: 0\nrules:\n  - { name: search, per: [tenant, region], quota: 5 }\n',
)
const twenty = file(
  'twenty.mjs',
  'export const policyDefinition = { defaultQuota: 20, tenantOverrides: { acme: 7 } }',
)
const commonJs = file('thirty.cjs', 'module.exports = { policyDefinition: { defaultQuota: 30 } }')

interface Ended {
  code: number
  stdout: string
  stderr: string
}

function env(backend: string | undefined, namespace: string): NodeJS.ProcessEnv {
  const { TOLLGATE_BACKENDS: _backends, TOLLGATE_NAMESPACE: _namespace, ...rest } = process.env
  return {
    ...rest,
    ...(backend === undefined ? {} : { TOLLGATE_BACKENDS: backend }),
    TOLLGATE_NAMESPACE: namespace,
  }
}

/** Runs a command to its end. */
function tollgate(args: readonly string[], backend?: string, namespace = 'cli'): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [CLI, ...args],
      { env: env(backend, namespace), cwd: ROOT },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
      },
    )
  })
}

async function json<Value>(args: readonly string[], backend: string): Promise<Value> {
  const { code, stdout, stderr } = await tollgate([...args, '--json'], backend)
  assert.equal(code, 0, stderr)
  return JSON.parse(stdout) as Value
}

test('it says how it is used, and refuses what it does not understand', async () => {
  const help = await tollgate(['--help'])
  assert.equal(help.code, 0)
  assert.match(help.stdout, /Exit codes/)
  assert.match((await tollgate(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/)
  for (const [args, message] of [
    [[], /Usage/],
    [['deploy'], /there is no command deploy/],
    [['status', '--steps', '1'], /status has no option --steps/],
    [['status', '--unheard-of'], /unheard-of/],
    [['status'], /say which fleet/],
    [['plan'], /say which policy/],
    [['plan', join(directory, 'missing.json')], /missing\.json.*ENOENT/],
    [['plan', file('broken.json', '{')], /broken\.json/],
    [['plan', file('faulty.yaml', 'defaultQuota: -5\nburst: 1\n')], /defaultQuota[^]*unknown option/],
    [['rollback', 'yesterday', '--backend', 'redis-1'], /accepted: the number of a revision/],
    [['apply', fifty, '--window', 'soon', '--backend', 'redis-1'], /observationWindow/],
    [['apply', fifty, '--backend', 'gopher://redis-1'], /backends\[0\]/],
  ] as const) {
    const { code, stderr } = await tollgate(args)
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, message)
  }
})

test('a fleet that cannot be reached is no fleet', async () => {
  const { code, stderr, stdout } = await tollgate(
    ['status', '--json'],
    `redis://127.0.0.1:${await freePort()}`,
  )
  assert.equal(code, 4)
  assert.match(stderr, /^tollgate: /)
  assert.equal((JSON.parse(stdout) as { exit: number }).exit, 4)
})

test('plan reads policies in JSON, YAML and modules, and compares them', async () => {
  for (const policy of [fifty, ten, twenty, commonJs]) {
    const { code, stdout, stderr } = await tollgate(['plan', policy])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^policy {2}[0-9a-f]{64}\n {8}\d+ bytes, /)
  }
  const { stdout } = await tollgate(['plan', twenty, '--against', fifty])
  assert.match(stdout, /default\.quota: 50 → 20\n/)
  assert.match(stdout, /tenant "acme" is new: 7\n/)
  assert.match((await tollgate(['plan', fifty, '--against', fifty])).stdout, /changes none/)
  const rule = (await tollgate(['plan', ten, '--against', fifty])).stdout
  assert.match(rule, /rule "search" is new: per \["tenant","region"\], .*quota 5, .*window 1m\n/)
})

test('explain says what a policy makes of a request', async () => {
  const { code, stdout } = await tollgate(['explain', twenty, 'acme', '--method', 'GET', '--path', '/search'])
  assert.equal(code, 0)
  assert.match(stdout, /quota: 7 per 60 s/)
})

/** A service with further handlers behind its limiter. */
function source(twice: string): string {
  return `
    import express from 'express'
    import { enforceRateLimitPolicy } from 'tollgate'
    const limiter = await enforceRateLimitPolicy()
    export const app = express().use(limiter.middleware()${twice}, (req, res) => res.end())`
}

test('doctor looks an app over', async () => {
  // Where its imports are found.
  const app = join(ROOT, 'dist', `doctor-${process.pid}.mjs`)
  after(() => rmSync(app, { force: true }))
  writeFileSync(app, source(', limiter.middleware()'))
  const twice = await tollgate(['doctor', '--app', app])
  assert.equal(twice.code, 1, twice.stderr)
  assert.match(twice.stdout, /fault {4}this limiter is mounted twice/)
  writeFileSync(app, source(''))
  assert.equal((await tollgate(['doctor', '--app', app])).code, 0)
})

test('a fleet', async (t) => {
  const redis = await redisServer({ after })
  const limiter = await enforceRateLimitPolicy({
    namespace: 'cli',
    policyDefinition: { defaultQuota: 100, burstAllowance: 0 },
    backends: [redis.url],
  })
  t.after(() => limiter.close())
  await until('the fleet has a policy', () => limiter.status().fleet!.revision !== null)
  const quick = ['--window', '300ms', '--min-samples', '1']

  await t.test('status tells what is active, and who is there', async () => {
    const { fleet } = await json<{ fleet: FleetStatus }>(['status'], redis.url)
    assert.equal(fleet.revision!.number, 1)
    const pids = fleet.instances.filter(({ role }) => role === 'instance').map(({ pid }) => pid)
    assert.deepEqual(pids, [String(process.pid)])
    const { stdout } = await tollgate(['status'], redis.url)
    assert.match(
      stdout,
      /^namespace {2}cli on redis:\/\/127\.0\.0\.1:\d+\nactive {5}revision 1, [0-9a-f]{12}\n/,
    )
    // No colours where there is no terminal.
    assert.ok(!stdout.includes('\u001B'))
  })

  await t.test('plan says what would come of it', async () => {
    const { code, stdout } = await tollgate(['plan', fifty], redis.url)
    assert.equal(code, 0)
    assert.match(stdout, /a rollout would bring it to 1 instance; active is revision 1/)
  })

  await t.test('apply brings it to the fleet', async () => {
    const { code, stdout, stderr } = await tollgate(['apply', fifty, ...quick, '--confirm'], redis.url)
    assert.equal(code, 0, stderr)
    assert.match(stdout, /✓ topology_scan +\d\.\d s {2}1 instance\n/)
    assert.match(stdout, /✓ policy_injection +\d\.\d s {2}1 of 1 instance\n/)
    assert.match(stdout, /locked: revision 2 is active \(infra_rl_/)
    await until('it is enforced', () => limiter.peek('acme').limit === 50)
    assert.match((await tollgate(['plan', fifty], redis.url)).stdout, /nothing to do: this is revision 2/)
    const again = await tollgate(['apply', fifty, ...quick], redis.url)
    assert.equal(again.code, 4)
    assert.match(again.stderr, /^tollgate: this policy is the active one already: revision 2\n$/)
  })

  await t.test('too little traffic is inconclusive', async () => {
    const { code, stdout } = await tollgate(
      ['apply', ten, ...quick, '--deadline', '400ms', '--json'],
      redis.url,
    )
    assert.equal(code, 3)
    const { outcome, stages } = JSON.parse(stdout) as ExecutionLog
    assert.equal(outcome!.status, 'rolled_back')
    assert.equal(stages.at(-1)!.status, 'inconclusive')
    const { code: planned, stdout: said } = await tollgate(['plan', ten], redis.url)
    assert.equal(planned, 4)
    assert.match(said, /rolled back before/)
  })

  await t.test('rollback goes back to the revision before', async () => {
    const { code, stdout, stderr } = await tollgate(['rollback'], redis.url)
    assert.equal(code, 0, stderr)
    assert.match(stdout, /locked: revision 4 is active/)
    await until('it is enforced', () => limiter.peek('acme').limit === 100)
    const { code: refused, stderr: why } = await tollgate(['rollback', '77'], redis.url)
    assert.equal(refused, 4)
    assert.match(why, /there is no revision 77/)
  })

  /** An apply that nobody confirms, while traffic is looked at. */
  async function applying(
    policy: string,
  ): Promise<{ child: ChildProcess; output: () => string; ended: Promise<number> }> {
    const args = [CLI, 'apply', policy, '--window', '10m', '--force']
    const child = spawn(process.execPath, args, { env: env(redis.url, 'cli'), cwd: ROOT, stdio: 'pipe' })
    t.after(() => child.kill('SIGKILL'))
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const ended = once(child, 'exit').then(([code]) => code as number)
    await until('traffic is looked at', () => /… traffic_validation/.test(output))
    return { child, output: () => output, ended }
  }

  await t.test('a second interruption cancels', async () => {
    const { child, output, ended } = await applying(ten)
    child.kill('SIGINT')
    await until('it says how to go on', () => /interrupt again to cancel/.test(output()))
    child.kill('SIGINT')
    assert.equal(await ended, 1)
    assert.match(output(), /rolled back to revision 4: .* cancelled it/)
  })

  await t.test('what is left to the fleet goes on, and rollback cancels it', async () => {
    const { child, output, ended } = await applying(twenty)
    child.kill('SIGTERM')
    assert.equal(await ended, 3)
    assert.match(output(), /the fleet goes on with the rollout/)
    const { rollout } = await json<{ rollout: { phase: string } }>(['status'], redis.url)
    assert.equal(rollout.phase, 'validating')
    const { code, stderr } = await tollgate(['rollback'], redis.url)
    assert.equal(code, 0, stderr)
    await until('it is over', () => limiter.status().rollout === null)
  })

  await t.test('history tells all of it, and doctor finds no fault', async () => {
    const history = await json<History>(['history', '--count', '500'], redis.url)
    assert.equal(history.intact, true)
    const events = new Set(history.entries.map(({ event }) => event))
    for (const event of ['proposed', 'validating', 'locked', 'rolled_back', 'taken_over']) {
      assert.ok(events.has(event), event)
    }
    assert.match((await tollgate(['history'], redis.url)).stdout, /^NUMBER {2}TIME +ROLLOUT +EVENT\n/)
    const healthy = await tollgate(['doctor'], redis.url)
    assert.equal(healthy.code, 0)
    assert.match(healthy.stdout, /\nno faults\n$/)
    await redis.cli('config', 'set', 'maxmemory', '100mb')
    await redis.cli('config', 'set', 'maxmemory-policy', 'allkeys-lru')
    const { code, stdout } = await tollgate(['doctor'], redis.url)
    assert.equal(code, 1)
    assert.match(stdout, /^ {2}fault .*allkeys-lru/)
  })
})

/** A terminal of so many columns, and what is printed on it. */
function screen(
  columns: number,
  environment: NodeJS.ProcessEnv = {},
): { terminal: Terminal; printed: () => string } {
  const stdout = Object.assign(new PassThrough(), { isTTY: true, columns })
  const streams = { stdin: new PassThrough(), stdout, stderr: new PassThrough(), env: environment }
  return { terminal: new Terminal(streams, false), printed: () => String(stdout.read() ?? '') }
}

test('colours are for terminals, and nobody gets them who does not want any', () => {
  const red = screen(80).terminal.paint('red', 'no')
  assert.equal(red, '\u001B[31mno\u001B[0m')
  for (const environment of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
    assert.equal(screen(80, environment).terminal.paint('red', 'no'), 'no')
  }
})

test('tables fit the terminal', () => {
  const { terminal, printed } = screen(40, { NO_COLOR: '1' })
  terminal.table(
    ['HOST', 'REVISION'],
    [
      ['a', '1'],
      ['a-host-with-a-name', 'a text that is longer than the terminal'],
    ],
  )
  assert.deepEqual(printed().split('\n'), [
    'HOST                REVISION',
    'a                   1',
    'a-host-with-a-name  a text that is long…',
    '',
  ])
})
