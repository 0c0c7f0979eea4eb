import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { HLC_MAX_AHEAD_MS, hlcClamp, hlcFromMs, hlcTick, hlcToMs } from './hlc.ts'

const ms = fc.integer({ min: 0, max: Date.UTC(2250, 0) })
const hlc = fc.integer({ min: 0, max: hlcFromMs(Date.UTC(2250, 0)) })

test('milliseconds come back, fractions dropped', () => {
  fc.assert(fc.property(ms, (now) => hlcToMs(hlcFromMs(now)) === now))
  expect(hlcFromMs(1.9)).toBe(1_000)
})

test('an event is later than all it has seen, and never before the wall clock', () => {
  fc.assert(
    fc.property(hlc, ms, (seen, now) => {
      const tick = hlcTick(seen, now)
      expect(tick).toBeGreaterThan(seen)
      expect(tick).toBeGreaterThanOrEqual(hlcFromMs(now))
      expect(Number.isSafeInteger(tick)).toBe(true)
    }),
  )
})

test('a clock that runs ahead counts on without leaving its lead', () => {
  const ahead = hlcFromMs(10_000)
  expect(hlcTick(hlcTick(ahead, 1), 2)).toBe(ahead + 2)
  expect(hlcTick(ahead, 10_001)).toBe(hlcFromMs(10_001))
})

test('I7: one wrong clock cannot win for ever: its times are taken no further ahead than the limit', () => {
  fc.assert(
    fc.property(hlc, ms, (time, now) => {
      const clamped = hlcClamp(time, now)
      expect(clamped).toBe(hlcToMs(time) < now + HLC_MAX_AHEAD_MS ? time : hlcFromMs(now + HLC_MAX_AHEAD_MS))
      expect(hlcClamp(clamped, now)).toBe(clamped)
    }),
  )
})
