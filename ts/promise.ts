/** Tells what is there from what is still to come, so that the first need not wait. */

/** Is it a promise, or something that can be waited for like one? */
export function isPromise<Value>(value: Value | PromiseLike<Value>): value is Promise<Value> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  )
}

/** Calls `next` with the value: now if it is there, or else when it is. */
export function followed<Value, Result>(
  value: Value | Promise<Value>,
  next: (value: Value) => Result | Promise<Result>,
): Result | Promise<Result> {
  return isPromise(value) ? Promise.resolve(value).then(next) : next(value)
}
