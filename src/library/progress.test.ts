import fc from 'fast-check'
import { expect, it } from 'vitest'

import type { EngineEvent } from '../engine/engine.ts'
import { measureProgress } from './progress.ts'

const rows = fc.nat(5_000)
const event: fc.Arbitrary<EngineEvent> = fc.oneof(
  rows.map((count): EngineEvent => ({ type: 'pushed', rows: count, force: false, tables: {} })),
  rows.map((records): EngineEvent => ({ type: 'pulled', records })),
  rows.map((count): EngineEvent => ({ type: 'applied', rows: count, parked: 0, lockMs: 0, tables: {} })),
  fc
    .tuple(rows, fc.option(rows))
    .map(([done, total]): EngineEvent => ({ type: 'progress', task: 'hydrate', done, total })),
  fc.constant<EngineEvent>({ type: 'synced', at: 0 }),
)

it('never goes back, and is whole only at the end', () => {
  fc.assert(
    fc.property(fc.array(event), rows, (events, pending) => {
      const meter = measureProgress('sync', pending)
      const seen = [meter.first, ...events.map((one) => meter.follow(one)).filter((one) => one !== null)]
      const shares = seen.map(({ percentage }) => percentage)
      expect(shares).toEqual(shares.toSorted((a, b) => a - b))
      expect(shares.every((share) => Number.isInteger(share) && share < 100)).toBe(true)
      expect(seen.every(({ processed, total }) => processed <= total)).toBe(true)
      expect(meter.end()).toMatchObject({ percentage: 100, phase: 'done' })
    }),
  )
})

it('tells rows in words', () => {
  const meter = measureProgress('seed', 2_000)
  expect(meter.first).toMatchObject({ percentage: 0, message: 'Connecting', total: 2_000 })
  const pushed = { type: 'pushed', rows: 1_000, force: false, tables: {} } as const
  expect(meter.follow(pushed)).toMatchObject({
    percentage: 49,
    message: 'Sent 1,000 of 2,000',
    phase: 'sending',
  })
  const read = { type: 'progress', task: 'hydrate', done: 500, total: 4_000 } as const
  expect(measureProgress('hydrate', 0).follow(read)).toMatchObject({
    message: 'Received 500 of 4,000',
    percentage: 12,
  })
})
