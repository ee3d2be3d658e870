/** Services behind a limiter, one for each framework. */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import express from 'express'
import express4 from 'express4'
import type { Decision, Limiter, Middleware } from 'tollgate'
import { listen, type Served } from './harness.ts'

export type Answering = (req: IncomingMessage, res: ServerResponse) => void

/** A listener that answers what is admitted. */
export type Framework = (handle: Middleware, answer: Answering) => RequestListener

/** By name, with `trust proxy` where there is such a thing. */
export const FRAMEWORKS: readonly [name: string, Framework][] = [
  ['Express 4', (handle, answer) => express4().set('trust proxy', 1).use(handle, answer)],
  ['Express 5', (handle, answer) => express().set('trust proxy', 1).use(handle, answer)],
  ['node:http', plain],
]

function plain(handle: Middleware, answer: Answering): RequestListener {
  return async (req, res) => {
    if (await handle(req, res)) answer(req, res)
  }
}

/** An Express application behind a limiter, both of which close with the server. */
export async function served(limiter: Limiter, app = express()): Promise<Served> {
  app.set('trust proxy', 1)
  app.use(limiter.middleware(), (_req, res) => void res.end('in'))
  const server = await listen(app)
  return {
    ...server,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await limiter.close()
    },
  }
}

/** What each limit has left, by name. */
export function left({ limits }: Decision): Record<string, number> {
  return Object.fromEntries(limits.map(({ rule, remaining }) => [rule, remaining]))
}
