import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Request, RequestHandler } from 'express'
import { enforceRateLimitPolicy } from 'tollgate'
import { application, routes, seeded, targets, type Route } from './path-cases.ts'

const SEED = 20_260_401
/** 100,000 requests. */
const POLICIES = 50
const ROUTES = 40
const REQUESTS = 50

/** The names of the rules that a request was charged to. */
function charged(req: Request): string[] {
  const { limits } = req.rateLimit as unknown as { limits: { rule: string }[] }
  return limits.map(({ rule }) => rule)
}

/** A limiter with a rule for each of the routes, named by its place. */
function limiterOf(namespace: string, declared: Route[], { caseSensitive, strict }: Route) {
  const policyDefinition = {
    defaultQuota: 1_000_000_000,
    caseSensitivePaths: caseSensitive,
    strictPaths: strict,
    rules: declared.map(({ pattern, method }, index) => ({
      name: `rule-${index}`,
      match: { path: pattern, ...(method === 'all' ? {} : { method: method.toUpperCase() }) },
      quota: 1_000_000_000,
      // Rules that do the same are one.
      burst: index,
    })),
  }
  return enforceRateLimitPolicy({ namespace, policyDefinition })
}

test('whatever reaches a route of Express was charged to the rule of its path', async (t) => {
  const random = seeded(SEED)
  const route = routes(random)
  let reached = 0
  let tried = 0
  for (let policy = 0; policy < POLICIES; policy++) {
    const [caseSensitive, strict] = [policy % 5 === 0, policy % 3 === 0]
    const declared = Array.from({ length: ROUTES }, () => ({ ...route(), caseSensitive, strict }))
    const limiter = await limiterOf(`${t.name} ${policy}`, declared, declared[0] as Route)
    for (const [index, one] of declared.entries()) {
      const ask = application(one, limiter.middleware() as RequestHandler)
      const target = targets(random, one)
      for (let count = 0; count < REQUESTS; count++) {
        const sent = target()
        const req = await ask(sent)
        tried += 1
        if (req === undefined) continue
        reached += 1
        const rules = charged(req)
        assert.ok(
          rules.includes(`rule-${index}`),
          `${sent.method} ${JSON.stringify(sent.url)} reached ${JSON.stringify(one)} and was charged to ${rules.join()}`,
        )
      }
    }
    await limiter.close()
  }
  assert.equal(tried, 100_000)
  assert.ok(reached > 20_000, `${reached} of ${tried} requests reached their route`)
})
