/** Redis fails, and decisions go on: real processes, and real servers that are frozen, killed, emptied and broken. */

import assert from 'node:assert/strict'
import { after, test, type TestContext } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { enforceRateLimitPolicy, type Limiter, type RateLimitPolicyOptions } from 'tollgate'
import { most } from './fleet-bound.ts'
import { acquainted, Fleet, hammer, type Instance } from './fleet.ts'
import type { Load } from './load.ts'
import { redisServer, type RedisServer } from './redis.ts'
import { until } from './until.ts'

const fleet = new Fleet({ after })

const THOUSAND = { defaultQuota: 1_000, burstAllowance: 100, window: 1_000 }
/** A hundred, of which none comes back while a test lasts. */
const HUNDRED = { defaultQuota: 100, burstAllowance: 0, window: 3_600_000 }
const acme: Load = { tenants: ['acme'], milliseconds: 8_000, way: 'consume', inFlight: 4 }

test('while Redis is frozen nobody waits longer than maxWait, and the limit holds', async (t) => {
  const redis = await redisServer(t)
  const options = { backends: [redis.url], namespace: 'frozen', policyDefinition: THOUSAND, maxWait: '50ms' }
  await fleet.with(4, options, async (instances) => {
    await acquainted(instances)
    const loaded = hammer(instances, acme)
    await setTimeout(1_500)
    redis.stop()
    const stopped = Date.now()
    await setTimeout(3_000)
    redis.cont()
    const back = Date.now()
    const report = await loaded
    const frozen = report.between(stopped + 1_000, back)
    const recovered = report.between(back + 2_000, Infinity)
    t.diagnostic(
      `longest wait ${report.longestWait.toFixed(1)} ms; stall ${report.longestStall.toFixed(1)} ms`,
    )
    t.diagnostic(`${report.admitted} admitted in ${report.seconds.toFixed(2)} s`)
    t.diagnostic(`frozen: ${frozen.admitted} in ${frozen.seconds.toFixed(2)} s, refused: ${frozen.reasons}`)
    t.diagnostic(`recovered: ${recovered.admitted} in ${recovered.seconds.toFixed(2)} s`)
    // 50 ms, and what the processes wait for each other on a machine that they share. Who waited for Redis would do so for 500.
    assert.ok(report.longestWait < 150 + report.longestStall, `${report.longestWait} ms`)
    assert.ok(report.longestStall < 400, `${report.longestStall} ms`)
    assert.ok(report.admitted <= 1.02 * most(THOUSAND, report.seconds), `${report.admitted} admitted`)
    assert.ok(frozen.admitted <= 1.02 * 1_000 * (frozen.seconds + 0.2), `frozen: ${frozen.admitted}`)
    assert.ok(frozen.admitted >= 0.8 * 1_000 * frozen.seconds, `frozen: ${frozen.admitted}`)
    assert.ok(recovered.admitted >= 0.9 * 1_000 * recovered.seconds, `recovered: ${recovered.admitted}`)
    for (const instance of instances) {
      const [first, last] = [instance.alerts[0], instance.alerts.at(-1)]
      assert.deepEqual([first, last], ['backend-degraded', 'backend-recovered'])
      assert.equal(await stateOf(instance), 'up')
    }
  })
})

test('a Redis that was killed and comes back empty grants no fresh quota to who has spent it', async (t) => {
  const redis = await redisServer(t)
  const options = { backends: [redis.url], namespace: 'empty', policyDefinition: HUNDRED, maxWait: '1s' }
  await fleet.with(2, options, async (instances) => {
    const spending: Load = { ...acme, milliseconds: 1_000 }
    const before = await hammer(instances, spending)
    assert.equal(before.admitted, 100)
    await redis.kill()
    const without = await hammer(instances, spending)
    await redis.restart()
    const again = await hammer(instances, spending)
    await allUp(t, instances)
    const since = await hammer(instances, { ...spending, milliseconds: 2_000 })
    assert.deepEqual([without.admitted, again.admitted, since.admitted], [0, 0, 0])
    const others = await hammer(instances, { ...spending, tenants: ['another'], milliseconds: 2_000 })
    t.diagnostic(`another tenant: ${others.admitted} of 100`)
    assert.ok(others.admitted >= 97 && others.admitted <= 100)
  })
})

test('a second backend takes over with what is spent, and gives back', async (t) => {
  const [first, second] = [await redisServer(t), await redisServer(t)]
  const options = {
    backends: [first.url, second.url],
    namespace: 'two',
    policyDefinition: HUNDRED,
    maxWait: '1s',
  }
  await fleet.with(2, options, async (instances) => {
    const known = Array.from({ length: 20 }, (_, index) => `known-${index}`)
    const fresh = Array.from({ length: 20 }, (_, index) => `fresh-${index}`)
    const load: Load = { ...acme, inFlight: 16, milliseconds: 2_000 }
    const before = await hammer(instances, { ...load, tenants: known })
    t.diagnostic(
      `longest wait ${before.longestWait.toFixed(1)} ms; alerts: ${instances.flatMap((i) => i.alerts)}`,
    )
    assert.deepEqual(
      // Some tokens that the other instance had leased come back after the test has gone on.
      [...before.tenants].filter(([, admitted]) => admitted > 100 || admitted < 90),
      [],
    )
    assert.ok((await keys(first)) > 0 && (await keys(second)) > 0, 'both hold tenants')
    await first.kill()
    // Instances find out on their own, at different times; then nothing is waited for any more.
    const moved = await hammer(instances, { ...load, tenants: known })
    assert.ok(moved.admitted <= 2_000 - before.admitted, 'what was spent is spent')
    const served = await hammer(instances, { ...load, tenants: fresh })
    t.diagnostic(
      `while one backend is gone: ${served.admitted} of 2,000; wait ${served.longestWait.toFixed(1)} ms`,
    )
    // What an instance admits by its share while tenants move is debited afterwards. So the other one may lease what is being
    // spent: the bound is the limit and a share, half of it, and what is spent beyond the limit is a debt.
    assert.ok(served.admitted >= 0.97 * 2_000 && served.admitted <= 1.1 * 2_000, `${served.admitted}`)
    await first.restart()
    await allUp(t, instances)
    const back = await hammer(instances, { ...load, tenants: [...known, ...fresh] })
    const total = served.admitted + back.admitted
    t.diagnostic(`after it has come back: ${back.admitted} more, ${total} of 2,000`)
    assert.ok(total <= 1.1 * 2_000, `${total}`)
    assert.ok((await keys(first)) > 0, 'the first holds tenants again')
  })
})

interface Fault {
  name: string
  break(redis: RedisServer, t: TestContext): Promise<unknown>
  mend(redis: RedisServer): Promise<unknown>
}

const ANOTHER = ['-a', 'another', '--no-auth-warning']

const FAULTS: Fault[] = [
  {
    name: 'a replica (READONLY)',
    async break(redis, t) {
      const master = await redisServer(t, { password: 'secret' })
      await redis.cli('replicaof', '127.0.0.1', master.port)
    },
    mend: (redis) => redis.cli('replicaof', 'no', 'one'),
  },
  {
    name: 'out of memory (OOM)',
    break: (redis) => redis.cli('config', 'set', 'maxmemory', 1),
    mend: (redis) => redis.cli('config', 'set', 'maxmemory', 0),
  },
  {
    name: 'asking for another password (WRONGPASS)',
    async break(redis) {
      await redis.cli('config', 'set', 'requirepass', 'another')
      // Who is in stays in until then.
      await redis.cli(...ANOTHER, 'client', 'kill', 'type', 'normal')
    },
    mend: (redis) => redis.cli(...ANOTHER, 'config', 'set', 'requirepass', 'secret'),
  },
  {
    name: 'loading (LOADING)',
    async break(redis) {
      const filler = 'for i = 1, 10000 do redis.call("set", "filler:" .. i, i) end'
      await redis.cli('eval', filler, 0)
      await redis.cli('save')
      // 200 microseconds a key, and answers in between.
      const slowly = ['--key-load-delay', '200', '--loading-process-events-interval-bytes', '1024']
      await redis.restart({ keep: true, loading: true, args: slowly })
    },
    mend: () => Promise.resolve(),
  },
]

for (const { name, break: damage, mend } of FAULTS) {
  test(`a Redis that is ${name}: decisions go on as onBackendFailure says, and it comes back by itself`, async (t) => {
    const redis = await redisServer(t, { password: 'secret' })
    await using local = await opened(redis, 'local')
    await using allow = await opened(redis, 'allow')
    await using deny = await opened(redis, 'deny')
    for (const limiter of [local, allow, deny]) await drained(limiter)
    await damage(redis, t)
    const took = await until('the failure is noticed', async () => {
      const denied = await deny.consume('acme')
      return denied.reason === 'backend' && (await allow.consume('acme')).allowed
    })
    t.diagnostic(`noticed after ${took.toFixed(0)} ms`)
    assert.equal((await local.consume('acme')).allowed, false, 'what was spent is spent')
    const own = await Promise.all(Array.from({ length: 6 }, () => local.consume('another')))
    assert.equal(
      own.filter(({ allowed }) => allowed).length,
      3,
      'an instance that is alone has all of a quota',
    )
    assert.equal((await deny.consume('another')).reason, 'backend')
    assert.notEqual(deny.status().backends[0]?.state, 'up')
    assert.match(deny.status().backends[0]?.lastError ?? '', /\S/)
    await mend(redis)
    const back = await until('it comes back', async () => {
      assert.equal((await deny.consume('acme')).allowed, false, 'what was spent is spent')
      return (await deny.consume('a third')).allowed
    })
    t.diagnostic(`back after ${back.toFixed(0)} ms`)
    await until('every limiter sees it', () =>
      [local, allow, deny].every((limiter) => limiter.status().backends[0]?.state === 'up'),
    )
    assert.equal((await local.consume('acme')).allowed, false, 'what was spent is spent')
    // A backend that has lost what it held settles first, and meanwhile it is as if it were gone.
    await until('nobody is let in for lack of it', async () => !(await allow.consume('acme')).allowed)
  })
}

test('a limiter that starts without its Redis decides, and uses it once it is there', async (t) => {
  const redis = await redisServer(t)
  await redis.kill()
  await using limiter = await opened(redis, 'deny')
  assert.equal((await limiter.consume('acme')).reason, 'backend')
  await redis.restart()
  await until('it is used', async () => (await limiter.consume('acme')).allowed)
})

function opened(
  redis: RedisServer,
  onBackendFailure: NonNullable<RateLimitPolicyOptions['onBackendFailure']>,
): Promise<Limiter> {
  return enforceRateLimitPolicy({
    backends: [redis.url],
    namespace: onBackendFailure,
    policyDefinition: { defaultQuota: 3, burstAllowance: 0, window: '1h' },
    onBackendFailure,
    // What Redis answers slowly on a machine that is busy is no failure.
    maxWait: '1s',
  })
}

async function drained(limiter: Limiter): Promise<void> {
  const answers = []
  for (let turn = 0; turn < 4; turn += 1) answers.push((await limiter.consume('acme')).allowed)
  assert.deepEqual(answers, [true, true, true, false])
}

async function stateOf(instance: Instance): Promise<string> {
  return (await instance.status()).backends.map(({ state }) => state).join()
}

async function allUp(t: TestContext, instances: readonly Instance[]): Promise<void> {
  const took = await until('every backend is up', async () => {
    const states = await Promise.all(instances.map(stateOf))
    return states.every((state) => state.split(',').every((each) => each === 'up'))
  })
  t.diagnostic(`every backend is up after ${took.toFixed(0)} ms`)
}

async function keys(redis: RedisServer): Promise<number> {
  return Number(await redis.cli('dbsize'))
}
