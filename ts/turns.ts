/** Takes turns: what is asked for is done one after the other, in the order in which it was asked for. */

export class Turns {
  private last: Promise<unknown> = Promise.resolve()

  /** Acts once everything before has been done, or has failed. */
  take<Result>(act: () => Promise<Result>): Promise<Result> {
    const taken = this.last.then(act)
    this.last = taken.catch(() => undefined)
    return taken
  }

  /** Tells this moment from one at which more has been asked for. */
  get end(): unknown {
    return this.last
  }
}
