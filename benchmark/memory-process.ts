/** The process of memory.ts: fills one limiter, and prints what it took. */

import { setTimeout } from 'node:timers/promises'
import { expressRateLimit, hitlimit, rateLimiterFlexible, tollgate, type Peer } from './limiters.ts'
import { KEYS, type Memory, type REMEMBERING } from './memory.ts'

const QUOTA = 1000
const peers: Record<(typeof REMEMBERING)[number], () => Peer | Promise<Peer>> = {
  tollgate: () => tollgate(QUOTA, 2 * KEYS),
  'express-rate-limit': () => expressRateLimit(QUOTA),
  'rate-limiter-flexible': () => rateLimiterFlexible(QUOTA),
  hitlimit: () => hitlimit(QUOTA),
}

const name = process.argv[2] as keyof typeof peers
const peer = await peers[name]()
await peer.admits('the first')
const before = await settled()
await fill((key) => `tenant-${key}`)
const after = await settled()
const perKey = (bytes: (usage: NodeJS.MemoryUsage) => number): number => (bytes(after) - bytes(before)) / KEYS
const memory: Memory = {
  name,
  resident: perKey(resident),
  heap: perKey((usage) => usage.heapUsed),
}
process.stdout.write(JSON.stringify(memory))
process.exit()

async function fill(named: (key: number) => string): Promise<void> {
  for (let key = 0; key < KEYS; key += 1) {
    // A string that nobody else keeps: what the limiter keeps of it is part of what it costs.
    await peer.admits(Buffer.from(named(key)).toString('latin1'))
    // Requests come over an event loop; without turns of it no background work is ever reported done.
    if (key % 10_000 === 0) await setTimeout(0)
  }
}

/** Without the pages that V8 keeps for what callers allocate next: they are the caller's, and shrink when it is idle. */
function resident({ rss, heapTotal, heapUsed }: NodeJS.MemoryUsage): number {
  return rss - (heapTotal - heapUsed)
}

async function settled(): Promise<NodeJS.MemoryUsage> {
  for (let turn = 0; turn < 5; turn += 1) {
    globalThis.gc?.()
    await setTimeout(100)
    // Someone decides now and then, as in a service.
    await peer.admits('the first')
  }
  return process.memoryUsage()
}
