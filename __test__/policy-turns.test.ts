import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enforceRateLimitPolicy, TollgateClosedError, TollgateConfigError } from 'tollgate'
import type { AlertEvent, Limiter, PolicyDefinition, TenantOverrides } from 'tollgate'

function limiterOf(policyDefinition: PolicyDefinition): Promise<Limiter> {
  const definition = { burstAllowance: 0, ...policyDefinition }
  return enforceRateLimitPolicy({ namespace: 'turns', clock: () => 0, policyDefinition: definition })
}

/** A loader that answers when it is told to, once it has answered for the first time. */
class Loader {
  private answer: ((tenants: TenantOverrides) => void) | undefined
  private asked: () => void = () => undefined
  private calls = 0

  readonly load = (): TenantOverrides | Promise<TenantOverrides> => {
    this.calls += 1
    if (this.calls === 1) return { acme: 1 }
    this.asked()
    return new Promise((resolve) => (this.answer = resolve))
  }

  /** Resolves when it is called again. */
  readonly called = new Promise<void>((resolve) => (this.asked = resolve))

  answers(tenants: TenantOverrides): void {
    this.answer?.(tenants)
  }
}

/** Lets the event loop, and with it the addon's threads, go on for some turns. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate)
}

async function later(): Promise<TenantOverrides> {
  await turns(20)
  return { acme: 1 }
}

test('tenants that were asked for before a policy was applied do not undo it', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const loader = new Loader()
  await using limiter = await limiterOf({ tenantOverrides: loader.load, tenantRefresh: '1m' })
  context.mock.timers.tick(60_000)
  await loader.called
  // The same but for its tenants.
  await limiter.applyPolicy({ burstAllowance: 0, tenantOverrides: { acme: 9 } })
  loader.answers({ acme: 2 })
  await turns(50)
  assert.equal(limiter.peek('acme').limit, 9)
})

test('while tenants are loaded again, nobody waits for them', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const loader = new Loader()
  await using limiter = await limiterOf({ tenantOverrides: loader.load, tenantRefresh: '1m' })
  context.mock.timers.tick(60_000)
  await loader.called
  await limiter.upsertTenant('acme', 7)
  assert.equal(limiter.peek('acme').limit, 7)
  await limiter.applyPolicy({ burstAllowance: 0, defaultQuota: 5 })
  assert.equal(limiter.peek('acme').limit, 5)
})

test('changes are made in the order in which they are asked for', async () => {
  await using limiter = await limiterOf({})
  const first = limiter.upsertTenant('globex', 3)
  const applied = limiter.applyPolicy({
    burstAllowance: 0,
    tenantOverrides: later,
    tiers: { pro: 50 },
  })
  const second = limiter.upsertTenant('acme', 'pro')
  const removed = limiter.removeTenant('globex')
  await Promise.all([first, applied, second])
  assert.deepEqual([limiter.peek('acme').limit, limiter.peek('globex').limit], [50, 100])
  // It went with the policy that it was named in.
  assert.equal(await removed, false)
})

test('a change at fault is refused alone, and what was given is read at once', async () => {
  await using limiter = await limiterOf({ tiers: { pro: 50 } })
  const given = { quota: 5 }
  const changes = [
    limiter.upsertTenant('acme', given),
    limiter.upsertTenant('globex', 'enterprise'),
    limiter.upsertTenant('globex', undefined as never),
    limiter.upsertTenant('initech', 'pro'),
  ]
  given.quota = -1
  const results = await Promise.allSettled(changes)
  assert.deepEqual(
    results.map((result) => (result.status === 'rejected' ? (result.reason as Error).constructor : 'made')),
    ['made', TollgateConfigError, TollgateConfigError, 'made'],
  )
  const limits = ['acme', 'globex', 'initech'].map((tenant) => limiter.peek(tenant).limit)
  assert.deepEqual(limits, [5, 100, 50])
})

test('a limiter that is closed meanwhile changes nothing, and says so', async () => {
  const limiter = await limiterOf({})
  const changes = [limiter.applyPolicy({ tenantOverrides: later }), limiter.upsertTenant('acme', 5)]
  const settled = Promise.allSettled(changes)
  await turns(2)
  await limiter.close()
  for (const result of await settled) {
    assert.equal(result.status, 'rejected')
    assert.ok(result.status === 'rejected' && result.reason instanceof TollgateClosedError)
  }
})

test('whose policy another limiter has replaced is told once, until it is in force again', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const state = { loads: 0 }
  const load = (): TenantOverrides => {
    state.loads += 1
    return { acme: 5 }
  }
  const begun = { burstAllowance: 0, tenantOverrides: () => ({ acme: 5 }), tenantRefresh: '1m' }
  await using one = await limiterOf(begun)
  await using other = await limiterOf({ ...begun, tenantOverrides: load })
  const alerts: AlertEvent['kind'][] = []
  other.on('alert', ({ kind }) => alerts.push(kind))
  // What was loaded is dealt with before it is loaded again.
  const refreshed = async (): Promise<void> => {
    const enough = state.loads + 3
    while (state.loads < enough) {
      context.mock.timers.tick(60_000)
      await turns(1)
    }
  }
  await one.upsertTenant('globex', 5)
  await refreshed()
  assert.deepEqual(alerts, [])
  await one.applyPolicy({ burstAllowance: 0, defaultQuota: 7 })
  await refreshed()
  assert.deepEqual([alerts, other.peek('acme').limit], [['policy-superseded'], 7])
  await one.applyPolicy(begun)
  await refreshed()
  await one.applyPolicy({ burstAllowance: 0, defaultQuota: 8 })
  await refreshed()
  assert.deepEqual(alerts, ['policy-superseded', 'policy-superseded'])
})
