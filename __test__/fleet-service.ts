/** A service of fleet-concurrency.test.ts: a process that holds its responses back, and tells a counter of those in flight. */

import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { request } from 'undici'
import { enforceRateLimitPolicy, type RateLimitPolicyOptions } from 'tollgate'

export interface ServiceOptions {
  limiter: RateLimitPolicyOptions
  /** Where requests in flight are counted. */
  counter: string
}

process.once('message', ({ limiter: options, counter }: ServiceOptions) => {
  void serve(options, counter)
})
process.on('disconnect', () => process.exit())

async function serve(options: RateLimitPolicyOptions, counter: string): Promise<void> {
  const limiter = await enforceRateLimitPolicy(options)
  const handle = limiter.middleware()
  const count = async (event: 'begun' | 'ended'): Promise<void> => {
    await (await request(`${counter}/${event}/${process.pid}`)).body.dump()
  }

  /** Counts what is in flight for no longer than it is: who has been counted out goes on to hold the slot for a moment. */
  async function answer(res: ServerResponse, milliseconds: number): Promise<void> {
    const gone = new AbortController()
    res.once('close', () => gone.abort())
    await count('begun')
    await setTimeout(milliseconds, undefined, gone).catch(() => undefined)
    await count('ended')
    res.end()
  }

  const server = createServer((req, res) => {
    if (req.url === '/instances') return void res.end(String(limiter.status().liveInstances))
    handle(req, res, () => void answer(res, Number(req.url?.split('=')[1])))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.send?.((server.address() as AddressInfo).port)
}
