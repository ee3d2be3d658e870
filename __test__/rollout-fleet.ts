/** Fleets for the tests of rollouts: cluster workers that serve HTTP, and clients that look at every answer. */

import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setTimeout } from 'node:timers/promises'
import { Agent } from 'undici'
import type { FleetRevision, RateLimitPolicyOptions } from 'tollgate'
import { program } from './fleet.ts'
import type { Ending } from './redis.ts'
import type { Answered, Order, Orders, Ports } from './rollout-service.ts'
import { until } from './until.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const source = program(new URL('./rollout-service.ts', import.meta.url))

/** One worker. */
export class Service {
  ports: Ports = { shared: 0, own: 0 }
  private readonly waiting = new Map<number, (answered: Answered) => void>()
  private orders = 0
  /** Answered without having been asked for. */
  private readonly ready = new Promise<Answered>((resolve) => this.waiting.set(0, resolve))

  private constructor(private readonly worker: Worker) {
    worker.on('message', (answered: Answered) => this.answered(answered))
    worker.once('exit', () => {
      for (const number of this.waiting.keys()) this.answered({ number, failed: 'the process has ended' })
    })
  }

  static async start(ending: Ending, options: RateLimitPolicyOptions): Promise<Service> {
    const execArgv = ['--input-type=module', '--eval', source]
    cluster.setupPrimary({ exec: 'service', execArgv, cwd: ROOT })
    const service = new Service(cluster.fork())
    ending.after(() => service.kill())
    await service.ready
    service.ports = await service.tell('open', options)
    return service
  }

  get pid(): number {
    return this.worker.process.pid!
  }

  async tell<Name extends keyof Orders>(
    name: Name,
    ...given: Parameters<Orders[Name]>
  ): Promise<Awaited<ReturnType<Orders[Name]>>> {
    const order: Order = { number: (this.orders += 1), name, given }
    const answered = new Promise<Answered>((resolve) => this.waiting.set(order.number, resolve))
    this.worker.send(order)
    const answer = await answered
    if ('failed' in answer) throw new Error(`${name}: ${answer.failed}`)
    return answer.done as Awaited<ReturnType<Orders[Name]>>
  }

  /** Ends it on the spot, as a crash does. */
  async kill(): Promise<void> {
    if (this.worker.isDead()) return
    this.worker.process.kill('SIGKILL')
    if (!this.worker.isDead()) await once(this.worker, 'exit')
  }

  stop(): void {
    this.worker.process.kill('SIGSTOP')
  }

  cont(): void {
    this.worker.process.kill('SIGCONT')
  }

  private answered(answered: Answered): void {
    this.waiting.get(answered.number)?.(answered)
    this.waiting.delete(answered.number)
  }
}

/** Starts so many; gives them once each knows of all, at the first revision. */
export async function services(
  ending: Ending,
  size: number,
  options: RateLimitPolicyOptions,
): Promise<Service[]> {
  const all = await Promise.all(Array.from({ length: size }, () => Service.start(ending, options)))
  await until('the fleet is complete', async () => (await agreed(all, size))?.number === 1)
  return all
}

/** The revision that each of these says all instances of the fleet are at, outside a rollout; `undefined` while they do not agree. */
export async function agreed(of: readonly Service[], size = of.length): Promise<FleetRevision | undefined> {
  const statuses = await Promise.all(of.map((service) => service.tell('status')))
  const active = statuses[0]?.fleet?.revision
  const agree = statuses.every(({ fleet, rollout }) => {
    const at = fleet?.instances.filter(({ role }) => role === 'instance') ?? []
    return rollout === null && at.length === size && at.every(({ revision }) => revision === active?.number)
  })
  return agree ? (active ?? undefined) : undefined
}

/** What a service has answered. */
export interface Seen {
  at: number
  tenant: string
  /** 0: there was no answer. */
  status: number
  pid: number
  /** The quota by which it was decided on, as the answer says. */
  quota: number
}

/** Clients that ask all the time, until they are told to stop. */
export class Traffic {
  readonly seen: Seen[] = []
  private readonly agent = new Agent({ connections: 4 })
  private readonly clients: Promise<void>[]
  private isOver = false

  /** `tenants` says who asks how often, in a second, and `ports` where, in turn. */
  constructor(ending: Ending, tenants: Readonly<Record<string, number>>, ports: readonly number[]) {
    ending.after(() => this.stop())
    let asked = 0
    const next = (): number => ports[(asked += 1) % ports.length]!
    this.clients = Object.entries(tenants).map(([tenant, rate]) => this.client(tenant, rate, next))
  }

  /** Those from an instant on. */
  since(at: number): Seen[] {
    return this.seen.filter((answer) => answer.at >= at)
  }

  /** Resolves once everything has been answered. */
  async stop(): Promise<void> {
    if (this.isOver) return
    this.isOver = true
    await Promise.all(this.clients)
    await this.agent.destroy()
  }

  private async client(tenant: string, rate: number, next: () => number): Promise<void> {
    const start = performance.now()
    const asked: Promise<void>[] = []
    while (!this.isOver) {
      asked.push(this.ask(tenant, next()))
      const early = start + (asked.length * 1_000) / rate - performance.now()
      if (early > 0) await setTimeout(early)
    }
    await Promise.all(asked)
  }

  private async ask(tenant: string, port: number): Promise<void> {
    const answer: Seen = { at: Date.now(), tenant, status: 0, pid: 0, quota: 0 }
    this.seen.push(answer)
    try {
      const { statusCode, headers, body } = await this.agent.request({
        origin: `http://127.0.0.1:${port}`,
        path: '/',
        method: 'GET',
        headers: { 'x-tenant-id': tenant },
      })
      await body.dump()
      answer.status = statusCode
      answer.pid = Number(headers['x-pid'])
      answer.quota = Number(/;q=(\d+)/.exec(String(headers['ratelimit-policy']))?.[1])
    } catch {
      // There was no answer, and that is what is told of it.
    }
  }
}

/** How often each is there. */
export function counts<Key>(keys: Iterable<Key>): Map<Key, number> {
  const counted = new Map<Key, number>()
  for (const key of keys) counted.set(key, (counted.get(key) ?? 0) + 1)
  return counted
}
