import { expect, test } from 'vitest'

import { sleep, type Clock } from './clock.ts'

function manualClock(): Clock & { readonly timers: Map<() => void, number>; fire(): void } {
  const timers = new Map<() => void, number>()
  return {
    timers,
    now: () => 0,
    after(ms, run) {
      timers.set(run, ms)
      return () => timers.delete(run)
    },
    fire: () => [...timers.keys()].forEach((run) => run()),
  }
}

test('a sleep ends with its timer and leaves no listener', async () => {
  const clock = manualClock()
  const stop = new AbortController()
  const done = sleep(clock, 50, stop.signal)
  expect([...clock.timers.values()]).toEqual([50])
  clock.fire()
  await done
  stop.abort()
})

test('a stopped sleep rejects with the reason and cancels its timer', async () => {
  const clock = manualClock()
  const stop = new AbortController()
  const done = sleep(clock, 50, stop.signal)
  stop.abort(new Error('enough'))
  await expect(done).rejects.toThrow('enough')
  expect(clock.timers.size).toBe(0)
  await expect(sleep(clock, 50, stop.signal)).rejects.toThrow('enough')
  expect(clock.timers.size).toBe(0)
})
