import fc from 'fast-check'
import { expect, it } from 'vitest'

import {
  BATCH_FIRST_ROWS,
  BATCH_MAX_ROWS,
  BATCH_TARGET_BYTES,
  createBatchSize,
  observeBatch,
} from './batch-size.ts'

it('starts small, grows on a quick network and shrinks on a slow one', () => {
  let size = createBatchSize()
  expect(size.rows).toBe(BATCH_FIRST_ROWS)
  for (let request = 0; request < 6; request++)
    size = observeBatch(size, { rows: size.rows, bytes: size.rows * 50, ms: 5, ok: true })
  expect(size.rows).toBe(BATCH_MAX_ROWS)
  size = observeBatch(size, { rows: size.rows, bytes: 100, ms: 60_000, ok: true })
  expect(size.rows).toBe(BATCH_MAX_ROWS / 2)
  size = observeBatch(size, { rows: size.rows, bytes: size.rows * BATCH_TARGET_BYTES, ms: 1, ok: true })
  expect(size.rows).toBe(BATCH_MAX_ROWS / 4)
})

it('does not grow on what a small batch showed', () => {
  const size = { rows: 1_000, cap: 5_000 }
  expect(observeBatch(size, { rows: 3, bytes: 300, ms: 1, ok: true }).rows).toBeLessThanOrEqual(1_000)
})

it('never leaves 1 … cap', () => {
  const seen = fc.record({
    rows: fc.integer({ min: 1, max: 1e6 }),
    bytes: fc.nat(1e9),
    ms: fc.nat(1e6),
    ok: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20_000 }), fc.array(seen, { maxLength: 20 }), (cap, all) => {
      let size = createBatchSize(cap)
      for (const one of all) {
        size = observeBatch(size, one)
        expect(size.rows).toBeGreaterThanOrEqual(1)
        expect(size.rows).toBeLessThanOrEqual(cap)
      }
    }),
  )
})
