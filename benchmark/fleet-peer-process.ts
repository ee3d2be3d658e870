/** An instance of a fleet whose limiter is rate-limiter-flexible on Redis. */

import { Redis } from 'ioredis'
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible'
import { obeyOrders } from '../__test__/orders.ts'

export interface PeerOptions {
  url: string
  namespace: string
  points: number
  /** Seconds. */
  duration: number
}

obeyOrders(async ({ url, namespace, points, duration }: PeerOptions) => {
  const client = new Redis(url, { lazyConnect: true })
  await client.connect()
  const limiter = new RateLimiterRedis({
    storeClient: client,
    keyPrefix: namespace,
    points,
    duration,
    // As its documentation recommends: who has used up all points is refused without asking Redis.
    inMemoryBlockOnConsumed: points,
  })
  return {
    consume: (tenant) =>
      limiter.consume(tenant).then(
        () => ({ allowed: true, reason: 'ok' }),
        (refusal: unknown) => {
          if (!(refusal instanceof RateLimiterRes)) throw refusal
          return { allowed: false, reason: 'quota' }
        },
      ),
    tryConsume() {
      throw new Error('rate-limiter-flexible asks Redis, and so has no answer at once')
    },
    async close() {
      await client.quit()
    },
  }
})
