import { expect, it } from 'vitest'

import { commonVersion } from './reset.ts'
import { withGeneration } from './work.ts'

const cursor = (high: number) => ({ epoch: 'e', generation: 'g2', version: high, high })

it('I11: what a restored cloud has in common with a replica is never overestimated', () => {
  const known = [
    { id: 'g1', start: 0 },
    { id: 'g2', start: 50 },
  ]
  // Restored into g2 at 80 while the replica was at 120.
  expect(
    commonVersion(
      known,
      [
        { id: 'g1', start: 0 },
        { id: 'g2', start: 50 },
        { id: 'g9', start: 80 },
      ],
      cursor(120),
    ),
  ).toBe(80)
  // Restored to before g2 began.
  expect(
    commonVersion(
      known,
      [
        { id: 'g1', start: 0 },
        { id: 'g9', start: 30 },
      ],
      cursor(120),
    ),
  ).toBe(30)
  // The replica missed g2; the cloud's own g1 ended earlier than the replica can know.
  const missed = [
    { id: 'g1', start: 0 },
    { id: 'g3', start: 90 },
  ]
  expect(
    commonVersion(
      missed,
      [
        { id: 'g1', start: 0 },
        { id: 'g2', start: 50 },
        { id: 'g9', start: 80 },
      ],
      cursor(120),
    ),
  ).toBe(50)
  // Nothing in common.
  expect(commonVersion(known, [{ id: 'x', start: 0 }], cursor(120))).toBe(0)
  // Never more than the replica holds.
  expect(commonVersion(known, [{ id: 'g2', start: 50 }], cursor(70))).toBe(70)
})

it('I11: who joined late offers nothing that was there before the restored state', () => {
  const before = [
    { id: 'g1', start: 0 },
    { id: 'g2', start: 50 },
  ]
  const known = withGeneration([], { id: 'g3', start: 90, before })
  expect(known).toEqual([...before, { id: 'g3', start: 90 }])
  const restored = [...before, { id: 'g9', start: 80 }]
  expect(commonVersion(known, restored, { ...cursor(120), generation: 'g3' })).toBe(80)
  // Known already: nothing is told again, nothing is forgotten.
  expect(withGeneration(known, { id: 'g3', start: 90 })).toBe(known)
})
