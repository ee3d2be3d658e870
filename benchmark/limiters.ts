/** The limiters that are compared, each as its documentation has it used, behind one question. */

import { memoryStore } from '@joint-ops/hitlimit'
import { MemoryStore } from 'express-rate-limit'
import { RateLimiter } from 'limiter'
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import { enforceRateLimitPolicy } from 'tollgate'
import { awaiting, calling, type Contender } from './measure.ts'

/** A window that no measurement outlasts, so that all count alike. */
export const WINDOW_MS = 3_600_000

export interface Peer {
  name: string
  /** As it is timed. */
  contender(names: readonly string[]): Contender
  /** Is the request admitted? */
  admits(name: string): boolean | Promise<boolean>
  close(): void | Promise<void>
}

let namespaces = 0

export async function tollgate(quota: number, maxKeys: number): Promise<Peer> {
  const limiter = await enforceRateLimitPolicy({
    namespace: `benchmark-${(namespaces += 1)}`,
    policyDefinition: { defaultQuota: quota, burstAllowance: 0, window: WINDOW_MS },
    maxKeys,
    keyShare: 1,
  })
  return {
    name: 'tollgate',
    contender: (names) => calling('tollgate', names, (name) => limiter.tryConsume(name)),
    admits: (name) => limiter.tryConsume(name).allowed,
    close: () => limiter.close(),
  }
}

export function expressRateLimit(quota: number): Peer {
  const store = new MemoryStore()
  store.init({ windowMs: WINDOW_MS } as Parameters<MemoryStore['init']>[0])
  return {
    name: 'express-rate-limit',
    contender: (names) => awaiting('express-rate-limit', names, (name) => store.increment(name)),
    admits: async (name) => (await store.increment(name)).totalHits <= quota,
    close: () => store.shutdown(),
  }
}

export function rateLimiterFlexible(quota: number): Peer {
  const limiter = new RateLimiterMemory({ points: quota, duration: WINDOW_MS / 1000 })
  return {
    name: 'rate-limiter-flexible',
    contender: (names) => awaiting('rate-limiter-flexible', names, (name) => limiter.consume(name)),
    admits: (name) =>
      limiter.consume(name).then(
        () => true,
        (refusal: unknown) => {
          if (refusal instanceof RateLimiterRes) return false
          throw refusal
        },
      ),
    close: () => undefined,
  }
}

export function hitlimit(quota: number): Peer {
  const store = memoryStore()
  const hit = (name: string): number => {
    const result = store.hit(name, WINDOW_MS, quota)
    if (result instanceof Promise) throw new Error('the memory store is synchronous')
    return result.count
  }
  return {
    name: 'hitlimit',
    contender: (names) => calling('hitlimit', names, hit),
    admits: (name) => hit(name) <= quota,
    close: () => store.shutdown?.(),
  }
}

/** `limiter` limits one thing; its users keep one per key in a Map. */
export function limiterPerKey(quota: number): Peer {
  const limiters = new Map<string, RateLimiter>()
  const remove = (name: string): boolean => {
    let limiter = limiters.get(name)
    if (limiter === undefined) {
      limiter = new RateLimiter({ tokensPerInterval: quota, interval: WINDOW_MS })
      limiters.set(name, limiter)
    }
    return limiter.tryRemoveTokens(1)
  }
  return {
    name: 'limiter',
    contender: (names) => calling('limiter', names, remove),
    admits: remove,
    close: () => undefined,
  }
}

export async function everyPeer(quota: number, maxKeys: number): Promise<Peer[]> {
  const others = [expressRateLimit(quota), rateLimiterFlexible(quota), hitlimit(quota), limiterPerKey(quota)]
  return [await tollgate(quota, maxKeys), ...others]
}

/** Throws unless all admit the same of the same requests. */
export async function assertEqualDecisions(): Promise<void> {
  const quota = 5
  const peers = await everyPeer(quota, 10_000)
  for (let step = 0; step < 2_000; step += 1) {
    const name = `tenant-${(step * step) % 97}`
    const answers = await Promise.all(peers.map((peer) => peer.admits(name)))
    if (new Set(answers).size > 1) {
      const told = peers.map((peer, index) => `${peer.name}: ${String(answers[index])}`).join(', ')
      throw new Error(`request ${step}, of ${name}: ${told}`)
    }
  }
  await Promise.all(peers.map((peer) => peer.close()))
}
