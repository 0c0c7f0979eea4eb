import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { BACK_OFF_FIRST_MS, BACK_OFF_JITTER, BACK_OFF_MAX_MS, backOffMs } from './back-off.ts'
import { seededRandom, type Random } from './random.ts'

const never: Random = { next: () => 0 }

test.each([
  [0, 15_000],
  [1, 15_000],
  [2, 30_000],
  [3, 60_000],
  [4, 120_000],
  [5, 240_000],
  [6, 300_000],
  [7, 300_000],
  [1_000_000, 300_000],
])('after %i failures it is %i ms, without chance', (failures, ms) => {
  expect(backOffMs(failures, never)).toBe(ms)
})

test('I8: chance takes a share off and never more; the wait is finite and never nothing', () => {
  fc.assert(
    fc.property(fc.nat(), fc.integer(), (failures, seed) => {
      const full = backOffMs(failures, never)
      const wait = backOffMs(failures, seededRandom(seed))
      expect(wait).toBeLessThanOrEqual(full)
      expect(wait).toBeGreaterThanOrEqual(Math.floor(full * (1 - BACK_OFF_JITTER)))
      expect(full).toBeLessThanOrEqual(BACK_OFF_MAX_MS)
      expect(wait).toBeGreaterThan(0)
    }),
  )
})

test('clients that fail together do not return together', () => {
  const waits = Array.from({ length: 50 }, (_, seed) => backOffMs(3, seededRandom(seed)))
  expect(new Set(waits).size).toBeGreaterThan(40)
})

test('what the server asks for is a floor', () => {
  expect(backOffMs(1, never, { retryAfterMs: 1_000 })).toBe(BACK_OFF_FIRST_MS)
  expect(backOffMs(1, never, { retryAfterMs: 900_000 })).toBe(900_000)
  expect(backOffMs(3, never, { firstMs: 100, maxMs: 250 })).toBe(250)
})
