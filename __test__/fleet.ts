/** A fleet of real processes: each opens the same limiter, and they are loaded together. */

import { spawn, type ChildProcess } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'
import type { LimiterStatus, RateLimitPolicyOptions } from 'tollgate'
import { Report, type Slice } from './fleet-report.ts'
import type { Load } from './load.ts'
import type { Command, News } from './orders.ts'
import type { Ending } from './redis.ts'
import { until } from './until.ts'

/** A program that is built once: sixteen processes that each compile it themselves would take longer than the tests. */
export function program(module: URL): string {
  const built = buildSync({
    entryPoints: [fileURLToPath(module)],
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    write: false,
  })
  return built.outputFiles[0]!.text
}

/** As long as a command may take, besides the load that it asks for, in milliseconds. */
const PATIENCE = 30_000

/** Where programs find `tollgate`, and what else they use. */
const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** One process. It obeys one command at a time. */
export class Instance<Options = RateLimitPolicyOptions> {
  /** Kinds of the alerts that its limiter has given. */
  readonly alerts: string[] = []
  private readonly events = new EventEmitter()
  private slices: Slice[] = []

  private constructor(private readonly child: ChildProcess) {
    child.on('message', (news: News) => {
      if ('slice' in news) this.slices.push(news.slice)
      else if ('alert' in news) this.alerts.push(news.alert)
      else this.events.emit('end', news)
    })
    child.once('exit', () => this.events.emit('end', { failed: 'the process has ended' } satisfies News))
  }

  static start<Options>(source: string): Instance<Options> {
    const args = ['--input-type=module', '--eval', source]
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const
    return new Instance(spawn(process.execPath, args, { cwd: ROOT, stdio: [...stdio] }))
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  open(options: Options): Promise<unknown> {
    return this.told({ name: 'open', options })
  }

  /** What it has seen. A process that is killed meanwhile has told all but its last tenth of a second. */
  async hammer(load: Load): Promise<Report> {
    this.slices = []
    await this.told({ name: 'hammer', load }).catch((error: unknown) => {
      if (this.alive) throw error
    })
    return new Report(this.slices)
  }

  async status(): Promise<LimiterStatus> {
    return (await this.told({ name: 'status' })) as LimiterStatus
  }

  close(): Promise<unknown> {
    return this.told({ name: 'close' })
  }

  /** Ends it on the spot (SIGKILL), as a crash does. Resolves when it is gone. */
  async kill(): Promise<void> {
    if (!this.alive) return
    this.child.kill('SIGKILL')
    await once(this.child, 'exit')
  }

  private async told(command: Command<Options>): Promise<LimiterStatus | null> {
    if (!this.alive) throw new Error(`${command.name}: the process has ended`)
    const time = PATIENCE + (command.name === 'hammer' ? command.load.milliseconds : 0)
    const signal = AbortSignal.timeout(time)
    const answer = once(this.events, 'end', { signal }).catch(() => {
      throw new Error(`${command.name}: no answer within ${time} ms`)
    })
    this.child.send(command)
    const [news] = (await answer) as [Exclude<News, { slice: Slice } | { alert: string }>]
    if ('failed' in news) throw new Error(`${command.name}: ${news.failed}`)
    return news.done
  }
}

/** Processes that wait for work: starting one takes longer than what most tests do with it. */
export class Fleet<Options = RateLimitPolicyOptions> {
  private readonly started: Instance<Options>[] = []
  private readonly idle: Instance<Options>[] = []

  constructor(
    ending: Ending,
    private readonly source = program(new URL('./fleet-process.ts', import.meta.url)),
  ) {
    ending.after(async () => void (await Promise.all(this.started.map((instance) => instance.kill()))))
  }

  /** Runs with so many instances that have opened a limiter, and closes it. Those that were killed are not used again. */
  async with<Result>(
    size: number,
    options: Options,
    run: (instances: readonly Instance<Options>[]) => Promise<Result>,
  ): Promise<Result> {
    const instances = this.idle.splice(0, size)
    while (instances.length < size) {
      const instance = Instance.start<Options>(this.source)
      this.started.push(instance)
      instances.push(instance)
    }
    for (const { alerts } of instances) alerts.length = 0
    try {
      await Promise.all(instances.map((instance) => instance.open(options)))
      const result = await run(instances)
      const alive = instances.filter((instance) => instance.alive)
      await Promise.all(alive.map((instance) => instance.close()))
      this.idle.push(...alive)
      return result
    } catch (error) {
      // What they are still doing would disturb the tests after this one.
      await Promise.all(instances.map((instance) => instance.kill()))
      throw error
    }
  }
}

/** All instances under the same load at once. */
export async function hammer(instances: readonly Pick<Instance, 'hammer'>[], load: Load): Promise<Report> {
  return Report.of(await Promise.all(instances.map((instance) => instance.hammer(load))))
}

/** Waits until each instance has heard how many they are, by which a limit is shared while there is no backend. */
export async function acquainted(instances: readonly Pick<Instance, 'status'>[]): Promise<void> {
  await until('every instance knows of the others', async () => {
    const known = await Promise.all(
      instances.map(async (instance) => (await instance.status()).liveInstances),
    )
    return known.every((live) => live === instances.length)
  })
}
