/** Worker threads of a test: modules written down in it. */

import { Worker } from 'node:worker_threads'

/** Runs a module in a thread of its own; it can import `tollgate`, and anything of Node's. */
export function thread(source: string): Worker {
  const resolved = source.replaceAll("'tollgate'", JSON.stringify(import.meta.resolve('tollgate')))
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(resolved)}`))
}
