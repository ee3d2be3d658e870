/**
 * What a middleware adds to a request: Express is handed an IncomingMessage and a ServerResponse, and no socket, so that
 * what is timed is JavaScript and the addon.
 */

import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { hitlimit } from '@joint-ops/hitlimit'
import express, { type RequestHandler } from 'express'
import { rateLimit, type Options } from 'express-rate-limit'
import { enforceRateLimitPolicy } from 'tollgate'
import { WINDOW_MS } from './limiters.ts'
import type { Contender } from './measure.ts'

/** More than any tenant sends here, and no more digits than quotas have. */
const QUOTA = 1_000
const HEADER = 'x-tenant-id'

export interface App extends Contender {
  ask(tenant: string): Promise<ServerResponse>
}

/** A bare application, and one with each middleware. `quota` is per tenant and hour. */
export async function applications(
  tenants: readonly string[],
  quota = QUOTA,
): Promise<{ apps: App[]; close(): Promise<void> }> {
  const limiter = await enforceRateLimitPolicy({
    namespace: `benchmark-requests-${quota}`,
    policyDefinition: { defaultQuota: quota, burstAllowance: 0, window: WINDOW_MS },
  })
  const peer = rateLimit(peerOptions(quota))
  const hits = hitlimit({ limit: quota, window: WINDOW_MS, key: named })
  const apps = [
    application('bare', tenants, undefined),
    application('a middleware that does nothing', tenants, (_req, _res, next) => next()),
    application('tollgate', tenants, limiter.middleware({ headers: 'draft-11' }) as RequestHandler),
    application('tollgate, draft-8', tenants, limiter.middleware({ headers: 'draft-8' }) as RequestHandler),
    application('express-rate-limit', tenants, peer),
    application('hitlimit', tenants, hits as RequestHandler),
  ]
  return { apps, close: () => limiter.close() }
}

/** express-rate-limit as the others are: by tenant, and with the same headers. */
export function peerOptions(quota: number): Partial<Options> {
  return {
    windowMs: WINDOW_MS,
    limit: quota,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    keyGenerator: named,
    validate: false,
  }
}

export function named(req: IncomingMessage): string {
  return String(req.headers[HEADER])
}

export function application(
  name: string,
  tenants: readonly string[],
  middleware: RequestHandler | undefined,
): App {
  const app = express()
  app.disable('x-powered-by')
  if (middleware !== undefined) app.use(middleware)
  app.get('/', (_req, res) => {
    res.end('ok')
  })
  const socket = new Socket()
  let next = 0

  function ask(tenant: string): Promise<ServerResponse> {
    const req = new IncomingMessage(socket)
    req.method = 'GET'
    req.url = '/'
    req.headers = { host: 'localhost', [HEADER]: tenant }
    const res = new ServerResponse(req)
    return new Promise((resolve) => {
      // Every way to answer ends here, at once or after promises.
      const { end } = res
      res.end = function answered(this: ServerResponse, ...rest: unknown[]): ServerResponse {
        Reflect.apply(end, this, rest)
        resolve(res)
        return this
      }
      app(req, res)
    })
  }

  return {
    name,
    ask,
    async run(count) {
      const start = process.hrtime.bigint()
      for (let turn = 0; turn < count; turn += 1) {
        next = next + 1 < tenants.length ? next + 1 : 0
        await ask(tenants[next] ?? '')
      }
      return Number(process.hrtime.bigint() - start) / count
    },
  }
}

/** Throws unless all answer the same requests with the same status, and say so in headers. */
export async function assertEqualAnswers(): Promise<void> {
  const { apps, close } = await applications(['acme'], 3)
  await assertThree(
    apps.filter(({ name }) => ['tollgate', 'express-rate-limit', 'hitlimit'].includes(name)),
    'acme',
  )
  await close()
}

/** Throws unless each admits three requests of a tenant and refuses two, and says so in headers. */
export async function assertThree(limited: readonly App[], tenant: string): Promise<void> {
  for (const expected of [200, 200, 200, 429, 429]) {
    for (const app of limited) {
      const res = await app.ask(tenant)
      const status = res.statusCode
      const told = res
        .getHeaderNames()
        .some((name) => name.startsWith('ratelimit') || name.startsWith('x-ratelimit'))
      if (status !== expected || !told)
        throw new Error(`${app.name} answered ${status}, not ${expected}; headers: ${told}`)
    }
  }
}
