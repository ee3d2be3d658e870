/** A limit on requests in flight holds for a fleet: real processes, real HTTP, a real Redis. */

import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once, setMaxListeners } from 'node:events'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Agent } from 'undici'
import type { RateLimitPolicyOptions } from 'tollgate'
import { LEASE_TTL } from './fleet-bound.ts'
import { program } from './fleet.ts'
import type { ServiceOptions } from './fleet-service.ts'
import { listen } from './harness.ts'
import { redisServer } from './redis.ts'
import { until } from './until.ts'

const redis = await redisServer({ after })
const source = program(new URL('./fleet-service.ts', import.meta.url))
const root = fileURLToPath(new URL('..', import.meta.url))
const agent = new Agent({ connections: 100, headersTimeout: 120_000 })
after(() => agent.destroy())

const MOST = 10
/** For as long as a test lasts. */
const HELD = 100_000

/** Requests in flight, by process. */
class Counter {
  private readonly present = new Map<number, number>()
  most = 0

  /** Hears of one that has begun, or has ended. */
  hear(event: string, pid: number): void {
    this.present.set(pid, this.of(pid) + (event === 'begun' ? 1 : -1))
    this.most = Math.max(this.most, this.all)
  }

  forget(pid: number): void {
    this.present.delete(pid)
  }

  of(pid: number): number {
    return this.present.get(pid) ?? 0
  }

  get all(): number {
    return [...this.present.values()].reduce((sum, one) => sum + one, 0)
  }
}

class Service {
  private constructor(
    private readonly child: ChildProcess,
    private readonly port: number,
  ) {}

  static async start(options: ServiceOptions): Promise<Service> {
    const args = ['--input-type=module', '--eval', source]
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const
    const child = spawn(process.execPath, args, { cwd: root, stdio: [...stdio] })
    child.send(options)
    const [port] = (await once(child, 'message')) as [number]
    return new Service(child, port)
  }

  get pid(): number {
    return this.child.pid!
  }

  /** A request that is held for so long; gives what came of it, `undefined` if the service or the client has gone away. */
  async ask(milliseconds: number, signal?: AbortSignal): Promise<number | undefined> {
    try {
      const { statusCode, body } = await agent.request({
        origin: `http://127.0.0.1:${this.port}`,
        path: `/?ms=${milliseconds}`,
        method: 'GET',
        headers: { 'x-tenant-id': 'acme' },
        signal,
      })
      await body.dump()
      return statusCode
    } catch {
      return undefined
    }
  }

  /** How many instances it knows of. */
  async liveInstances(): Promise<number> {
    const { body } = await agent.request({
      origin: `http://127.0.0.1:${this.port}`,
      path: '/instances',
      method: 'GET',
    })
    return Number(await body.text())
  }

  /** Asks again and again, until it is over, or one is held to the end. */
  async insist(milliseconds: number, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      const status = await this.ask(milliseconds, over)
      if (status !== 200) await setTimeout(20)
    }
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    this.child.kill('SIGKILL')
    await once(this.child, 'exit')
  }
}

/** Runs with four services behind one rule, and a counter of what is in flight in them. */
async function withFour(
  namespace: string,
  run: (services: Service[], counter: Counter, over: AbortSignal) => Promise<void>,
  more: RateLimitPolicyOptions = {},
): Promise<void> {
  const counter = new Counter()
  await using server = await listen((req, res) => {
    const [, event, pid] = req.url!.split('/')
    counter.hear(event!, Number(pid))
    res.end()
  })
  const policyDefinition = {
    defaultQuota: 'unlimited' as const,
    rules: [{ name: 'exports', concurrency: MOST }],
  }
  const limiter = { backends: [redis.url], namespace, policyDefinition, ...more }
  const options = { limiter, counter: `http://127.0.0.1:${server.port}` }
  const services = await Promise.all([1, 2, 3, 4].map(() => Service.start(options)))
  const over = new AbortController()
  setMaxListeners(0, over.signal)
  try {
    await run(services, counter, over.signal)
  } finally {
    over.abort()
    await Promise.all(services.map((service) => service.kill()))
  }
}

/** So many clients of each service insist, without anybody waiting for it. */
function insisting(services: Service[], clients: number, milliseconds: number, over: AbortSignal): void {
  for (const service of services) {
    for (let client = 0; client < clients; client += 1) void service.insist(milliseconds, over)
  }
}

test('never are more in flight than there are slots, and all of them are used, by every process', async (t) => {
  await withFour('flight-many', async (services, counter, over) => {
    const served = await Promise.all(
      services.flatMap((service) =>
        Array.from({ length: 6 }, async (_, client) => {
          let [had, turn] = [0, client]
          const end = performance.now() + 5_000
          while (performance.now() < end && !over.aborted) {
            turn += 1
            if ((await service.ask(10 + ((turn * 17) % 50))) === 200) had += 1
            else await setTimeout(5)
          }
          return had
        }),
      ),
    )
    const each = [0, 1, 2, 3].map((index) =>
      served.slice(6 * index, 6 * index + 6).reduce((sum, one) => sum + one, 0),
    )
    t.diagnostic(`${each.join(', ')} requests were served`)
    assert.equal(counter.most, MOST)
    assert.ok(each.every((one) => one >= 10))
  })
})

test('slots of a process that was killed are had by the others within its lease', async (t) => {
  await withFour('flight-killed', async (services, counter, over) => {
    insisting(services, 4, HELD, over)
    await until('all slots are taken', () => counter.all === MOST)
    const dies = services.reduce((one, other) => (counter.of(one.pid) > counter.of(other.pid) ? one : other))
    const held = counter.of(dies.pid)
    await dies.kill()
    assert.equal(counter.most, MOST)
    counter.forget(dies.pid)
    assert.equal(counter.all, MOST - held)
    const took = await until('its slots are taken', () => counter.all === MOST)
    t.diagnostic(`${held} slots came back after ${took.toFixed(0)} ms`)
    assert.ok(took < 1_000 * (LEASE_TTL + 1), `${took} ms`)
    assert.equal(counter.most, MOST)
  })
})

test('clients that go away give their slots back to the fleet', async (t) => {
  await withFour('flight-aborted', async ([first, second], counter, over) => {
    const clients = new AbortController()
    setMaxListeners(0, clients.signal)
    insisting([first!], 2 * MOST, HELD, clients.signal)
    await until('one process has all slots', () => counter.of(first!.pid) === MOST)
    assert.equal(await second!.ask(0), 429)
    clients.abort()
    insisting([second!], 2 * MOST, HELD, over)
    const took = await until('the other one has all slots', () => counter.of(second!.pid) === MOST)
    t.diagnostic(`after ${took.toFixed(0)} ms`)
    assert.equal(counter.most, MOST)
  })
})

test('without a backend each process has its share, and afterwards the limit holds again', async () => {
  const server = await redisServer({ after })
  await withFour(
    'flight-alone',
    async (services, counter, over) => {
      await until('all know of each other', async () => {
        const known = await Promise.all(services.map((service) => service.liveInstances()))
        return known.every((live) => live === services.length)
      })
      await server.kill()
      insisting(services, 8, HELD, over)
      const share = Math.floor(MOST / services.length)
      await until('each has its share', () => services.every(({ pid }) => counter.of(pid) === share))
      assert.ok(counter.most <= MOST)
      await server.restart()
      await until('all slots are taken', () => counter.all === MOST)
      assert.equal(counter.most, MOST)
    },
    { backends: [server.url] },
  )
})
