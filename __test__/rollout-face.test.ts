import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { after, test, type TestContext } from 'node:test'
import {
  enforceRateLimitPolicy,
  TollgateConfigError,
  TollgateRolloutError,
  type AlertEvent,
  type Limiter,
  type PolicyEvent,
  type RateLimitPolicyOptions,
  type Rollout,
  type RolloutEvent,
  type RolloutResult,
  type StageLog,
} from 'tollgate'
import { FleetWatch } from '../ts/fleet-watch.ts'
import type { FleetState } from '../ts/fleet-state.ts'
import { Fleet } from './fleet.ts'
import { redisServer } from './redis.ts'
import { until } from './until.ts'

/** Judged for a moment. There is no traffic in these tests, so what is to be locked has to be confirmed. */
const SHORT = { observationWindow: '300ms', minSamples: 1 } as const
const STAGES = [
  'topology_scan',
  'policy_compilation',
  'redis_topology_validation',
  'policy_injection',
  'traffic_validation',
] as const

let namespaces = 0

async function limiterOf(t: TestContext, options: RateLimitPolicyOptions = {}): Promise<Limiter> {
  const limiter = await enforceRateLimitPolicy({ namespace: `rollout-face-${++namespaces}`, ...options })
  t.after(() => limiter.close())
  return limiter
}

function statusOf(rollout: Pick<Rollout, 'log'>, name: StageLog['stage']): string {
  return rollout.log.stages.find(({ stage }) => stage === name)!.status
}

/** Takes too little traffic for enough, once traffic is looked at. */
async function confirmed<Result extends RolloutResult>(rollout: Rollout<Result>): Promise<Result> {
  await until('traffic is looked at', () => statusOf(rollout, 'traffic_validation') === 'running')
  await rollout.confirm()
  return rollout
}

test('options of rollouts are checked, and all faults are told', async () => {
  const options = {
    rollbackThreshold: 2,
    rollout: {
      strategy: 'canary',
      steps: [0.5, 0.1],
      observationWindow: '2d',
      minSamples: 0,
      burstRatio: 0.5,
      window: '1s',
    },
  } as unknown as RateLimitPolicyOptions
  await assert.rejects(enforceRateLimitPolicy(options), (error) => {
    assert.ok(error instanceof TollgateConfigError)
    assert.deepEqual(error.issues.map(({ path }) => path).toSorted(), [
      'rollbackThreshold',
      'rollout.burstRatio',
      'rollout.minSamples',
      'rollout.observationWindow',
      'rollout.steps',
      'rollout.strategy',
      'rollout.window',
    ])
    return true
  })
  for (const [rollout, path] of [
    [{ strategy: 'simultaneous', steps: [1] }, 'rollout.steps'],
    [{ lead: '5s' }, 'rollout.lead'],
    [{ deadline: '10s' }, 'rollout.deadline'],
  ] as const) {
    await assert.rejects(enforceRateLimitPolicy({ rollout }), (error) => {
      assert.ok(error instanceof TollgateConfigError)
      assert.equal(error.path, path)
      return true
    })
  }
})

test('without backends and without options about rollouts, a policy is in force at once', async (t) => {
  const limiter = await limiterOf(t)
  const rollout = limiter.applyPolicy({ defaultQuota: 50, tenantOverrides: { acme: 5 } })
  const { status, revision, report: compiled, log } = await rollout
  assert.deepEqual([status, revision, compiled.tenants], ['locked', 2, 1])
  assert.deepEqual(
    log.stages.map(({ stage, status: how }) => [stage, how]),
    STAGES.map((stage) => [stage, /compilation|injection/.test(stage) ? 'passed' : 'skipped']),
  )
  assert.match(log.execution_id!, /^infra_rl_\d{4}(_\d\d){5}$/)
  assert.match(log.start_timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  const compilation = log.stages.find((stage) => stage.stage === 'policy_compilation')!
  assert.deepEqual(compilation.output!.diff, ['default.quota: 100 → 50', 'tenant "acme" is new: 5'])
  assert.equal(limiter.status().fleet, null)
})

test('a policy that is at fault never becomes a rollout', async (t) => {
  const limiter = await limiterOf(t, { rollout: SHORT })
  const rollout = limiter.applyPolicy({ defaultQuota: -1 })
  const events: RolloutEvent[] = []
  await assert.rejects(async () => {
    for await (const event of rollout) events.push(event)
  }, TollgateConfigError)
  await assert.rejects(rollout, TollgateConfigError)
  assert.equal(rollout.id, null)
  assert.equal(statusOf(rollout, 'policy_compilation'), 'failed')
  assert.equal(events.at(-1)!.kind, 'stage')
  await assert.rejects(rollout.confirm(), TollgateRolloutError)
  const faulty = { rollout: { observationWindow: 'soon' } }
  await assert.rejects(limiter.applyPolicy({}, faulty), { path: 'applyPolicy.rollout.observationWindow' })
})

test('a rollout in a process by itself tells what happens, from the first stage to the end', async (t) => {
  const limiter = await limiterOf(t, { rollout: SHORT })
  const rollout = limiter.applyPolicy({ defaultQuota: 50 })
  const told: string[] = []
  let isConfirmed = false
  for await (const event of rollout) {
    told.push(event.kind === 'stage' ? `${event.stage.stage} ${event.stage.status}` : event.kind)
    if (told.at(-1) !== 'traffic_validation running' || isConfirmed) continue
    isConfirmed = true
    assert.equal(limiter.status().rollout!.id, rollout.id)
    await rollout.confirm()
  }
  const { status, log } = await rollout
  assert.equal(status, 'locked')
  assert.equal(log.outcome!.status, 'locked')
  assert.equal(told[0], 'topology_scan running')
  assert.equal(told.at(-1), 'locked')
  const firsts = STAGES.map((stage) => told.findIndex((event) => event.startsWith(stage)))
  assert.deepEqual(
    firsts,
    firsts.toSorted((one, other) => one - other),
  )
  assert.equal(limiter.peek('acme').limit, 70)
  assert.equal(limiter.status().rollout, null)
  // Whoever comes late is told all the same.
  const late: string[] = []
  for await (const { kind } of rollout) late.push(kind)
  assert.equal(late.at(-1), 'locked')

  const history = await limiter.history()
  assert.equal(history.intact, true)
  assert.ok(
    history.entries.some(({ event, execution_id }) => event === 'locked' && execution_id === rollout.id),
  )
})

test('too little traffic until the deadline is inconclusive, and the policy is rolled back', async (t) => {
  const limiter = await limiterOf(t)
  const alerts: AlertEvent[] = []
  limiter.on('alert', (alert) => alerts.push(alert))
  const rollout = limiter.applyPolicy({ defaultQuota: 50 }, { rollout: { ...SHORT, deadline: '400ms' } })
  const { status, reason } = await rollout
  assert.equal(status, 'rolled_back')
  assert.match(reason!, /too little traffic/)
  assert.equal(statusOf(rollout, 'traffic_validation'), 'inconclusive')
  assert.equal(limiter.peek('acme').limit, 120)
  await until('it is an alert', () => alerts.some(({ kind }) => kind === 'policy-rolled-back'))
})

test('a policy that would refuse too much of what a tenant sends is rolled back, and says whose', async (t) => {
  const policyDefinition = {
    defaultQuota: 1_000_000,
    burstAllowance: 0,
    tenantOverrides: { acme: 1_000_000 },
  }
  const limiter = await limiterOf(t, { policyDefinition })
  const traffic = setInterval(() => {
    for (let request = 0; request < 10; request += 1) limiter.tryConsume('acme')
  }, 5)
  t.after(() => clearInterval(traffic))
  const options = { rollout: { observationWindow: '20s', minSamples: 50 } }
  const rollout = limiter.applyPolicy({ ...policyDefinition, tenantOverrides: { acme: 5 } }, options)
  const { status, reason, log } = await rollout
  assert.equal(status, 'rolled_back')
  assert.match(reason!, /^decision_flips is 0\.\d+ .* of the (fleet|tenant "acme")$/)
  const validation = log.stages.find((stage) => stage.stage === 'traffic_validation')!
  assert.equal(validation.status, 'failed')
  const failed = validation.threshold_checks.filter(({ verdict }) => verdict === 'failed')
  assert.ok(failed.some(({ scope }) => scope !== 'fleet' && scope.tenant.name === 'acme'))
  assert.ok(failed.every(({ value, threshold }) => value > threshold && threshold === 0.05))
})

test('a fleet', async (t) => {
  const redis = await redisServer({ after })
  const fleet = new Fleet({ after })
  const options = {
    namespace: 'rollout-face',
    policyDefinition: { defaultQuota: 100, burstAllowance: 0 },
    backends: [redis.url],
    rollout: SHORT,
  }
  const limiter = await enforceRateLimitPolicy(options)
  t.after(() => limiter.close())
  await fleet.with(1, options, async ([other]) => {
    await until('both have one policy', async () => {
      const { fleet: known } = limiter.status()
      return known!.instances.filter(({ revision }) => revision === 1).length === 2
    })

    await t.test('comes to another policy, which every instance enforces', async () => {
      const policies: PolicyEvent[] = []
      const rollouts: string[] = []
      limiter.on('policy', (event) => policies.push(event))
      limiter.on('rollout', ({ kind }) => rollouts.push(kind))
      const rollout = limiter.applyPolicy({ defaultQuota: 50, burstAllowance: 0 }, { proposer: 'a test' })
      const { status, revision, log } = await confirmed(rollout)
      assert.deepEqual([status, revision], ['locked', 2])
      const [topology, compilation, backends, injection] = log.stages as [
        StageLog,
        StageLog,
        StageLog,
        StageLog,
      ]
      assert.ok('findings' in topology && 'output' in compilation && 'findings' in backends)
      assert.equal(topology.findings.filter(({ kind }) => kind === 'instance').length, 2)
      assert.ok(
        topology.findings.some(
          ({ kind, address }) => kind === 'redis_node' && address === `127.0.0.1:${redis.port}`,
        ),
      )
      assert.deepEqual(compilation.output!.diff, ['default.quota: 100 → 50'])
      assert.ok(backends.findings.some(({ eviction_policy: policy }) => policy === 'noeviction'))
      assert.ok('instances_updated' in injection)
      assert.deepEqual([injection.instances_updated, injection.instances_pending], [2, 0])
      await until('both enforce it', async () => {
        const known = (await other!.status()).fleet!
        return known.revision!.number === 2 && known.instances.every((instance) => instance.revision === 2)
      })
      await until('it is told', () =>
        policies.some(({ kind, revision: number }) => kind === 'applied' && number === 2),
      )
      await until('its end is told', () => rollouts.at(-1) === 'locked')
      const { entries } = await limiter.history()
      assert.ok(entries.some(({ event, by }) => event === 'proposed' && by === 'a test'))
    })

    await t.test('refuses what is active, and a second rollout meanwhile', async () => {
      const same = limiter.applyPolicy({ defaultQuota: 50, burstAllowance: 0 })
      await assert.rejects(same, (error) => {
        assert.ok(error instanceof TollgateRolloutError)
        assert.equal(error.code, 'TOLLGATE_ROLLOUT_REFUSED')
        assert.match(error.message, /the active one already/)
        return true
      })
      const rollout = limiter.applyPolicy({ defaultQuota: 10, burstAllowance: 0 })
      await until('it has begun', () => rollout.id !== null)
      await assert.rejects(limiter.applyPolicy({ defaultQuota: 11 }), /is under way/)
      await rollout.cancel()
      const { status, reason, revision } = await rollout
      assert.deepEqual([status, revision], ['rolled_back', 2])
      assert.match(reason!, /cancelled it/)
    })

    await t.test('does not try again what was rolled back, unless it is forced', async () => {
      const definition = { defaultQuota: 10, burstAllowance: 0 }
      await assert.rejects(limiter.applyPolicy(definition), /was rolled back/)
      const { status } = await confirmed(limiter.applyPolicy(definition, { force: true }))
      assert.equal(status, 'locked')
      assert.equal(limiter.status().fleet!.revision!.number, 4)
    })

    await t.test('goes back', async () => {
      await assert.rejects(limiter.rollback(99), /no revision 99/)
      const { status, revision, log } = await limiter.rollback(1, { rollout: { patience: '5s' } })
      assert.deepEqual([status, revision], ['locked', 5])
      assert.equal(log.stages.find(({ stage }) => stage === 'traffic_validation')!.status, 'skipped')
      await until('both have gone back', async () => {
        const { instances } = (await other!.status()).fleet!
        return instances.every((instance) => instance.revision === 5)
      })
    })

    await t.test('does not begin on a backend that is not fit for it', async () => {
      await redis.cli('config', 'set', 'maxmemory', '100mb')
      await redis.cli('config', 'set', 'maxmemory-policy', 'allkeys-lru')
      const rollout = limiter.applyPolicy({ defaultQuota: 20 })
      await assert.rejects(rollout, (error) => {
        assert.ok(error instanceof TollgateRolloutError)
        assert.match(error.message, /not fit for a rollout.*allkeys-lru/)
        assert.equal(error.log!.stages[2]!.status, 'failed')
        return true
      })
      const { status } = await confirmed(limiter.applyPolicy({ defaultQuota: 20 }, { force: true }))
      assert.equal(status, 'locked')
    })
  })
})

/** A fleet of which only the test tells. */
function watched(): {
  watch: FleetWatch
  alerts: AlertEvent[]
  tell: (state: Partial<FleetState>) => void
  time: { now: number }
} {
  const events = new EventEmitter()
  const alerts: AlertEvent[] = []
  events.on('alert', (alert: AlertEvent) => alerts.push(alert))
  const time = { now: 0 }
  let state: FleetState = { record: null, reports: [], log: null, failure: null }
  const watch = new FleetWatch({
    reader: { read: () => state },
    events,
    patienceMs: 1_000,
    now: () => time.now,
  })
  return { watch, alerts, time, tell: (told) => (state = { ...state, ...told }) }
}

function report(pid: string, revision: number): FleetState['reports'][number] {
  const enforces = { number: revision, hash: `hash ${revision}` }
  return {
    role: 'instance',
    enforces,
    refuses: null,
    host: 'a',
    pid,
    node_version: '20',
    package_version: '1',
  }
}

const record = {
  active: { number: 2, hash: 'hash 2' },
  earlier: [],
  refused: [],
  rollout: null,
  last_execution: null,
}

test('an instance that stays on another revision is told of once, when patience is over', () => {
  const { watch, alerts, tell, time } = watched()
  tell({ record, reports: [report('1', 2), report('2', 1)] })
  watch.look()
  time.now = 1_000
  watch.look()
  assert.equal(alerts.length, 0)
  time.now = 1_001
  watch.look()
  watch.look()
  assert.deepEqual(
    alerts.map(({ kind, instance }) => [kind, instance]),
    [['instance-diverged', { host: 'a', pid: '2' }]],
  )
  assert.match(String(alerts.at(-1)?.error), /is at revision 1, and 2 is active/)
})

test('an instance that comes round in time, or takes part in a rollout, is told of never', () => {
  const { watch, alerts, tell, time } = watched()
  tell({ record, reports: [report('2', 1)] })
  watch.look()
  time.now = 900
  tell({ reports: [report('2', 2)] })
  watch.look()
  const rollout = {
    execution_id: 'infra_rl',
    candidate: { number: 3, hash: 'hash 3' },
    from: record.active,
    strategy: 'simultaneous' as const,
    phase: { name: 'validating' as const, step: 0 },
    settings: { patience: 1 },
    proposer: 'a test',
    forced: false,
  }
  tell({ record: { ...record, rollout }, reports: [report('2', 3)] })
  watch.look()
  time.now = 5_000
  watch.look()
  assert.deepEqual(alerts, [])
})

test('an image that an instance refuses is told of once', () => {
  const { watch, alerts, tell } = watched()
  const refuses = { revision: { number: 3, hash: 'hash 3' }, why: 'it is cut off' }
  tell({ record, reports: [{ ...report('1', 2), refuses }] })
  watch.look()
  tell({ reports: [{ ...report('1', 2), refuses }] })
  watch.look()
  assert.deepEqual(
    alerts.map(({ kind }) => kind),
    ['image-refused'],
  )
})
