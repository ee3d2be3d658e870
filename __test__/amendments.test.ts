import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { test } from 'node:test'
import type { AddressInfo } from 'node:net'
import {
  enforceRateLimitPolicy,
  TollgateClosedError,
  TollgateConfigError,
  TollgateInputError,
} from 'tollgate'
import type { Limiter, PolicyEvent } from 'tollgate'
import { fakeClock } from './harness.ts'
import { thread } from './threads.ts'

const clock = fakeClock()

/** 60 a minute for everybody, and 600 for acme. */
function limiterOf(namespace: string, more: object = {}): Promise<Limiter> {
  const policyDefinition = { defaultQuota: 60, burstAllowance: 0, tenantOverrides: { acme: 600 } }
  return enforceRateLimitPolicy({ namespace, clock: clock.now, policyDefinition, ...more })
}

test('a raised quota adds exactly the difference, a lowered one stops at empty', async () => {
  await using limiter = await limiterOf('amend-difference')
  limiter.tryConsume('acme', { cost: 100 })
  await limiter.upsertTenant('acme', 1000)
  assert.equal(limiter.peek('acme').remaining, 900)
  await limiter.upsertTenant('acme', { quota: 50, burst: 10, window: '1s' })
  assert.deepEqual(
    { ...limiter.peek('acme') },
    { ...limiter.peek('acme'), remaining: 0, limit: 60, allowed: false },
  )
  clock.advance(1000)
  assert.equal(limiter.peek('acme').remaining, 50)
})

test('a tenant is named while requests go on, and is unnamed again', async () => {
  await using limiter = await limiterOf('amend-name', { unknownTenant: 'reject' })
  assert.equal(limiter.tryConsume('globex').reason, 'denied')
  await limiter.upsertTenant('globex', { quota: 5 })
  assert.equal(limiter.tryConsume('globex').remaining, 4)
  assert.equal(await limiter.removeTenant('globex'), true)
  assert.equal(await limiter.removeTenant('globex'), false)
  assert.equal(limiter.tryConsume('globex').reason, 'denied')
})

test('changes that come together are made together, and the last word counts', async () => {
  await using limiter = await limiterOf('amend-batch')
  const names = Array.from({ length: 500 }, (_, index) => `tenant-${index}`)
  const changes = names.flatMap((name) => [limiter.upsertTenant(name, 1), limiter.upsertTenant(name, 7)])
  const removed = limiter.removeTenant('acme')
  await Promise.all(changes)
  assert.equal(await removed, true)
  for (const name of names) assert.equal(limiter.peek(name).limit, 7)
  assert.equal(limiter.peek('acme').limit, 60)
  assert.equal(limiter.status().policy.tenants, 500)
  assert.equal(limiter.status().policy.revision, 2)
})

test('a change is an event, and has a number and a hash', async () => {
  await using limiter = await limiterOf('amend-event')
  const before = limiter.status().policy
  const events: PolicyEvent[] = []
  limiter.on('policy', (event) => events.push(event))
  await limiter.upsertTenant('globex', 'unlimited')
  assert.equal(events.length, 1)
  assert.equal(events[0]?.revision, 2)
  assert.notEqual(events[0]?.hash, before.hash)
  await limiter.removeTenant('globex')
  assert.deepEqual(limiter.status().policy, {
    ...before,
    revision: 3,
    limits: limiter.status().policy.limits,
  })
})

test('what is not a tenant or a quota is refused, and changes nothing', async () => {
  const limiter = await limiterOf('amend-bad')
  const { hash } = limiter.status().policy
  await assert.rejects(limiter.upsertTenant('acme', -1), (error) => {
    assert.ok(error instanceof TollgateConfigError)
    assert.equal(error.path, 'quota')
    return true
  })
  await assert.rejects(limiter.upsertTenant('acme', { quota: 5, burts: 1 } as never), /did you mean burst/)
  await assert.rejects(limiter.upsertTenant('', 5), TollgateInputError)
  await assert.rejects(limiter.removeTenant('x'.repeat(257)), TollgateInputError)
  assert.equal(limiter.status().policy.hash, hash)
  await limiter.close()
  await assert.rejects(limiter.upsertTenant('acme', 5), TollgateClosedError)
})

test('headers tell the limit that decided, before and after a change', async () => {
  await using limiter = await limiterOf('amend-headers')
  const handle = limiter.middleware()
  const server = createServer((req, res) => {
    if (handle(req, res) === true) res.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const policy = async (): Promise<string | null> => {
    const { port } = server.address() as AddressInfo
    const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { 'x-tenant-id': 'acme' } })
    return response.headers.get('ratelimit-policy')
  }
  assert.equal(await policy(), '"default";q=600;w=60')
  await limiter.upsertTenant('acme', { quota: 600, window: '1h' })
  assert.equal(await policy(), '"default";q=600;w=3600')
  await limiter.upsertTenant('acme', 'unlimited')
  assert.equal(await policy(), null)
  server.closeAllConnections()
  server.close()
})

test('a thread that joins later has the changes, under the policy that the namespace began with', async () => {
  await using limiter = await limiterOf('amend-join')
  await limiter.upsertTenant('globex', 7)
  limiter.tryConsume('globex', { cost: 2 })
  const worker = thread(`
    import { enforceRateLimitPolicy } from 'tollgate'
    import { parentPort } from 'node:worker_threads'
    const limiter = await enforceRateLimitPolicy({
      namespace: 'amend-join',
      clock: () => ${clock.now()},
      policyDefinition: { defaultQuota: 60, burstAllowance: 0, tenantOverrides: { acme: 600 } },
    })
    parentPort.postMessage(limiter.tryConsume('globex').remaining)
  `)
  const [remaining] = (await once(worker, 'message')) as [number]
  assert.equal(remaining, 4)
  await worker.terminate()
})

test('while tenants change, a tenant that nobody changes loses and gains nothing', async () => {
  await using limiter = await limiterOf('amend-load')
  let admitted = 0
  const done = Promise.all(
    Array.from({ length: 40 }, async (_, index) => {
      await new Promise(setImmediate)
      await limiter.upsertTenant(`tenant-${index}`, index + 1)
    }),
  )
  const state = { changing: true }
  void done.finally(() => (state.changing = false))
  while (state.changing) {
    for (let turn = 0; turn < 50; turn += 1) admitted += Number(limiter.tryConsume('acme').allowed)
    await new Promise(setImmediate)
  }
  await done
  while (limiter.tryConsume('acme').allowed) admitted += 1
  assert.equal(admitted, 600)
})
