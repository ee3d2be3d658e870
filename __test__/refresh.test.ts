import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { enforceRateLimitPolicy, TollgateConfigError } from 'tollgate'
import type { Limiter, LimiterEvents, TenantOverrides } from 'tollgate'
import { fakeClock } from './harness.ts'

const clock = fakeClock()

function limiterOf(
  namespace: string,
  load: () => TenantOverrides | Promise<TenantOverrides>,
): Promise<Limiter> {
  const policyDefinition = { defaultQuota: 60, burstAllowance: 0, tenantOverrides: load, tenantRefresh: '1m' }
  return enforceRateLimitPolicy({ namespace, clock: clock.now, policyDefinition })
}

/** The next event of a name; a refresh is started by moving the timers. */
function next<Name extends keyof LimiterEvents>(limiter: Limiter, name: Name): Promise<LimiterEvents[Name]> {
  return new Promise((resolve) => {
    const listener = (event: LimiterEvents[Name]): void => {
      limiter.off(name, listener)
      resolve(event)
    }
    limiter.on(name, listener)
  })
}

const acmeHas600 = (): TenantOverrides => ({ acme: 600 })

async function assertNotRefreshed(policyDefinition: object): Promise<void> {
  await assert.rejects(enforceRateLimitPolicy({ namespace: 'refresh-bad', policyDefinition }), (error) => {
    assert.ok(error instanceof TollgateConfigError)
    assert.equal(error.path, 'policyDefinition.tenantRefresh')
    return true
  })
}

test('tenants are loaded again, and keep what they have spent', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let quota = 600
  await using limiter = await limiterOf('refresh', async () => ({ acme: quota }))
  limiter.tryConsume('acme', { cost: 100 })
  quota = 1000
  const changed = next(limiter, 'policy')
  context.mock.timers.tick(60_000)
  assert.equal((await changed).kind, 'refreshed')
  assert.equal(limiter.peek('acme').remaining, 900)
  assert.equal(limiter.status().policy.revision, 2)
})

test('a loader that fails keeps the last tenants, raises an alert, and is called again', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let load = acmeHas600
  await using limiter = await limiterOf('refresh-failure', () => load())
  load = () => {
    throw new Error('no database')
  }
  const thrown = next(limiter, 'alert')
  context.mock.timers.tick(60_000)
  const alert = await thrown
  assert.equal(alert.kind, 'tenant-refresh-failed')
  assert.match(String(alert.error), /no database/)
  assert.equal(limiter.peek('acme').limit, 600)

  load = () => ({ acme: -1 })
  const refused = next(limiter, 'alert')
  await new Promise(setImmediate)
  context.mock.timers.tick(60_000)
  assert.ok((await refused).error instanceof TollgateConfigError)
  assert.equal(limiter.peek('acme').limit, 600)

  load = () => ({ acme: 700 })
  const changed = next(limiter, 'policy')
  await new Promise(setImmediate)
  context.mock.timers.tick(60_000)
  await changed
  assert.equal(limiter.peek('acme').limit, 700)
})

test('a limiter that is closed loads no more', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const load = mock.fn(acmeHas600)
  const limiter = await limiterOf('refresh-close', load)
  await limiter.close()
  context.mock.timers.tick(600_000)
  await new Promise(setImmediate)
  assert.equal(load.mock.callCount(), 1)
})

test('who refreshes may join with other tenants than those in force', async () => {
  await using first = await limiterOf('refresh-join', () => ({ acme: 600 }))
  await using second = await limiterOf('refresh-join', () => ({ acme: 700 }))
  first.tryConsume('acme')
  assert.equal(second.peek('acme').remaining, 599)
})

test('only what can be loaded again can be refreshed', async () => {
  await assertNotRefreshed({ tenantOverrides: { acme: 5 }, tenantRefresh: '1m' })
  await assertNotRefreshed({ tenantRefresh: '1m' })
  await assertNotRefreshed({ tenantOverrides: acmeHas600, tenantRefresh: '1ms' })
  await assertNotRefreshed({ tenantOverrides: acmeHas600, tenantRefresh: '60d' })
})
