/** Real requests over real connections, at a steady rate per tenant, counted by tenant. */

import { Pool, type Dispatcher } from 'undici'
import type { Tenant } from './tenants.ts'

/** How often requests are sent, in milliseconds. */
const TICK = 10

/** Requests without a tenant that are sent before anything is counted. */
const WARM_UP = 300

export interface Count {
  tenant: Tenant
  sent: number
  admitted: number
  denied: number
  /** Answers that were neither, and requests without an answer. */
  failed: number
  /** From before the first request to the sending of the last, in seconds. */
  asking: number
  /** From before the first request to after the last answer, in seconds. */
  seconds: number
}

export interface Answer {
  status: string
  headers: Record<string, string>
  body: string
}

export interface Traffic {
  counts: Count[]
  /** The first admitted and the first refused answer. */
  allowed: Answer | undefined
  refused: Answer | undefined
}

/** Sends every tenant's requests for `seconds`, and waits for the answers. */
export async function drive(
  origin: string,
  tenants: readonly Tenant[],
  seconds: number,
  progress: (traffic: Traffic, elapsed: number) => void,
): Promise<Traffic> {
  const pool = new Pool(origin, { connections: 32, pipelining: 1 })
  // A service that has just started compiles its first requests; none of them is a tenant's.
  await Promise.all(
    Array.from({ length: WARM_UP }, () => pool.request({ path: '/', method: 'GET' }).then(read)),
  )
  const counts = tenants.map((tenant) => ({
    tenant,
    sent: 0,
    admitted: 0,
    denied: 0,
    failed: 0,
    asking: 0,
    seconds: 0,
  }))
  const traffic: Traffic = { counts, allowed: undefined, refused: undefined }
  const start = performance.now()
  const elapsed = (): number => (performance.now() - start) / 1000

  async function ask(count: Count): Promise<void> {
    count.sent += 1
    count.asking = elapsed()
    try {
      const headers = { 'x-tenant-id': count.tenant.name }
      const response = await pool.request({ path: '/', method: 'GET', headers })
      const body = await read(response)
      if (response.statusCode === 200) {
        count.admitted += 1
        traffic.allowed ??= answer('200 OK', response.headers, body)
      } else if (response.statusCode === 429) {
        count.denied += 1
        if (count.tenant.quota > 0)
          traffic.refused ??= answer('429 Too Many Requests', response.headers, body)
      } else count.failed += 1
    } catch {
      count.failed += 1
    }
    count.seconds = elapsed()
  }

  const asked: Promise<void>[] = []
  await new Promise<void>((done) => {
    const timer = setInterval(() => {
      const now = Math.min(elapsed(), seconds)
      for (const count of counts) {
        // By the clock, so a late tick sends what the ticks before it left out.
        for (const due = Math.floor(now * count.tenant.sends); count.sent < due;) asked.push(ask(count))
      }
      progress(traffic, now)
      if (now < seconds) return
      clearInterval(timer)
      done()
    }, TICK)
  })
  await Promise.all(asked)
  await pool.close()
  return traffic
}

function read(response: Dispatcher.ResponseData): Promise<string> {
  return response.body.text()
}

function answer(
  status: string,
  headers: Record<string, string | string[] | undefined>,
  body: string,
): Answer {
  const shown = Object.entries(headers).map(([name, value]) => [name, String(value)])
  return { status, headers: Object.fromEntries(shown) as Record<string, string>, body }
}
