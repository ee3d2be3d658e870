/** Rollouts of a real fleet: four cluster workers under HTTP load, on a real Redis Cluster. */

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { ApplyOptions, PolicyDefinition, RolloutResult } from 'tollgate'
import { redisCluster } from './redis-cluster.ts'
import { agreed, counts, services, Traffic, type Seen, type Service } from './rollout-fleet.ts'
import { until } from './until.ts'

const SIZE = 4
const cluster = await redisCluster({ after })
const fleet = await services({ after }, SIZE, {
  backends: cluster.urls.slice(0, 1),
  namespace: 'rollout-fleet',
  policyDefinition: policy(1_000),
})
const pids = fleet.map(({ pid }) => pid)
const proposing = fleet[0]!

/** A quota of its own for each policy: what decides on a request is told by it. */
function policy(defaultQuota: number, more: PolicyDefinition = {}): PolicyDefinition {
  return { defaultQuota, burstAllowance: 0, window: 100, ...more }
}

const quick: ApplyOptions = { rollout: { observationWindow: '1s', minSamples: 20 } }

function apply(definition: PolicyDefinition, options: ApplyOptions = quick): Promise<RolloutResult> {
  return proposing.tell('apply', definition, options)
}

/** Requests of many tenants, to all workers alike. */
function traffic(
  more: Readonly<Record<string, number>> = {},
  ports = fleet.map((one) => one.ports.own),
): Traffic {
  const tenants = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`tenant-${index}`, 20]))
  return new Traffic({ after }, { ...tenants, ...more }, ports)
}

async function everywhere(revision: number): Promise<void> {
  await until(`all are at revision ${revision}`, async () => (await agreed(fleet))?.number === revision)
}

function statuses(seen: readonly Seen[]): Record<string, number> {
  return Object.fromEntries(counts(seen.map(({ status }) => status)))
}

/** Asserts that nobody but one instance, the canary, has decided by any quota but `quota`. Gives what that one did. */
function touched(seen: readonly Seen[], quota: number): Seen[] {
  const by = seen.filter((answer) => answer.quota !== quota)
  const canaries = counts(by.map(({ pid }) => pid))
  assert.equal(canaries.size, 1, `decided by ${[...canaries.keys()].join(', ')}`)
  return by
}

test('a policy comes to be locked under load, and no request fails', async (t) => {
  const load = traffic({}, [proposing.ports.shared])
  const { status, revision, log } = await apply(policy(900, { tenantOverrides: { acme: 800 } }))
  await everywhere(2)
  await load.stop()
  assert.deepEqual([status, revision], ['locked', 2])
  t.diagnostic(`answers ${JSON.stringify(statuses(load.seen))}`)
  assert.deepEqual(Object.keys(statuses(load.seen)), ['200'])
  assert.deepEqual(new Set(load.seen.map(({ pid }) => pid)), new Set(pids), 'all are under load')
  assert.deepEqual(new Set(load.seen.map(({ quota }) => quota)), new Set([1_000, 900]))

  await t.test('the log says what was found and done', () => {
    assert.match(log.execution_id!, /^infra_rl_\d{4}(_\d\d){5}/)
    assert.match(log.start_timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    assert.deepEqual([log.agent, log.task], ['tollgate', 'enforce_rate_limit_policy'])
    assert.deepEqual(
      log.stages.map((stage) => [stage.stage, stage.status]),
      [
        ['topology_scan', 'passed'],
        ['policy_compilation', 'passed'],
        ['redis_topology_validation', 'passed'],
        ['policy_injection', 'passed'],
        ['traffic_validation', 'passed'],
      ],
    )
    const [topology, compilation, backends, injection, validation] = log.stages
    assert.ok(topology !== undefined && 'findings' in topology)
    const instances = topology.findings.filter(({ kind, role }) => kind === 'instance' && role === 'instance')
    assert.deepEqual(new Set(instances.map(({ pid }) => Number(pid))), new Set(pids))
    assert.ok(instances.every((found) => found['node_version'] === process.versions.node))
    assert.ok(topology.findings.some(({ kind, worker }) => kind === 'workers' && worker !== undefined))
    assert.ok(topology.findings.every(({ level }) => level === 'info'))
    assert.ok(compilation !== undefined && 'output' in compilation)
    const diff = ['default.quota: 1000 → 900', 'tenant "acme" is new: 800']
    assert.deepEqual(compilation.output!.diff, diff)
    assert.ok(backends !== undefined && 'findings' in backends)
    const nodes = backends.findings.filter(({ kind }) => kind === 'redis_node')
    const ports = nodes.map(({ address }) => Number(String(address).split(':')[1]))
    assert.deepEqual(new Set(ports), new Set(cluster.nodes.map(({ port }) => port)))
    assert.equal(nodes.filter(({ role }) => role === 'master').length, 3)
    assert.ok(backends.findings.some(({ covered, masters }) => covered === 16_384 && masters === 3))
    assert.ok(injection !== undefined && 'instances_updated' in injection)
    assert.deepEqual([injection.instances_updated, injection.instances_pending], [SIZE, 0])
    assert.ok(validation !== undefined && 'threshold_checks' in validation)
    assert.equal(validation.validation_window, '1s')
    const checks = validation.threshold_checks.filter(({ scope }) => scope === 'fleet')
    assert.deepEqual(
      checks.map(({ check, verdict }) => [check, verdict]),
      [
        ['decision_flips', 'passed'],
        ['burst_ratio', 'passed'],
        ['tenant_isolation', 'passed'],
        ['error_rate', 'passed'],
      ],
    )
    assert.ok(checks.every(({ samples }) => samples >= 20))
    t.diagnostic(log.stages.map(({ stage, duration_ms }) => `${stage} ${duration_ms} ms`).join(', '))
  })
})

test('a policy under which requests fail is rolled back', async (t) => {
  await Promise.all(fleet.map((service) => service.tell('failUnder', 880, 10)))
  const load = traffic()
  const { status, reason, log } = await apply(policy(880))
  await everywhere(2)
  await load.stop()
  t.diagnostic(reason!)
  assert.equal(status, 'rolled_back')
  assert.equal(log.outcome!.status === 'rolled_back' && log.outcome!.check, 'error_rate')
  t.diagnostic(`answers ${JSON.stringify(statuses(load.seen))}`)
  const by = touched(load.seen, 900)
  const failed = load.seen.filter((answer) => answer.status !== 200)
  assert.ok(failed.length > 0 && failed.every((answer) => answer.status === 503 && by.includes(answer)))
})

test('without traffic a policy is not locked', async () => {
  const rollout = { ...quick.rollout, deadline: '1500ms' } as const
  const { status, revision, log } = await apply(policy(870), { rollout })
  assert.deepEqual([status, revision], ['rolled_back', 2])
  assert.equal(log.stages[4]!.status, 'inconclusive')
  await everywhere(2)
})

test('all change at one instant, and nobody decides by a third policy', async (t) => {
  const load = traffic()
  const swaps = Promise.all(fleet.map((service: Service) => service.tell('swapped', 860)))
  const rollout = { ...quick.rollout, strategy: 'simultaneous', lead: '2s' } as const
  const { status, revision } = await apply(policy(860), { rollout })
  await everywhere(revision)
  await load.stop()
  assert.equal(status, 'locked')
  const instants = await swaps
  const apart = Math.max(...instants) - Math.min(...instants)
  t.diagnostic(`all have changed within ${apart.toFixed(1)} ms`)
  assert.ok(apart < 500)
  assert.deepEqual(new Set(load.seen.map(({ quota }) => quota)), new Set([900, 860]))
  assert.deepEqual(Object.keys(statuses(load.seen)), ['200'])
})
