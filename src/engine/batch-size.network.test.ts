import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import {
  BATCH_FIRST_ROWS,
  BATCH_MAX_ROWS,
  BATCH_SLOWEST_TARGET_MS,
  BATCH_TARGET_BYTES,
  createBatchSize,
  observeBatch,
  type BatchSize,
} from './batch-size.ts'

interface Network {
  readonly roundTripMs: number
  readonly msPerRow: number
  readonly bytesPerRow: number
}

/** The sizes of requests over a network, one after the other. */
function sizesOver(
  network: Network,
  requests: number,
  from: BatchSize = createBatchSize(),
): readonly BatchSize[] {
  const sizes = [from]
  for (let request = 0; request < requests; request++) {
    const size = sizes.at(-1) ?? from
    const { rows } = size
    const ms = network.roundTripMs + rows * network.msPerRow
    sizes.push(observeBatch(size, { rows, bytes: rows * network.bytesPerRow, ms, ok: true }))
  }
  return sizes
}

const settled = (network: Network, from?: BatchSize) => sizesOver(network, 60, from).at(-1)?.rows ?? 0

describe('a batch settles', () => {
  test.each<[string, Network, readonly [least: number, most: number]]>([
    ['at the most rows on loopback', { roundTripMs: 0.3, msPerRow: 0.01, bytesPerRow: 200 }, [5_000, 5_000]],
    [
      'at about the target on a line of 1 Mbit/s',
      { roundTripMs: 40, msPerRow: 1.6, bytesPerRow: 200 },
      [120, 250],
    ],
    [
      'at the most rows over a satellite: the round trip is not the rows’ fault',
      { roundTripMs: 650, msPerRow: 0.02, bytesPerRow: 200 },
      [5_000, 5_000],
    ],
    [
      'no lower than its first size, however far the cloud is',
      { roundTripMs: 9_000, msPerRow: 0.02, bytesPerRow: 200 },
      [100, 100],
    ],
    [
      'no lower than its first size on a line of modems',
      { roundTripMs: 300, msPerRow: 60, bytesPerRow: 200 },
      [100, 100],
    ],
    ['at about a megabyte of large rows', { roundTripMs: 1, msPerRow: 0.1, bytesPerRow: 40_000 }, [20, 26]],
    ['at one row of many megabytes', { roundTripMs: 1, msPerRow: 80, bytesPerRow: 8_000_000 }, [1, 1]],
  ])('%s', (_, network, [least, most]) => {
    const rows = settled(network)
    expect(rows).toBeGreaterThanOrEqual(least)
    expect(rows).toBeLessThanOrEqual(most)
  })

  test.each([1, 50, 100, 1_000])(
    'on a line of modems at its first size, %i, but for one request in many',
    (first) => {
      const sizes = sizesOver(
        { roundTripMs: 300, msPerRow: 600, bytesPerRow: 20 },
        200,
        createBatchSize(undefined, first),
      ).slice(1)
      expect(new Set(sizes.map(({ rows }) => rows))).toEqual(new Set([first, 2 * first]))
      expect(sizes.filter(({ rows }) => rows !== first).length).toBeLessThanOrEqual(200 / 16)
    },
  )

  test('and does not swing once it has', () => {
    const network = fc.record({
      roundTripMs: fc.double({ min: 0.1, max: 3_000, noNaN: true }),
      msPerRow: fc.double({ min: 0.001, max: 50, noNaN: true }),
      bytesPerRow: fc.integer({ min: 20, max: 100_000 }),
    })
    fc.assert(
      fc.property(network, (network) => {
        const last = sizesOver(network, 120)
          .slice(-20)
          .map(({ rows }) => rows)
        expect(Math.max(...last)).toBeLessThanOrEqual(2 * Math.min(...last))
      }),
    )
  })

  test('and a full batch is neither longer nor larger than it should be', () => {
    const network = fc.record({
      roundTripMs: fc.double({ min: 0.1, max: 1_000, noNaN: true }),
      msPerRow: fc.double({ min: 0.001, max: 10, noNaN: true }),
      bytesPerRow: fc.integer({ min: 20, max: 100_000 }),
    })
    fc.assert(
      fc.property(network, (network) => {
        const rows = settled(network)
        const ms = network.roundTripMs + rows * network.msPerRow
        if (rows > BATCH_FIRST_ROWS) expect(ms).toBeLessThanOrEqual(BATCH_SLOWEST_TARGET_MS * 1.3)
        if (rows > 1) expect(rows * network.bytesPerRow).toBeLessThanOrEqual(BATCH_TARGET_BYTES)
      }),
    )
  })
})

test('a network that becomes slow, and quick again, is followed', () => {
  const quick = { roundTripMs: 1, msPerRow: 0.01, bytesPerRow: 100 }
  const slow = { roundTripMs: 100, msPerRow: 2, bytesPerRow: 100 }
  const far = { roundTripMs: 800, msPerRow: 0.02, bytesPerRow: 100 }
  const atQuick = sizesOver(quick, 30).at(-1)
  const atSlow = sizesOver(slow, 60, atQuick).at(-1)
  const atFar = sizesOver(far, 120, atSlow).at(-1)
  const back = sizesOver(quick, 30, atFar).at(-1)
  expect(atQuick?.rows).toBe(BATCH_MAX_ROWS)
  expect(atSlow?.rows).toBeLessThan(400)
  expect(atFar?.rows).toBe(BATCH_MAX_ROWS)
  expect(back?.rows).toBe(BATCH_MAX_ROWS)
})

test('wherever it starts, it finds out that a far cloud is not its rows’ fault', () => {
  const network = fc.record({
    roundTripMs: fc.double({ min: 1, max: 900, noNaN: true }),
    msPerRow: fc.constant(0.02),
    bytesPerRow: fc.constant(100),
  })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5_000 }), network, (first, network) => {
      const rows = sizesOver(network, 200, createBatchSize(undefined, first)).at(-1)?.rows
      expect(rows).toBeGreaterThan(BATCH_MAX_ROWS / 2)
    }),
    { numRuns: 1_000 },
  )
})

test('failures halve it, down to a single row', () => {
  let size = createBatchSize()
  for (let request = 0; request < 10; request++)
    size = observeBatch(size, { rows: size.rows, bytes: 1, ms: 1, ok: false })
  expect(size.rows).toBe(1)
})

test.each([
  [undefined, BATCH_FIRST_ROWS],
  [1_000, BATCH_FIRST_ROWS],
  [20, 20],
  [0, 1],
  [-5, 1],
  [2.9, 2],
])('with the cap %s it starts at %i', (cap, rows) => {
  expect(createBatchSize(cap).rows).toBe(rows)
  expect(settled({ roundTripMs: 1, msPerRow: 0.001, bytesPerRow: 1 }, createBatchSize(cap))).toBe(
    Math.max(1, Math.floor(cap ?? 5_000)),
  )
})

test('one request moves it by no more than fourfold up and half down', () => {
  const seen = fc.record({
    rows: fc.integer({ min: 1, max: 20_000 }),
    bytes: fc.nat(1e9),
    ms: fc.nat(1e6),
    ok: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(seen, { maxLength: 20 }), (all) => {
      let size = createBatchSize()
      for (const one of all) {
        const next = observeBatch(size, one)
        expect(next.rows).toBeLessThanOrEqual(size.rows * 4)
        expect(next.rows).toBeGreaterThanOrEqual(Math.floor(size.rows / 2))
        size = next
      }
    }),
  )
})
