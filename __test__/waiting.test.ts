import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Waiting } from '../ts/waiting.ts'

/** What one that waits has asked. */
interface Asked {
  name: string
  isLast: boolean
}

/** There are no tokens. */
const never = (): boolean => false

/** Timers that keep the process alive. */
function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
}

/** A place to wait in whose time only the test advances. */
function place(t: TestContext, maxWaitMs = 50) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let time = 0
  /** The number that whoever is not decided awaits from then on. */
  let next = 0
  const asked: Asked[] = []
  const waiting = new Waiting({ maxWaitMs, awaited: () => next, now: () => time })
  return {
    waiting,
    asked,
    names: () => asked.map(({ name }) => name),
    /** Waits for an answer; admitted once `admits` says so, or refused the last time. */
    wait: (name: string, awaited: number, admits: () => boolean = () => true) =>
      waiting.until(awaited, (isLast) => {
        asked.push({ name, isLast })
        if (admits()) return 'admitted'
        return isLast ? 'refused' : undefined
      }),
    awaits: (number: number) => void (next = number),
    advance: (by: number) => {
      time += by
      t.mock.timers.tick(by)
    },
    /** Time passes while the event loop is held up. */
    hold: (by: number) => void (time += by),
  }
}

test('who waits for an answer asks again when it comes, in the order in which they came', async (t) => {
  const { waiting, wait, names } = place(t)
  const all = [wait('a', 1), wait('b', 2), wait('c', 1)]
  assert.deepEqual(names(), [])
  waiting.answered([1])
  assert.deepEqual(names(), ['a', 'c'])
  waiting.answered([1, 2, 3])
  assert.deepEqual(names(), ['a', 'c', 'b'])
  assert.deepEqual(await Promise.all(all), ['admitted', 'admitted', 'admitted'])
})

test('who finds nothing waits on for the next answer, behind nobody who came later', async (t) => {
  const { waiting, wait, names, awaits } = place(t)
  let tokens = 0
  const takes = (): boolean => tokens-- > 0
  const all = [wait('a', 1, takes), wait('b', 1, takes), wait('c', 1, takes)]
  tokens = 1
  awaits(2)
  waiting.answered([1])
  const late = wait('d', 2, takes)
  tokens = 2
  waiting.answered([2])
  assert.deepEqual(names(), ['a', 'b', 'c', 'b', 'c', 'd'])
  tokens = 1
  waiting.answered([2])
  assert.deepEqual(await Promise.all([...all, late]), ['admitted', 'admitted', 'admitted', 'admitted'])
})

test('at the deadline comes the last word, whatever was answered in between', async (t) => {
  const { waiting, wait, asked, awaits, advance } = place(t)
  const first = wait('a', 1, never)
  advance(20)
  const second = wait('b', 1, never)
  awaits(2)
  waiting.answered([1])
  asked.length = 0
  advance(29)
  assert.deepEqual(asked, [])
  advance(1)
  assert.deepEqual(asked, [{ name: 'a', isLast: true }])
  assert.equal(await first, 'refused')
  advance(19)
  assert.equal(asked.length, 1)
  advance(1)
  assert.deepEqual(asked[1], { name: 'b', isLast: true })
  assert.equal(await second, 'refused')
})

test('an answer that comes with the deadline behind it is the last one asked for', async (t) => {
  const { waiting, wait, asked, hold, advance } = place(t)
  const answer = wait('a', 1, never)
  hold(60)
  waiting.answered([1])
  assert.deepEqual(asked, [{ name: 'a', isLast: true }])
  advance(100)
  assert.equal(asked.length, 1)
  assert.equal(await answer, 'refused')
})

test('without time to wait, the last word is the first', async (t) => {
  const { wait, asked } = place(t, 0)
  assert.equal(await wait('a', 1), 'admitted')
  assert.deepEqual(asked, [{ name: 'a', isLast: true }])
})

test('the ten-thousand-and-first has the last word at once', async (t) => {
  const { waiting, wait, asked } = place(t)
  const all = Array.from({ length: 10_000 }, (_, index) => wait(String(index), 1))
  assert.deepEqual(asked, [])
  assert.equal(await wait('one more', 1), 'admitted')
  assert.deepEqual(asked, [{ name: 'one more', isLast: true }])
  waiting.answered([1])
  for (let turns = 0; turns < 10_000 / 64; turns++) await turn()
  assert.equal(new Set(await Promise.all(all)).size, 1)
  const later = wait('later', 2)
  assert.equal(asked.length, 10_001)
  waiting.answered([2])
  assert.equal(await later, 'admitted')
})

test('many ask in several turns of the event loop, and still in order', async (t) => {
  const { waiting, wait, names } = place(t)
  const all = Array.from({ length: 200 }, (_, index) => wait(String(index), 1))
  waiting.answered([1])
  assert.equal(names().length, 64)
  // Those of another answer go behind.
  const other = wait('other', 2)
  waiting.answered([2])
  assert.equal(names().length, 64)
  for (const asked of [128, 192, 201]) {
    await turn()
    assert.equal(names().length, asked)
  }
  assert.deepEqual(names(), [...Array.from({ length: 200 }, (_, index) => String(index)), 'other'])
  await Promise.all([...all, other])
})

test('what asking throws is what waiting rejects with, and nobody else is held up', async (t) => {
  const { waiting, wait } = place(t)
  const fault = new Error('of a callback')
  const first = waiting.until(1, () => {
    throw fault
  })
  const second = wait('b', 1)
  waiting.answered([1])
  await assert.rejects(first, fault)
  assert.equal(await second, 'admitted')
})

test('stopping gives all who wait the last word, and all who come after', async (t) => {
  const { waiting, wait, asked } = place(t)
  const all = Array.from({ length: 100 }, (_, index) => wait(String(index), index))
  const stopped = waiting.stop()
  await stopped
  assert.equal(asked.length, 100)
  assert.ok(asked.every(({ isLast }) => isLast))
  await Promise.all(all)
  assert.equal(await wait('late', 5), 'admitted')
  await waiting.stop()
})

test('the timer is there only while somebody waits', async () => {
  const before = timers()
  const waiting = new Waiting({ maxWaitMs: 60_000, awaited: () => 1, now: () => performance.now() })
  const all = [1, 2, 3].map(() => waiting.until(1, () => 'admitted'))
  assert.equal(timers(), before + 1)
  waiting.answered([1])
  assert.equal(timers(), before)
  await Promise.all(all)
})
