/** How a command takes part in a fleet: as an observer, which decides on nothing. */

import { setTimeout as after } from 'node:timers/promises'
import { FleetReader, type FleetState } from '../fleet-state.ts'
import { fleetSettings, settingsJson, thisProcess, withoutPassword } from '../fleet-settings.ts'
import { addon, policyFaults, type NativeObserver } from '../native.ts'
import { resolveOptions } from '../options.ts'
import type { CommandLine } from './command-line.ts'
import { CommandError, Exit, usageError } from './exit.ts'

/** How long what a fleet has agreed on is waited for, in milliseconds, and how often it is looked for. */
const PATIENCE_MS = 5_000
const EVERY_MS = 50

export class Observer {
  private readonly reader: FleetReader

  private constructor(
    readonly deployment: NativeObserver,
    /** Without their passwords. */
    readonly backends: readonly string[],
    readonly namespace: string,
  ) {
    this.reader = new FleetReader(deployment)
  }

  /** Which backends were named, on the command line or in the environment. */
  static backends({ options }: CommandLine, env: NodeJS.ProcessEnv): string[] {
    const named = options.backend ?? env['TOLLGATE_BACKENDS']?.split(',') ?? []
    return named.map((backend) => backend.trim()).filter((backend) => backend !== '')
  }

  /**
   * @throws {@link CommandError} `refused` if the first backend does not answer, `usage` if none is named or one cannot be.
   */
  static async open(line: CommandLine, env: NodeJS.ProcessEnv): Promise<Observer> {
    const backends = Observer.backends(line, env)
    if (backends.length === 0) throw usageError('say which fleet: --backend URL, or TOLLGATE_BACKENDS')
    const namespace = line.options.namespace ?? env['TOLLGATE_NAMESPACE'] ?? 'default'
    const observer = await Observer.of(backends, namespace)
    await observer.connect()
    return observer
  }

  private static async of(backends: string[], namespace: string): Promise<Observer> {
    try {
      const settings = await resolveOptions({ backends, namespace }, policyFaults)
      const fleet = fleetSettings({ ...settings, backends })
      const sharing = fleet === undefined ? '' : settingsJson(fleet)
      const deployment = new (addon().FleetObserver)(namespace, sharing, JSON.stringify(thisProcess()))
      return new Observer(deployment, backends.map(withoutPassword), namespace)
    } catch (error) {
      throw usageError(error instanceof Error ? error.message : String(error))
    }
  }

  state(): FleetState {
    return this.reader.read()
  }

  close(): Promise<void> {
    return this.deployment.close()
  }

  private async connect(): Promise<void> {
    try {
      await this.deployment.connect()
    } catch (error) {
      throw unreachable(error)
    }
    // What the fleet has agreed on is there in a moment; of one that has agreed on nothing, nothing is.
    const deadline = performance.now() + PATIENCE_MS
    while (
      this.state().record === null &&
      this.state().reports.length === 0 &&
      performance.now() < deadline
    ) {
      await after(EVERY_MS)
    }
    const { record, failure } = this.state()
    if (record === null && failure !== null) throw unreachable(failure)
  }
}

function unreachable(error: unknown): CommandError {
  return new CommandError(Exit.refused, error instanceof Error ? error.message : String(error))
}
