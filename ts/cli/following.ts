/** Follows a rollout to its end, or leaves it to the fleet. */

import { createInterface } from 'node:readline/promises'
import { setTimeout as after } from 'node:timers/promises'
import { userInfo, hostname } from 'node:os'
import type { RolloutResult } from '../rollout-types.ts'
import type { RunningRollout } from '../rollout.ts'
import { Exit, type ExitCode } from './exit.ts'
import type { Observer } from './observer.ts'
import { showProgress } from './progress.ts'
import type { Terminal } from './terminal.ts'

/** Who wants it, for the audit trail. */
export function person(): string {
  try {
    return `${userInfo().username}@${hostname()}`
  } catch {
    // A container's user may have no name.
    return `someone@${hostname()}`
  }
}

/** Asks a person; where nobody can be asked, the answer is yes. */
export async function agreed(terminal: Terminal, question: string): Promise<boolean> {
  if (!terminal.asks) return true
  return /^y(es)?$/i.test((await answer(terminal, `${question} [y/N] `)).trim())
}

async function answer(
  { streams: { stdin, stdout } }: Terminal,
  question: string,
  signal?: AbortSignal,
): Promise<string> {
  const lines = createInterface({ input: stdin, output: stdout })
  try {
    return await lines.question(question, signal === undefined ? {} : { signal })
  } finally {
    lines.close()
  }
}

/** Shows a rollout until it is over; Ctrl-C asks whether to cancel it or to leave it to the fleet, and again cancels it. */
export async function follow(
  rollout: RunningRollout,
  observer: Observer,
  terminal: Terminal,
): Promise<ExitCode> {
  const interruption = new Interruption(rollout, observer, terminal)
  try {
    const shown = terminal.isJson ? Promise.resolve() : showProgress(rollout, terminal)
    const ended = await Promise.race([Promise.all([rollout, shown]), interruption.left])
    if (ended === undefined) {
      terminal.json(rollout.log)
      return Exit.inconclusive
    }
    return concluded(ended[0], terminal)
  } finally {
    interruption.end()
  }
}

function concluded({ status, revision, reason, log }: RolloutResult, terminal: Terminal): ExitCode {
  terminal.json(log)
  if (status === 'locked') {
    terminal.line(
      `\n${terminal.paint('green', 'locked')}: revision ${revision} is active (${log.execution_id})`,
    )
    return Exit.done
  }
  const why = reason === undefined ? '' : `: ${reason}`
  terminal.line(
    `\n${terminal.paint('red', 'rolled back')} to revision ${revision}${why} (${log.execution_id})`,
  )
  const isInconclusive = log.stages.some((stage) => stage.status === 'inconclusive')
  return isInconclusive ? Exit.inconclusive : Exit.failed
}

/** Phases in which another instance goes on with a rollout whose driver is gone; in others it rolls back. */
const GOES_ON = new Set(['validating', 'promoting', 'rolling_back'])
const EVERY_MS = 50

class Interruption {
  /** Resolves once the rollout is left to the fleet. */
  readonly left: Promise<undefined>
  private leave: () => void = () => undefined
  private readonly asking = new AbortController()
  private isAsked = false

  constructor(
    private readonly rollout: RunningRollout,
    private readonly observer: Observer,
    private readonly terminal: Terminal,
  ) {
    this.left = new Promise((resolve) => (this.leave = () => resolve(undefined)))
    process.on('SIGINT', this.interrupted)
    process.on('SIGTERM', this.terminated)
  }

  end(): void {
    process.off('SIGINT', this.interrupted)
    process.off('SIGTERM', this.terminated)
    this.asking.abort()
  }

  private readonly interrupted = (): void => {
    if (this.isAsked) return void this.cancel()
    this.isAsked = true
    void this.ask()
  }

  private readonly terminated = (): void => void this.leaveToFleet()

  private async ask(): Promise<void> {
    const { terminal } = this
    if (!terminal.asks) {
      terminal.error('interrupt again to cancel the rollout, or terminate to leave it to the fleet')
      return
    }
    const question = '\nCancel the rollout, or leave it to the fleet? [c/l, Ctrl-C cancels] '
    const said = await answer(terminal, question, this.asking.signal).catch(() => 'c')
    if (/^l/i.test(said.trim())) await this.leaveToFleet()
    else await this.cancel()
  }

  private async cancel(): Promise<void> {
    this.asking.abort()
    if (this.rollout.id === null) return this.leave()
    await this.rollout.cancel().catch((error: unknown) => {
      this.terminal.error(error instanceof Error ? error.message : String(error))
    })
  }

  /** Not before another instance would go on with it. */
  private async leaveToFleet(): Promise<void> {
    while (this.isUndecided()) await after(EVERY_MS)
    this.terminal.line('the fleet goes on with the rollout: `tollgate status` tells how it stands')
    this.leave()
  }

  private isUndecided(): boolean {
    const rollout = this.observer.state().record?.rollout
    return rollout !== undefined && rollout !== null && !GOES_ON.has(rollout.phase.name)
  }
}
