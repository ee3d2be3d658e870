/** Does something once, when a response has ended. */

import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { isPromise } from './promise.ts'

/** When to give a cost back. */
export interface RefundRule {
  /** Of successful responses? */
  successful: boolean
  /** Of the others, and of requests whose client has gone away? */
  failed: boolean
}

/** Has the response been answered, or has its client gone away? */
export function isOver(res: ServerResponse): boolean {
  return res.writableEnded || hasEnded(res, connectionOf(res))
}

/** A response that waits for those before it on its connection has no socket yet, and does not hear of its end. */
function connectionOf(res: ServerResponse): Socket | undefined {
  return res.socket === null ? res.req.socket : undefined
}

function hasEnded(res: ServerResponse, connection: Socket | undefined): boolean {
  return res.destroyed || res.writableFinished || connection?.destroyed === true
}

/** Calls `done` once: with true if the response was sent, with false if the client has gone away before. */
export function whenDone(res: ServerResponse, done: (sent: boolean) => void): void {
  const connection = connectionOf(res)
  const settle = (): void => {
    // `close` follows `finish` where there is a socket; a client that goes away leaves only `close`.
    res.off('finish', settle)
    res.off('close', settle)
    if (connection !== undefined) closing.get(connection)?.delete(settle)
    done(res.writableEnded)
  }
  // Whose client went away while a tenant was being looked up hears no more of it.
  if (hasEnded(res, connection)) return settle()
  res.on('finish', settle)
  res.on('close', settle)
  if (connection !== undefined) whenClosed(connection, settle)
}

/** What there is to do when a connection closes: one listener, however many requests are on their way. */
const closing = new WeakMap<Socket, Set<() => void>>()

function whenClosed(connection: Socket, call: () => void): void {
  let calls = closing.get(connection)
  if (calls === undefined) {
    const added = new Set<() => void>()
    connection.once('close', () => {
      for (const each of added) each()
    })
    closing.set(connection, added)
    calls = added
  }
  calls.add(call)
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
