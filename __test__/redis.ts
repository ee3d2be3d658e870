/** Real Redis servers on loopback, which end with the test that started them, and with its process. */

import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from './ports.ts'

const run = promisify(execFile)

/** What ends servers: the context of a test, or `{ after }` of `node:test` for all tests of a file. */
export interface Ending {
  after(end: () => Promise<void>): void
}

export interface RedisOptions {
  /** Settings, as `redis-server` takes them: `['--maxmemory', '1mb']`. Nothing is written to disk unless they say so. */
  args?: readonly string[]
  /** What clients have to say. Default: nothing. */
  password?: string
}

export interface RestartOptions {
  /** What was written to its directory stays, so that it can be loaded. Default: it starts empty. */
  keep?: boolean
  /** Settings for this start, after those of before. */
  args?: readonly string[]
  /** Waits only until it answers at all, be it that it is still loading. */
  loading?: boolean
}

export interface RedisServer {
  readonly port: number
  readonly url: string
  /** Its process; another one after each restart. */
  readonly pid: number
  /** Has it not been killed? */
  readonly alive: boolean
  /** Where it saves; removed in the end. */
  readonly directory: string
  /** Freezes it (SIGSTOP): connections stay open, and nothing answers. */
  stop(): void
  /** Lets it go on (SIGCONT). */
  cont(): void
  /** Ends it on the spot (SIGKILL), as a crash does. Resolves when it is gone. */
  kill(): Promise<void>
  /** Ends it if it runs, and starts it on the same port. */
  restart(options?: RestartOptions): Promise<void>
  /** What `redis-cli` prints for a command; an error that the server answers is thrown. */
  cli(...command: (string | number)[]): Promise<string>
}

const QUIET = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--daemonize', 'no']

/** As long as a start may take on a machine that is busy, in milliseconds. */
const PATIENCE = 15_000

const FORCE = { recursive: true, force: true }

const running = new Set<ChildProcess>()
const directories = new Set<string>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const directory of directories) rmSync(directory, FORCE)
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

/** Starts a server on a free port; it answers when this resolves. */
export async function redisServer(ending: Ending, options: RedisOptions = {}): Promise<RedisServer> {
  const directory = mkdtempSync(join(tmpdir(), 'tollgate-redis-'))
  directories.add(directory)
  let server: { child: ChildProcess; port: number } | undefined
  ending.after(async () => {
    await ended(server?.child)
    rmSync(directory, FORCE)
    directories.delete(directory)
  })
  const { password, args: more = [] } = options
  const auth = password === undefined ? [] : ['--requirepass', password, '--masterauth', password]
  const args = ['--dir', directory, ...QUIET, ...auth, ...more]
  for (let attempt = 1; server === undefined; attempt += 1) {
    const port = await freePort()
    try {
      server = { child: await started(port, args, READY), port }
    } catch (error) {
      // Another process may have taken the port in between.
      if (attempt === 3 || !(error instanceof EarlyEnd)) throw error
    }
  }
  return controls(server, directory, args, password)
}

function controls(
  server: { child: ChildProcess; port: number },
  directory: string,
  args: readonly string[],
  password: string | undefined,
): RedisServer {
  const { port } = server
  return {
    port,
    url: `redis://${password === undefined ? '' : `:${password}@`}127.0.0.1:${port}`,
    directory,
    get pid() {
      return server.child.pid!
    },
    get alive() {
      return running.has(server.child)
    },
    stop: () => void server.child.kill('SIGSTOP'),
    cont: () => void server.child.kill('SIGCONT'),
    kill: () => ended(server.child),
    async restart({ keep = false, args: more = [], loading = false } = {}) {
      await ended(server.child)
      if (!keep) for (const name of ['dump.rdb', 'appendonlydir']) rmSync(join(directory, name), FORCE)
      server.child = await started(port, [...args, ...more], loading ? /./ : READY)
    },
    cli: (...command) => cli(port, password, command),
  }
}

/** Answers to PING of a server that serves, be it only those who say the password. */
const READY = /PONG|NOAUTH/

/** It ended before it answered: most likely the port was taken. */
class EarlyEnd extends Error {}

async function started(port: number, args: readonly string[], answer: RegExp): Promise<ChildProcess> {
  const child = spawn('redis-server', ['--port', String(port), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  let log = ''
  child.stdout.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-4_000)
  })
  child.once('error', (error) => {
    log = `${error.message}: \`node scripts/redis-server.mjs\` installs it, or says how`
    running.delete(child)
  })
  const deadline = performance.now() + PATIENCE
  while (!answer.test(await ping(port))) {
    if (!running.has(child)) throw new EarlyEnd(`redis-server on port ${port} did not start: ${log}`)
    if (performance.now() > deadline) throw new Error(`redis-server on port ${port} does not answer: ${log}`)
    await setTimeout(5)
  }
  return child
}

/** The answer to PING, whatever it is; an empty one if there is none within a second. */
function ping(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    const close = (answer: string): void => {
      resolve(answer)
      socket.destroy()
    }
    socket.once('data', (chunk: Buffer) => close(chunk.toString()))
    socket.once('error', () => close(''))
    socket.once('close', () => close(''))
    socket.setTimeout(1_000, () => close(''))
  })
}

async function ended(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || !running.has(child)) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** How error replies begin; `redis-cli` prints them like any other. */
const REFUSED =
  /^([A-Z]*ERR|ASK|BUSY|CLUSTERDOWN|LOADING|MISCONF|MOVED|NO[A-Z]+|OOM|READONLY|TRYAGAIN|WRONG[A-Z]+) /

async function cli(
  port: number,
  password: string | undefined,
  command: readonly (string | number)[],
): Promise<string> {
  const { stdout } = await run('redis-cli', ['-p', String(port), ...command.map(String)], {
    // A server that was stopped answers nothing.
    timeout: PATIENCE,
    env: { ...process.env, ...(password === undefined ? {} : { REDISCLI_AUTH: password }) },
  })
  const printed = stdout.trim()
  if (REFUSED.test(printed)) throw new Error(`${command.join(' ')}: ${printed}`)
  return printed
}
