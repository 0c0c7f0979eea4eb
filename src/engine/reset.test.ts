import { expect, it } from 'vitest'

import { commonVersion } from './reset.ts'

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
