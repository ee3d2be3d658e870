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
  const said = await answer(terminal, `${question} [y/N] `)
  return /^y(es)?$/i.test(said?.trim() ?? '')
}

/** Nothing if it is interrupted, or there is nobody any more. */
async function answer(
  terminal: Terminal,
  question: string,
  ended?: AbortSignal,
): Promise<string | undefined> {
  const { stdin: input, stdout: output } = terminal.streams
  const lines = createInterface({ input, output })
  const interrupted = new AbortController()
  const interrupt = (): void => interrupted.abort()
  lines.on('SIGINT', interrupt).on('close', interrupt)
  ended?.addEventListener('abort', interrupt)
  terminal.isAsking = true
  try {
    return await lines.question(question, { signal: interrupted.signal })
  } catch {
    return undefined
  } finally {
    terminal.isAsking = false
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
  private isOver = false

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
    this.isOver = true
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
    const said = await answer(terminal, question, this.asking.signal)
    if (said !== undefined && /^l/i.test(said.trim())) await this.leaveToFleet()
    else if (!this.isOver) await this.cancel()
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
