/** Does something once, when a response has ended. */

import type { ServerResponse } from 'node:http'
import { isPromise } from './promise.ts'

/** When to give a cost back. */
export interface RefundRule {
  /** Of successful responses? */
  successful: boolean
  /** Of the others, and of requests whose client has gone away? */
  failed: boolean
}

/** Calls `done` once: with true if the response was sent, with false if the client has gone away before. */
export function whenDone(res: ServerResponse, done: (sent: boolean) => void): void {
  const settle = (): void => {
    // `close` follows `finish` where there is a socket; a client that goes away leaves only `close`.
    res.off('finish', settle)
    res.off('close', settle)
    done(res.writableEnded)
  }
  // Whose client went away while a tenant was being looked up hears no more of it.
  if (res.destroyed || res.writableFinished) return settle()
  res.on('finish', settle)
  res.on('close', settle)
}

/** Says whether a cost is to be given back, once it is known whether the response was successful. */
export function judgeRefund(
  sent: boolean,
  rule: RefundRule,
  wasSuccessful: () => boolean | Promise<boolean>,
  settle: (refund: boolean) => void,
  onError: (error: unknown) => void,
): void {
  const judged = (success: boolean): void => settle(success ? rule.successful : rule.failed)
  // What cannot be judged stays charged.
  const failed = (error: unknown): void => {
    settle(false)
    onError(error)
  }
  if (!sent) return judged(false)
  try {
    const success = wasSuccessful()
    if (isPromise(success)) success.then(judged).catch(failed)
    else judged(success)
  } catch (error) {
    failed(error)
  }
}
