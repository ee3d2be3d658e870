/** Loads tenants again and again. */

export class Refreshing {
  private timer: NodeJS.Timeout | undefined
  /** Counts the calls of {@link every}: what an earlier one began does not go on. */
  private turn = 0

  constructor(
    private readonly reload: () => Promise<void>,
    private readonly onError: (error: unknown) => void,
  ) {}

  /**
   * From now on, reloads so often, from the end of one call to the start of the next; not at all if it is undefined. The timer
   * keeps no process alive.
   */
  every(everyMs: number | undefined): void {
    clearTimeout(this.timer)
    this.turn += 1
    if (everyMs !== undefined) this.wait(everyMs, this.turn)
  }

  stop(): void {
    this.every(undefined)
  }

  private wait(everyMs: number, turn: number): void {
    this.timer = setTimeout(() => void this.again(everyMs, turn), everyMs)
    this.timer.unref()
  }

  private async again(everyMs: number, turn: number): Promise<void> {
    try {
      await this.reload()
    } catch (error) {
      if (turn === this.turn) this.onError(error)
    }
    if (turn === this.turn) this.wait(everyMs, turn)
  }
}
