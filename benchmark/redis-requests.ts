/** What a middleware adds to a request where its limit is shared through Redis. */

import type { RequestHandler, Response } from 'express'
import { rateLimit } from 'express-rate-limit'
import { Redis } from 'ioredis'
import { RedisStore, type RedisReply } from 'rate-limit-redis'
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible'
import { enforceRateLimitPolicy } from 'tollgate'
import { WINDOW_MS } from './limiters.ts'
import { measure, type Contender, type Measured } from './measure.ts'
import { application, assertThree, named, peerOptions, type App } from './requests.ts'

/** More than a tenant sends here. */
const QUOTA = 1_000_000
const IN_FLIGHT = 32

export interface Added {
  /** One request after another: what a client waits longer. */
  alone: Measured[]
  /** 32 at once: what a server that is busy has to do more. */
  together: Measured[]
}

/** `count` requests of each contender in each round, over so few tenants that each of them is in use. */
export async function redisRequests(
  url: string,
  tenants: readonly string[],
  rounds: number,
  count: number,
): Promise<Added> {
  await assertEqual(url)
  const { apps, close } = await applications(url, tenants, QUOTA)
  const alone = await measure(apps, rounds, count)
  const together = await measure(
    apps.map((app) => atOnce(app, tenants)),
    rounds,
    count,
  )
  await close()
  return { alone, together }
}

async function assertEqual(url: string): Promise<void> {
  const { apps, close } = await applications(url, ['acme'], 3)
  await assertThree(
    apps.filter(({ name }) => name !== 'bare'),
    'acme',
  )
  await close()
}

async function applications(
  url: string,
  tenants: readonly string[],
  quota: number,
): Promise<{ apps: App[]; close(): Promise<void> }> {
  const namespace = `benchmark-requests-${quota}-redis`
  const policyDefinition = { defaultQuota: quota, burstAllowance: 0, window: WINDOW_MS }
  const inProcess = await enforceRateLimitPolicy({ namespace: `${namespace}-not`, policyDefinition })
  // Others take their turns meanwhile, for longer than a lease lasts by default; who is in use is not idle for so long.
  const shared = await enforceRateLimitPolicy({
    namespace,
    policyDefinition,
    backends: [url],
    leaseTtl: '20s',
  })
  const client = new Redis(url)
  const peer = rateLimit({
    ...peerOptions(quota),
    store: new RedisStore({
      prefix: `erl-${quota}:`,
      sendCommand: (command: string, ...args: string[]) =>
        client.call(command, ...args) as Promise<RedisReply>,
    }),
  })
  const apps = [
    application('bare', tenants, undefined),
    application('tollgate', tenants, inProcess.middleware() as RequestHandler),
    application('tollgate, Redis', tenants, shared.middleware() as RequestHandler),
    application('rate-limiter-flexible, Redis', tenants, flexible(client, quota)),
    application('express-rate-limit, Redis', tenants, peer),
  ]
  return {
    apps,
    async close() {
      await Promise.all([inProcess.close(), shared.close(), client.quit()])
    },
  }
}

/** As its documentation has it in Express. */
function flexible(client: Redis, quota: number): RequestHandler {
  const limiter = new RateLimiterRedis({
    storeClient: client,
    keyPrefix: `flexible-${quota}`,
    points: quota,
    duration: WINDOW_MS / 1000,
  })
  const told = (res: Response, { remainingPoints, msBeforeNext }: RateLimiterRes): void => {
    res.set({
      'Retry-After': String(msBeforeNext / 1000),
      'X-RateLimit-Limit': String(quota),
      'X-RateLimit-Remaining': String(remainingPoints),
      'X-RateLimit-Reset': String(Math.ceil((Date.now() + msBeforeNext) / 1000)),
    })
  }
  return async (req, res, next) => {
    try {
      told(res, await limiter.consume(named(req)))
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal
      told(res, refusal)
      res.status(429).send('Too Many Requests')
      return
    }
    next()
  }
}

function atOnce(app: App, tenants: readonly string[]): Contender {
  let next = 0
  const following = (): string => tenants[(next += 1) % tenants.length] ?? ''
  return {
    name: app.name,
    async run(count) {
      const start = process.hrtime.bigint()
      for (let asked = 0; asked < count; asked += IN_FLIGHT)
        await Promise.all(Array.from({ length: IN_FLIGHT }, () => app.ask(following())))
      return Number(process.hrtime.bigint() - start) / (Math.ceil(count / IN_FLIGHT) * IN_FLIGHT)
    },
  }
}
