/** A service of the tests of rollouts: a cluster worker with one Express app behind a limiter. */

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import {
  enforceRateLimitPolicy,
  type ApplyOptions,
  type History,
  type Limiter,
  type LimiterStatus,
  type PolicyDefinition,
  type RateLimitPolicyOptions,
  type RolloutResult,
} from 'tollgate'

/** What a service can be told to do, and what it answers. */
export interface Orders {
  open(options: RateLimitPolicyOptions): Promise<Ports>
  /** Resolves when the rollout is over. */
  apply(definition: PolicyDefinition, options: ApplyOptions): Promise<RolloutResult>
  cancel(): Promise<void>
  confirm(): Promise<void>
  status(): LimiterStatus
  history(): Promise<History>
  /** From now on one of so many requests fails that are decided on by a policy of this limit. */
  failUnder(limit: number, oneOf: number): void
  /** Waits until a policy of this limit decides; gives when it was first seen to, in milliseconds of the machine's clock. */
  swapped(limit: number): Promise<number>
}

export interface Ports {
  /** That of all workers together. */
  shared: number
  /** That of this one alone. */
  own: number
}

/** An order on its way: what is told, and by which number it is answered. */
export interface Order {
  number: number
  name: keyof Orders
  given: unknown[]
}

export type Answered = { number: number; done: unknown } | { number: number; failed: string }

let limiter: Limiter
let rollout: ReturnType<Limiter['applyPolicy']> | undefined
let failing: { limit: number; oneOf: number } | undefined
let seen = 0

const app = express()

const orders: Orders = {
  async open(options) {
    limiter = await enforceRateLimitPolicy(options)
    app.use(limiter.middleware())
    app.use((req, res) => {
      const fails = req.rateLimit?.limit === failing?.limit && (seen += 1) % failing!.oneOf === 0
      res.status(fails ? 503 : 200).end()
    })
    return { shared: await listening(false), own: await listening(true) }
  },
  apply(definition, options) {
    rollout = limiter.applyPolicy(definition, options)
    return rollout
  },
  cancel: async () => rollout?.cancel(),
  confirm: async () => rollout?.confirm(),
  status: () => limiter.status(),
  history: () => limiter.history(500),
  failUnder(limit, oneOf) {
    failing = { limit, oneOf }
  },
  async swapped(limit) {
    while (limiter.peek('nobody').limit !== limit) await new Promise((resolve) => setTimeout(resolve, 1))
    return performance.timeOrigin + performance.now()
  },
}

/** Says by which process it is answered: a client tells them apart by that. */
async function listening(exclusive: boolean): Promise<number> {
  const server: Server = createServer((req, res) => {
    res.setHeader('x-pid', process.pid)
    app(req, res)
  })
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', exclusive }, resolve))
  return (server.address() as AddressInfo).port
}

process.on('message', ({ number, name, given }: Order) => {
  const obey = orders[name] as (...given: unknown[]) => unknown
  Promise.resolve()
    .then(() => obey(...given))
    .then(
      (done = null) => ({ number, done }),
      (error: unknown) => ({ number, failed: String(error) }),
    )
    .then(answer)
})
// It hears from now on: what a cluster worker was told before is lost.
answer({ number: 0, done: null })

function answer(answered: Answered): void {
  // A primary that is gone hears nothing any more.
  process.send?.(answered, undefined, undefined, () => undefined)
}
