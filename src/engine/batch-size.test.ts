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
  const size = createBatchSize(5_000, 1_000)
  expect(observeBatch(size, { rows: 3, bytes: 300, ms: 1, ok: true }).rows).toBeLessThanOrEqual(1_000)
})

it('starts where it is told to, within the cap, and adapts from there', () => {
  expect(createBatchSize(undefined, 50)).toMatchObject({ rows: 50, cap: BATCH_MAX_ROWS })
  expect(createBatchSize(20, 50).rows).toBe(20)
  for (const odd of [0, -1, 0.5]) expect(createBatchSize(undefined, odd).rows).toBe(1)
  expect(createBatchSize(undefined, 1_000_000).rows).toBe(BATCH_MAX_ROWS)
  const quick = observeBatch(createBatchSize(undefined, 50), { rows: 50, bytes: 500, ms: 5, ok: true })
  expect(quick.rows).toBe(200)
  const large = observeBatch(createBatchSize(undefined, 1_000), { rows: 1_000, bytes: 500, ms: 5, ok: true })
  expect(large.rows).toBe(4_000)
})

it('time alone never takes it below where it started; refusals and large rows do', () => {
  for (const first of [3, 50, 1_000]) {
    let size = createBatchSize(undefined, first)
    for (let request = 0; request < 100; request++) {
      size = observeBatch(size, { rows: size.rows, bytes: 100, ms: 1_000 * size.rows, ok: true })
      expect(size.rows).toBeGreaterThanOrEqual(first)
      expect(size.rows).toBeLessThanOrEqual(2 * first)
    }
    expect(observeBatch(size, { rows: size.rows, bytes: 100, ms: 1, ok: false }).rows).toBeLessThan(first + 1)
    for (let request = 0; request < 20; request++)
      size = observeBatch(size, { rows: size.rows, bytes: size.rows * BATCH_TARGET_BYTES, ms: 1, ok: true })
    expect(size.rows).toBe(1)
  }
})

it('never leaves 1 … cap', () => {
  const rows = fc.integer({ min: 1, max: 20_000 })
  const seen = fc.record({
    rows: fc.integer({ min: 1, max: 1e6 }),
    bytes: fc.nat(1e9),
    ms: fc.nat(1e6),
    ok: fc.boolean(),
  })
  fc.assert(
    fc.property(
      rows,
      fc.option(rows, { nil: undefined }),
      fc.array(seen, { maxLength: 20 }),
      (cap, first, all) => {
        let size = createBatchSize(cap, first)
        for (const one of all) {
          size = observeBatch(size, one)
          expect(size.rows).toBeGreaterThanOrEqual(1)
          expect(size.rows).toBeLessThanOrEqual(cap)
        }
      },
    ),
  )
})
