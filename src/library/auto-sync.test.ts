import { expect, it, vi } from 'vitest'

import { seededRandom } from '../kernel/random.ts'
import { createManualClock } from '../testing/manual-clock.ts'
import { AutoSync } from './auto-sync.ts'
import { debounceSync } from './debounce.ts'

const MINUTE = 60_000

function createAuto(outcome: () => Promise<unknown> = async () => null) {
  const clock = createManualClock()
  const times: number[] = []
  const interval = { ms: 30 * MINUTE }
  const due = { at: Number.POSITIVE_INFINITY }
  const auto = new AutoSync({
    clock,
    random: seededRandom(1),
    intervalMs: () => interval.ms,
    dueMs: () => due.at - clock.now(),
    sync: () => {
      times.push(clock.now())
      return outcome()
    },
  })
  const elapse = async (ms: number) => {
    clock.elapse(ms)
    // What the timer began comes to its end.
    for (let turn = 0; turn < 10; turn++) await Promise.resolve()
  }
  return { clock, times, auto, interval, due, elapse }
}

it('syncs at once, and then an interval after the end of each', async () => {
  const { times, auto, elapse, clock } = createAuto()
  auto.start()
  auto.start()
  await elapse(0)
  for (let n = 0; n < 3; n++) await elapse(30 * MINUTE)
  expect(times).toEqual([0, 30 * MINUTE, 60 * MINUTE, 90 * MINUTE])
  auto.stop()
  expect(clock.pending).toEqual([])
})

it('comes back sooner after a failure, with growing pauses, never later than the interval', async () => {
  const { times, auto, elapse, interval } = createAuto(() => Promise.reject(new Error('away')))
  interval.ms = MINUTE
  auto.start()
  await elapse(0)
  for (let n = 0; n < 600; n++) await elapse(1_000)
  const pauses = times.slice(1).map((time, at) => time - (times[at] ?? 0))
  expect(pauses[0]).toBeGreaterThanOrEqual(12_000)
  expect(pauses[0]).toBeLessThanOrEqual(15_000)
  expect(pauses[1]).toBeGreaterThan(pauses[0] ?? 0)
  expect(Math.max(...pauses)).toBeLessThanOrEqual(MINUTE + 1_000)
  expect(times.length).toBeGreaterThan(10)
  auto.stop()
})

it('comes when something is due, and not over and over for what stays due', async () => {
  const { times, auto, due, elapse } = createAuto()
  auto.start()
  due.at = MINUTE
  await elapse(0)
  for (let n = 0; n < 120; n++) await elapse(1_000)
  auto.stop()
  expect(times.slice(0, 2)).toEqual([0, MINUTE])
  expect(times.length).toBeLessThanOrEqual(63)
  const failing = createAuto(() => Promise.reject(new Error('in use')))
  failing.due.at = 0
  failing.auto.start()
  await failing.elapse(0)
  for (let n = 0; n < 60; n++) await failing.elapse(1_000)
  failing.auto.stop()
  expect(failing.times.length).toBeLessThanOrEqual(4)
})

it('stopped while a sync is at work, it plans no other; started anew, one only', async () => {
  const work = Promise.withResolvers<null>()
  const { times, auto, elapse, clock } = createAuto(() => work.promise)
  auto.start()
  await elapse(0)
  auto.stop()
  auto.start()
  await elapse(0)
  expect(times).toEqual([0])
  work.resolve(null)
  await elapse(0)
  expect(clock.pending).toEqual([30 * MINUTE])
  auto.stop()
  await elapse(60 * MINUTE)
  expect(times).toEqual([0])
})

it('a new interval counts from now', async () => {
  const { auto, elapse, interval, clock } = createAuto()
  auto.start()
  await elapse(0)
  interval.ms = 5 * MINUTE
  auto.replan()
  expect(clock.pending).toEqual([5 * MINUTE])
  auto.stop()
  auto.replan()
  expect(clock.pending).toEqual([])
})

it('one sync follows the last of many changes', async () => {
  const clock = createManualClock()
  const performSync = vi.fn(async () => {})
  const trigger = debounceSync({ performSync }, { clock })
  for (let n = 0; n < 3; n++) {
    trigger()
    clock.elapse(4_000)
  }
  expect(performSync).not.toHaveBeenCalled()
  clock.elapse(1_000)
  expect(performSync).toHaveBeenCalledTimes(1)
  trigger()
  trigger.cancel()
  clock.elapse(60_000)
  expect(performSync).toHaveBeenCalledTimes(1)
})

it('tells the failure of a debounced sync to who asked for it', async () => {
  const clock = createManualClock()
  const onError = vi.fn()
  const failure = new Error('away')
  const trigger = debounceSync({ performSync: () => Promise.reject(failure) }, { clock, waitMs: 10, onError })
  trigger()
  clock.elapse(10)
  await Promise.resolve()
  await Promise.resolve()
  expect(onError).toHaveBeenCalledWith(failure)
})

it('refuses what is no manager when it is given, not in a timer', () => {
  expect(() => debounceSync({} as { performSync(): Promise<unknown> })).toThrow('manager takes')
})
