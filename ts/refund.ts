/** Gives a cost back when a response has ended as a mount says. */

import type { ServerResponse } from 'node:http'
import { isPromise } from './promise.ts'

/** When to give a cost back. */
export interface RefundRule {
  /** Of successful responses? */
  successful: boolean
  /** Of the others, and of requests whose client has gone away? */
  failed: boolean
}

/** Calls `refund` once, when the response has ended and the rule says so. */
export function refundWhenDone(
  res: ServerResponse,
  rule: RefundRule,
  wasSuccessful: () => boolean | Promise<boolean>,
  refund: () => void,
  onError: (error: unknown) => void,
): void {
  const settle = (success: boolean): void => {
    if (success ? rule.successful : rule.failed) refund()
  }
  const done = (): void => {
    // `close` follows `finish` where there is a socket; a client that goes away leaves only `close`.
    res.off('finish', done)
    res.off('close', done)
    if (!res.writableEnded) return settle(false)
    try {
      const success = wasSuccessful()
      if (isPromise(success)) success.then(settle).catch(onError)
      else settle(success)
    } catch (error) {
      onError(error)
    }
  }
  res.on('finish', done)
  res.on('close', done)
}
