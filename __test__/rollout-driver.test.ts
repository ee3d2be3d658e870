/** Whoever drives a rollout dies, or stands still: the others bring it to an end. Real processes, and a real Redis. */

import assert from 'node:assert/strict'
import { after, describe, test, type TestContext } from 'node:test'
import type { ApplyOptions, AuditEntry, RolloutStatus } from 'tollgate'
import { agreed, services, Traffic, type Service } from './rollout-fleet.ts'
import { redisServer } from './redis.ts'
import { until } from './until.ts'

const redis = await redisServer({ after })

/** The driver, and those that are left without it. */
interface Driven {
  driver: Service
  left: readonly Service[]
  /** What becomes of the rollout, as far as the driver lives to tell. */
  over: Promise<unknown>
}

/** A fleet of three of which one brings in a policy; before that something may happen. */
async function driven(
  t: TestContext,
  options: ApplyOptions['rollout'],
  before?: (left: readonly Service[]) => void,
): Promise<Driven> {
  const started: { load?: Traffic } = {}
  t.after(async () => {
    await started.load?.stop()
    const failed = started.load?.seen.filter(({ status }) => status !== 200)
    assert.deepEqual(failed, [], 'no request to those that live fails')
  })
  const [driver, ...left] = await services(t, 3, {
    backends: [redis.url],
    namespace: t.name,
    policyDefinition: { defaultQuota: 1_000, burstAllowance: 0 },
  })
  const ports = left.map((service) => service.ports.own)
  started.load = new Traffic(t, { acme: 20, globex: 20 }, ports)
  before?.(left)
  const settings = { observationWindow: '1s', minSamples: 5, patience: '30s', ...options } as const
  const over = driver!.tell('apply', { defaultQuota: 900, burstAllowance: 0 }, { rollout: settings })
  over.catch(() => undefined)
  return { driver: driver!, left, over }
}

async function reaches(service: Service, phase: RolloutStatus['phase'], step = 1): Promise<void> {
  await until(`it is ${phase}`, async () => {
    const { rollout } = await service.tell('status')
    return rollout?.phase === phase && rollout.step.number === step
  })
}

/** Waits until all that are left agree; asserts on which revision, and tells how long it took. */
async function converge(t: TestContext, left: readonly Service[], revision: number): Promise<void> {
  const start = performance.now()
  await until('they agree', async () => (await agreed(left)) !== undefined)
  t.diagnostic(`at one revision after ${((performance.now() - start) / 1_000).toFixed(1)} s`)
  assert.equal((await agreed(left))?.number, revision)
}

async function trail(service: Service): Promise<AuditEntry[]> {
  const { entries, intact } = await service.tell('history')
  assert.ok(intact)
  return entries
}

/** Asserts that another one has taken over, and that whoever had proposed has written nothing since. */
async function takenOver(service: Service): Promise<void> {
  const entries = await trail(service)
  const first = entries.find(({ event }) => event === 'proposed')!['driver']
  const at = entries.findIndex(({ event }) => event === 'taken_over')
  assert.ok(at > 0, 'somebody has taken over')
  assert.ok(entries.slice(0, at).every((entry) => entry['driver'] === first))
  assert.ok(entries.slice(at).every((entry) => Number(entry['driver']) > Number(first)))
}

describe('the driver is killed', { concurrency: 2 }, () => {
  test('while policies are staged: all go back', async (t) => {
    // One that stands still does not acknowledge, and counts as alive for a while.
    const { driver, left } = await driven(t, {}, ([slow]) => slow!.stop())
    await reaches(driver, 'staging')
    await driver.kill()
    left[0]!.cont()
    await converge(t, left, 1)
    await takenOver(left[0]!)
  })

  test('while instances switch: all go back', async (t) => {
    const { driver, left } = await driven(t, { steps: [0.3, 1] })
    await reaches(driver, 'validating')
    // Whoever is the canary may have no traffic.
    await driver.tell('confirm')
    left[0]!.stop()
    await reaches(driver, 'switching', 2)
    await driver.kill()
    left[0]!.cont()
    await converge(t, left, 1)
    await takenOver(left[0]!)
  })

  test('before the instant at which all are to swap: all go back', async (t) => {
    const { driver, left } = await driven(t, { strategy: 'simultaneous', lead: '20s' })
    await reaches(driver, 'agreed')
    await driver.kill()
    await converge(t, left, 1)
    await takenOver(left[0]!)
  })

  test('while traffic is looked at: another one looks on, and locks', async (t) => {
    const { driver, left } = await driven(t, { steps: [1], observationWindow: '4s' })
    await reaches(driver, 'validating')
    await driver.kill()
    await converge(t, left, 2)
    await takenOver(left[0]!)
  })

  test('when it is decided to go on: another one locks', async (t) => {
    const { driver, left } = await driven(t, { steps: [1] })
    await reaches(driver, 'validating')
    left[0]!.stop()
    await reaches(driver, 'promoting')
    await driver.kill()
    left[0]!.cont()
    await converge(t, left, 2)
    await takenOver(left[0]!)
  })

  test('on the way back: all go back', async (t) => {
    const { driver, left } = await driven(t, { steps: [1], observationWindow: '1m' })
    await reaches(driver, 'validating')
    left[0]!.stop()
    await driver.tell('cancel')
    await reaches(driver, 'rolling_back')
    await driver.kill()
    left[0]!.cont()
    await converge(t, left, 1)
    await takenOver(left[0]!)
  })
})

test('a driver that stood still for longer than its lock lives writes nothing any more, and joins', async (t) => {
  const { driver, left, over } = await driven(t, { steps: [1], observationWindow: '6s' })
  await reaches(driver, 'validating')
  driver.stop()
  await until('somebody has taken over', async () => {
    return (await trail(left[0]!)).some(({ event }) => event === 'taken_over')
  })
  driver.cont()
  await over
  await converge(t, [driver, ...left], 2)
  await takenOver(driver)
})
