/** What tells Tollgate's request handlers from others, across all copies of this package in a process. */

const MARK = Symbol.for('tollgate.mount')

/** What a handler says of itself. */
export interface MountMark {
  /** Whose it is. */
  limiter: symbol
  /** The rule that is charged there; undefined where all that applies is. */
  rule: string | undefined
  /** What is kept by the client's address as Express has it: tenants, requests without a tenant, or nothing. */
  addresses: 'tenants' | 'anonymous' | 'nothing'
  /** Has a request had X-Forwarded-For? */
  isForwarded: () => boolean
}

export function mark(handler: object, said: MountMark): void {
  Object.defineProperty(handler, MARK, { value: said })
}

export function markOf(handler: unknown): MountMark | undefined {
  return typeof handler === 'function' ? (handler as { [MARK]?: MountMark })[MARK] : undefined
}
