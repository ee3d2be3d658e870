/**
 * Tollgate beside its peers, in one run on one machine: `npm run bench`, or `npm run bench -- a c` for some parts.
 * Contenders are asserted to decide alike before they are timed. Prints tables, and writes them to
 * benchmark/results/latest.json.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { redisServer } from '../__test__/redis.ts'
import { core, SIZES, WAYS } from './core.ts'
import { fleets, type Admitted } from './fleet.ts'
import { floorReader } from './floor.ts'
import { assertEqualDecisions, everyPeer } from './limiters.ts'
import { addedRatio, calling, found, measure, ratio, tenantNames, type Measured } from './measure.ts'
import { KEYS, memoryPerKey, REMEMBERING } from './memory.ts'
import { redisDecisions } from './redis-decisions.ts'
import { redisRequests } from './redis-requests.ts'
import { applications, assertEqualAnswers } from './requests.ts'
import { FEW, MANY, policies } from './policies.ts'
import { perRule, ruleCosts } from './rules.ts'
import { sweeping } from './sweep.ts'
import { goal, table, title } from './table.ts'
import { workers } from './workers.ts'

const QUOTA = 1_000_000_000
const ERL = 'express-rate-limit'

const parts: Record<string, { name: string; run: () => Promise<unknown> }> = {
  a: { name: 'One decision, 1,000 tenants', run: decision },
  b: { name: 'What a middleware adds to a request', run: requests },
  c: { name: `Memory, ${KEYS.toLocaleString('en')} keys`, run: memory },
  d: { name: 'One decision, by the number of tenants', run: sizes },
  e: { name: 'One and two worker threads on the same tenants', run: threads },
  f: { name: "The core's decision beside governor's", run: rust },
  g: { name: 'Single decisions while a million keys are swept', run: pauses },
  h: { name: 'Rules that match, beside a quota alone', run: rules },
  i: { name: 'Policies: compiled, and decided by', run: compiled },
  j: { name: 'A fleet on Redis', run: fleet },
}

const chosen = process.argv.slice(2)
const unknown = chosen.filter((part) => !(part in parts))
if (unknown.length > 0) {
  console.error(`parts: given ${unknown.join(', ')}; accepted: ${Object.keys(parts).join(', ')}`)
  process.exit(2)
}

const machine = {
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  node: process.version,
  date: new Date().toISOString(),
}
console.log(`${machine.cpu}, ${machine.cores} cores, Node ${machine.node}`)
const results: Record<string, unknown> = { machine }
for (const [part, { name, run }] of Object.entries(parts)) {
  if (chosen.length > 0 && !chosen.includes(part)) continue
  title(`(${part}) ${name}`)
  results[part] = await run()
}
const folder = fileURLToPath(new URL('./results', import.meta.url))
mkdirSync(folder, { recursive: true })
writeFileSync(`${folder}/latest.json`, `${JSON.stringify(results, null, 2)}\n`)
console.log('\nWritten to benchmark/results/latest.json')
process.exit()

async function decision(): Promise<unknown> {
  await assertEqualDecisions()
  const names = tenantNames(1000)
  const peers = await everyPeer(QUOTA, 10_000)
  const floor = calling('floor', names, floorReader())
  const measured = await measure([floor, ...peers.map((peer) => peer.contender(names))], 15, 300_000)
  await Promise.all(peers.map((peer) => peer.close()))
  timings(measured, 'floor')
  goal('tollgate / floor', ratio(measured, 'tollgate', 'floor'), 2.5)
  goal(`tollgate / ${ERL}`, ratio(measured, 'tollgate', ERL), 0.4)
  return measured
}

async function compiled(): Promise<unknown> {
  const result = await policies(15, 300_000)
  table(
    ['overrides', 'ready ms', 'image bytes', 'bytes each', 'longest hold ms'],
    result.compiled.map(({ tenants, readyMs, imageBytes, longestHoldMs }) => [
      tenants.toLocaleString('en'),
      readyMs.toFixed(2),
      imageBytes.toLocaleString('en'),
      (imageBytes / tenants).toFixed(1),
      longestHoldMs.toFixed(1),
    ]),
  )
  timings(result.measured, `${FEW} overrides`)
  const [few, many] = result.compiled
  goal(`${FEW} overrides (bytes)`, few?.imageBytes ?? NaN, 4096)
  goal(`${FEW} overrides (ms)`, few?.readyMs ?? NaN, 2)
  goal(`${MANY} overrides (bytes each)`, (many?.imageBytes ?? NaN) / MANY, 40)
  goal(`${MANY} overrides (s)`, (many?.readyMs ?? NaN) / 1000, 3)
  goal(`a decision, ${MANY} / ${FEW}`, ratio(result.measured, `${MANY} overrides`, `${FEW} overrides`), 1.5)
  goal('longest hold of the event loop (ms)', many?.longestHoldMs ?? NaN, 50)
  return result
}

async function rules(): Promise<unknown> {
  const measured = await ruleCosts(15, 200_000)
  timings(measured, 'quota alone')
  const [bare, byPath] = [perRule(measured, false), perRule(measured, true)]
  const quota = found(measured, 'quota alone').median
  goal('a rule more (ns)', bare, 60)
  goal('a rule more by path (ns)', byPath, 60)
  console.log(
    `a rule more / a quota alone: ${(bare / quota).toFixed(2)}, by path ${(byPath / quota).toFixed(2)}`,
  )
  return { measured, perRule: { bare, byPath } }
}

async function requests(): Promise<unknown> {
  await assertEqualAnswers()
  const { apps, close } = await applications(tenantNames(1000))
  const measured = await measure(apps, 25, 10_000)
  await close()
  addedTable(measured)
  goal(`added: tollgate / ${ERL}`, addedRatio(measured, 'tollgate', ERL, 'bare'), 0.25)
  goal('added: tollgate / hitlimit', addedRatio(measured, 'tollgate', 'hitlimit', 'bare'), 0.6)
  return measured
}

async function memory(): Promise<unknown> {
  const taken = REMEMBERING.map(memoryPerKey)
  table(
    ['', 'resident bytes a key', 'of that JavaScript heap'],
    taken.map(({ name, resident, heap }) => [name, resident.toFixed(0), heap.toFixed(0)]),
  )
  goal('tollgate, bytes a key', taken[0]?.resident ?? NaN, 80)
  return taken
}

async function sizes(): Promise<unknown> {
  const rows: { keys: number; measured: Measured[] }[] = []
  for (const keys of [1_000, 10_000, 100_000, 1_000_000]) {
    const names = tenantNames(keys)
    const peers = await everyPeer(QUOTA, 2 * keys)
    for (const peer of peers) for (const name of names) await peer.admits(name)
    const measured = await measure(
      peers.map((peer) => peer.contender(names)),
      7,
      Math.max(100_000, keys),
    )
    await Promise.all(peers.map((peer) => peer.close()))
    rows.push({ keys, measured })
  }
  const contenders = rows[0]?.measured.map(({ name }) => name) ?? []
  table(
    ['ns', ...rows.map(({ keys }) => keys.toLocaleString('en'))],
    contenders.map((name) => [name, ...rows.map(({ measured }) => found(measured, name).median.toFixed(0))]),
  )
  return rows
}

async function threads(): Promise<unknown> {
  const shared = await workers(1000, true, 9, 1_000_000)
  const apart = await workers(1000, false, 9, 1_000_000)
  const single = await workers(1, true, 9, 1_000_000)
  const row = (name: string, { one, two, ratio: times }: typeof shared): string[] => [
    name,
    one.toFixed(0),
    two.toFixed(0),
    times.toFixed(2),
  ]
  table(
    ['ns', 'alone', 'each of two', 'ratio'],
    [
      row('1,000 tenants in common', shared),
      row('1,000 tenants each', apart),
      row('one tenant in common', single),
    ],
  )
  goal('two threads / one, tenants in common', shared.ratio, 1.4)
  return { shared, apart, single }
}

async function rust(): Promise<unknown> {
  const medians = core()
  table(
    ['ns', ...SIZES],
    WAYS.map((way) => [way, ...SIZES.map((size) => (medians[size]?.[way] ?? NaN).toFixed(1))]),
  )
  const over = (ours: string, theirs: string): number =>
    (medians[SIZES[0]]?.[ours] ?? NaN) / (medians[SIZES[0]]?.[theirs] ?? NaN)
  goal('decide / governor as it comes', over('tollgate, time given', 'governor, as it comes'), 0.6)
  goal('time given to both', over('tollgate, time given', 'governor, time given'), 0.6)
  goal('both with a monotonic clock', over('tollgate, monotonic clock', 'governor, monotonic clock'), 0.6)
  return medians
}

async function pauses(): Promise<unknown> {
  const taken = await sweeping(7, 500_000)
  table(
    ['ns', 'p50', 'p99', 'p99.99'],
    (['quiet', 'sweeping'] as const).map((way) => [
      way,
      ...[taken[way].p50, taken[way].p99, taken[way].p9999].map((nanos) => nanos.toFixed(0)),
    ]),
  )
  goal('p99.99: sweeping / quiet', taken.ratio, 2)
  return taken
}

async function fleet(): Promise<unknown> {
  const ends: (() => Promise<void>)[] = []
  const ending = { after: (end: () => Promise<void>) => void ends.push(end) }
  const redis = await redisServer(ending)
  const decisions = await redisDecisions(redis.url, tenantNames(1000), 15, 300_000)
  timings(decisions.measured, 'tollgate')
  console.log(`  admitted with Redis: ${(100 * decisions.admitted).toFixed(2)} %`)
  goal('tryConsume: with Redis / without', ratio(decisions.measured, 'tollgate, Redis', 'tollgate'), 1.3)
  const added = await redisRequests(redis.url, tenantNames(100), 25, 2_000)
  for (const [how, measured] of Object.entries(added)) {
    title(`Requests, ${how}: what is added`)
    addedTable(measured)
    const over = (peer: string): number => addedRatio(measured, 'tollgate, Redis', peer, 'bare')
    goal('tollgate, with Redis / in the process', over('tollgate'), 1.5)
    goal('tollgate / rate-limiter-flexible, both with Redis', over('rate-limiter-flexible, Redis'), 1 / 40)
    goal(`tollgate / ${ERL}, both with Redis`, over(`${ERL}, Redis`), 1 / 40)
  }
  const { thousand, five, tenThousand } = await fleets(ending, redis)
  admittedTable('4 processes, one tenant of 1,000 a second and a burst of 100', thousand)
  const [ours] = thousand
  goal('admitted / bound', (ours?.admitted ?? NaN) / (ours?.bound ?? NaN), 1)
  goal('earned / admitted', (ours?.earned ?? NaN) / (ours?.admitted ?? NaN), 1 / 0.97)
  admittedTable('16 processes, one tenant of five a minute', five)
  goal('admitted', five[0]?.admitted ?? NaN, 5)
  admittedTable('4 processes, one tenant that is admitted 10,000 times a second', tenThousand)
  goal('scripts per 100 admitted', tenThousand[0]?.scripts ?? NaN, 1)
  for (const end of ends.toReversed()) await end()
  return { decisions, added, fleets: { thousand, five, tenThousand } }
}

function admittedTable(name: string, rows: readonly Admitted[]): void {
  title(name)
  table(
    ['', 'admitted', 's', 'earned', 'bound', 'longest wait ms', 'longest stall ms', 'scripts per 100'],
    rows.map((row) => [
      row.name,
      row.admitted.toLocaleString('en'),
      row.seconds.toFixed(2),
      row.earned.toFixed(0),
      row.bound.toLocaleString('en'),
      row.longestWaitMs.toFixed(1),
      row.longestStallMs.toFixed(1),
      row.scripts.toFixed(2),
    ]),
  )
}

function addedTable(measured: readonly Measured[]): void {
  const bare = found(measured, 'bare').median
  table(
    ['', 'ns', 'added ns'],
    measured.map(({ name, median }) => [name, median.toFixed(0), (median - bare).toFixed(0)]),
  )
}

function timings(measured: readonly Measured[], base: string): void {
  table(
    ['', 'ns', 'quartiles', `x ${base}`],
    measured.map(({ name, median, low, high }) => [
      name,
      median.toFixed(1),
      `${low.toFixed(1)} to ${high.toFixed(1)}`,
      ratio(measured, name, base).toFixed(2),
    ]),
  )
}
