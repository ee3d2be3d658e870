/** Two policies judged on the same live requests, over real HTTP. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import express from 'express'
import { enforceRateLimitPolicy } from 'tollgate'
import type { Limiter, MiddlewareOptions, PolicyDefinition, RateLimitPolicyOptions } from 'tollgate'
import type { Gate } from '../ts/gate.ts'
import { policyFaults, type NativeJudged, type NativeTallies } from '../ts/native.ts'
import { resolveOptions } from '../ts/options.ts'
import { PolicySource } from '../ts/policy-source.ts'
import { fakeClock, listen, type Served } from './harness.ts'

/** What a comparison is driven by: the agent of a rollout has it, and a limiter shows it to nobody. */
function gateOf(limiter: Limiter): Gate {
  return (limiter as unknown as { gate: Gate }).gate
}

async function compare(
  limiter: Limiter,
  definition: PolicyDefinition,
  round: { step?: number; candidateDecides?: boolean } = {},
): Promise<void> {
  const settings = await resolveOptions(
    { policyDefinition: { burstAllowance: 0, ...definition } },
    policyFaults,
  )
  const policy = await new PolicySource(settings).compile(settings)
  gateOf(limiter).compare(policy, 2, round.step ?? 0, round.candidateDecides ?? false)
}

function talliesOf(limiter: Limiter): NativeTallies {
  const tallies = gateOf(limiter).tallies()
  assert.ok(tallies !== undefined)
  return tallies
}

function judgedOf(limiter: Limiter, tenant: string): NativeJudged | undefined {
  return talliesOf(limiter).tenants.find(({ name }) => name === tenant)?.judged
}

interface Compared extends AsyncDisposable {
  limiter: Limiter
  server: Served
  ask: (tenant: string, path?: string) => Promise<number>
}

interface Setup {
  options?: Partial<RateLimitPolicyOptions>
  middleware?: MiddlewareOptions
}

async function served(definition: PolicyDefinition, setup: Setup = {}): Promise<Compared> {
  const policyDefinition = { burstAllowance: 0, ...definition }
  const limiter = await enforceRateLimitPolicy({
    namespace: 'comparison',
    clock: () => 0,
    ...setup.options,
    policyDefinition,
  })
  const app = express()
  app.use(limiter.middleware(setup.middleware))
  app.get('/fails', (_req, res) => void res.status(503).end())
  app.use((_req, res) => void res.end('in'))
  app.use((_error: Error, _req: express.Request, res: express.Response, _next: express.NextFunction) => {
    res.status(500).end()
  })
  const server = await listen(app)
  return {
    limiter,
    server,
    ask: async (tenant, path = '/') => (await server.get(path, { 'x-tenant-id': tenant })).status,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await limiter.close()
    },
  }
}

async function times(count: number, ask: () => Promise<number>): Promise<number[]> {
  const statuses: number[] = []
  for (let asked = 0; asked < count; asked++) statuses.push(await ask())
  return statuses
}

test('a small tenant that a candidate cuts is seen, though the fleet hardly is, and nobody is refused', async () => {
  await using service = await served({ defaultQuota: 100 })
  await compare(service.limiter, { defaultQuota: 100, tenantOverrides: { small: 8 } })
  const statuses = await times(10, () => service.ask('small'))
  for (let tenant = 0; tenant < 20; tenant++) {
    statuses.push(...(await times(10, () => service.ask(`tenant-${tenant}`))))
  }
  assert.ok(statuses.every((status) => status === 200))
  assert.deepEqual(judgedOf(service.limiter, 'small'), {
    requests: 10,
    conforming: 10,
    now_denied: 2,
    now_admitted: 0,
    breaches: 0,
  })
  const { judged, round } = talliesOf(service.limiter)
  assert.deepEqual(round, { revision: 2, step: 0 })
  assert.deepEqual([judged.requests, judged.now_denied], [210, 2])
})

test('errors are counted for the policy that decided', async () => {
  await using service = await served({ defaultQuota: 5 }, { middleware: { statusCode: 503 } })
  await compare(service.limiter, { defaultQuota: 5 })
  await times(3, () => service.ask('acme', '/fails'))
  await service.ask('acme')
  await compare(service.limiter, { defaultQuota: 5 }, { candidateDecides: true })
  await service.ask('acme', '/fails')
  assert.equal(await service.ask('acme'), 503, 'refused, which is no error')
  const { by_old, by_candidate } = talliesOf(service.limiter)
  assert.deepEqual(by_old, { requests: 4, server_errors: 3, limiter_errors: 0 })
  assert.deepEqual(by_candidate, { requests: 2, server_errors: 1, limiter_errors: 0 })
})

test('a candidate with rules is compared with a policy that has none, and the other way round', async () => {
  const rules: PolicyDefinition['rules'] = [
    { name: 'search', match: { path: '/search' }, quota: 2 },
    { name: 'region', match: { path: '/maps' }, per: ['tenant', 'region'], quota: 3 },
  ]
  const keys = { region: () => 'eu' }
  const plain = { defaultQuota: 100 }
  for (const candidateDecides of [false, true]) {
    const [live, other] = candidateDecides ? [{ ...plain, rules }, plain] : [plain, { ...plain, rules }]
    await using service = await served(live, { options: { keys } })
    const options = { policyDefinition: { burstAllowance: 0, ...other }, keys }
    const settings = await resolveOptions(options, policyFaults)
    const policy = await new PolicySource(settings).compile(settings)
    assert.equal(await service.ask('acme', '/search'), 200, 'before anything is compared')
    gateOf(service.limiter).compare(policy, 2, 0, candidateDecides)
    await times(5, () => service.ask('acme', '/search'))
    await times(5, () => service.ask('acme', '/maps'))
    await times(5, () => service.ask('acme', '/else'))
    const { requests, now_denied, now_admitted } = talliesOf(service.limiter).judged
    // One search had been charged before the comparison began, which only the policy with rules knew of.
    const denied = candidateDecides ? 6 : 5
    assert.deepEqual([requests, now_denied, now_admitted], [15, denied, 0])
  }
})

test('a key that only the other policy reads, and that throws, fails no request', async () => {
  const keys = {
    region: (): string => {
      throw new Error('no region')
    },
  }
  await using service = await served({ defaultQuota: 100 }, { options: { keys } })
  const definition = { burstAllowance: 0, rules: [{ name: 'region', per: 'region', quota: 1 }] }
  const settings = await resolveOptions({ policyDefinition: definition, keys }, policyFaults)
  const policy = await new PolicySource(settings).compile(settings)
  gateOf(service.limiter).compare(policy, 2, 0, false)
  assert.deepEqual(await times(3, () => service.ask('acme')), [200, 200, 200])
  assert.equal(talliesOf(service.limiter).judged.requests, 3)
  // In force, it fails all of them.
  await using other = await served(definition, { options: { keys, namespace: 'comparison-live' } })
  await compare(other.limiter, { defaultQuota: 100 }, { candidateDecides: true })
  assert.deepEqual(await times(3, () => other.ask('acme')), [500, 500, 500])
  assert.deepEqual(talliesOf(other.limiter).by_candidate, {
    requests: 3,
    server_errors: 0,
    limiter_errors: 3,
  })
})

/** A rule for each of these keys. */
function rulesOf(keys: string[]): NonNullable<PolicyDefinition['rules']> {
  return keys.map((name) => ({ name, per: name, quota: 3 }))
}

test('two policies may ask for twice as many keys as one', async () => {
  const names = Array.from({ length: 32 }, (_, index) => `key-${index}`)
  const keys = Object.fromEntries(names.map((name) => [name, () => name]))
  const live = { defaultQuota: 100, rules: rulesOf(names.slice(0, 16)) }
  await using service = await served(live, { options: { keys } })
  const definition = { defaultQuota: 100, burstAllowance: 0, rules: rulesOf(names.slice(16)) }
  const settings = await resolveOptions({ policyDefinition: definition, keys }, policyFaults)
  gateOf(service.limiter).compare(await new PolicySource(settings).compile(settings), 2, 0, false)
  assert.deepEqual(await times(4, () => service.ask('acme')), [200, 200, 200, 429])
  const { requests, conforming, now_denied, now_admitted } = talliesOf(service.limiter).judged
  assert.deepEqual([requests, conforming, now_denied, now_admitted], [4, 3, 0, 0])
})

test('what is given back is given back under both policies', async () => {
  await using service = await served({ defaultQuota: 10 }, { middleware: { skipSuccessfulRequests: true } })
  await compare(service.limiter, { defaultQuota: 5 })
  await times(40, () => service.ask('acme'))
  assert.deepEqual(judgedOf(service.limiter, 'acme'), {
    requests: 40,
    conforming: 40,
    now_denied: 0,
    now_admitted: 0,
    breaches: 0,
  })
})

test('rewards and penalties are those of both', async () => {
  await using service = await served({ defaultQuota: 10 })
  await compare(service.limiter, { defaultQuota: 10 }, { candidateDecides: true })
  service.limiter.penalize('acme', 8)
  await times(4, () => service.ask('acme'))
  service.limiter.reset('acme')
  await times(4, () => service.ask('acme'))
  const { conforming, now_denied, now_admitted } = talliesOf(service.limiter).judged
  assert.deepEqual([conforming, now_denied, now_admitted], [6, 0, 0])
})

test('a tenant that is always at its limit is not cut by a policy that says the same', async () => {
  const clock = fakeClock()
  await using service = await served({ defaultQuota: 60 }, { options: { clock: clock.now } })
  while (service.limiter.tryConsume('acme').allowed);
  await compare(service.limiter, { defaultQuota: 60 }, { candidateDecides: true })
  for (let second = 0; second < 30; second++) {
    clock.advance(1_000)
    await times(3, () => service.ask('acme'))
  }
  const { conforming, now_denied, now_admitted } = talliesOf(service.limiter).judged
  assert.deepEqual([conforming, now_denied, now_admitted], [30, 0, 0])
})

test('what is peeked at is not judged; what is consumed without HTTP is', async () => {
  await using service = await served({ defaultQuota: 10 })
  const { limiter } = service
  await compare(limiter, { defaultQuota: 3 })
  limiter.peek('acme')
  for (let asked = 0; asked < 3; asked++) limiter.tryConsume('acme')
  await limiter.consume('acme', { cost: 2 })
  const { judged, by_old } = talliesOf(limiter)
  assert.deepEqual([judged.requests, judged.now_denied], [4, 1])
  assert.equal(by_old.requests, 0)
})

test('another round counts anew, and one that has ended counts nothing', async () => {
  await using service = await served({ defaultQuota: 10 })
  const { limiter } = service
  await compare(limiter, { defaultQuota: 1 })
  await times(2, () => service.ask('acme'))
  await compare(limiter, { defaultQuota: 1 })
  assert.equal(talliesOf(limiter).judged.now_denied, 1, 'the same round goes on')
  await compare(limiter, { defaultQuota: 1 }, { step: 1 })
  assert.equal(talliesOf(limiter).judged.requests, 0)
  await times(3, () => service.ask('acme'))
  assert.equal(talliesOf(limiter).judged.requests, 3)
  gateOf(limiter).endComparison()
  assert.equal(gateOf(limiter).tallies(), undefined)
  assert.equal(await service.ask('acme'), 200)
})

test('every limiter of a namespace takes part, those that came before it and those that come after', async () => {
  await using service = await served({ defaultQuota: 100 })
  const options = {
    namespace: 'comparison',
    clock: () => 0,
    policyDefinition: { burstAllowance: 0, defaultQuota: 100 },
  }
  const before = await enforceRateLimitPolicy(options)
  await compare(service.limiter, { defaultQuota: 1 })
  const after = await enforceRateLimitPolicy(options)
  for (const limiter of [before, after, service.limiter]) limiter.tryConsume('acme')
  assert.deepEqual([talliesOf(before).judged.requests, talliesOf(after).judged.now_denied], [3, 2])
  await before.close()
  await after.close()
})

test('a comparison goes on when a tenant is given another quota meanwhile', async () => {
  await using service = await served({ defaultQuota: 10 })
  await compare(service.limiter, { defaultQuota: 5, rules: [{ name: 'x', match: { path: '/x' }, quota: 1 }] })
  await times(2, () => service.ask('acme', '/x'))
  await service.limiter.upsertTenant('acme', 20)
  await times(2, () => service.ask('acme', '/x'))
  const { requests, conforming, now_denied } = talliesOf(service.limiter).judged
  assert.deepEqual([requests, conforming, now_denied], [4, 4, 3])
})
