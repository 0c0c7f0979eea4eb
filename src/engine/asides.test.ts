import { expect, it } from 'vitest'

import { MAX_ASIDES, placeOf, withAside } from './asides.ts'
import type { Aside, ReplicaState } from './store.ts'

const cursor = (version: number, epoch = 'e') => ({ epoch, generation: 'g', version, high: version })
const stateOf = (asides: readonly Aside[]): ReplicaState => ({
  replica: 'r',
  space: 's',
  mutation: 0,
  inFlight: null,
  cursor: cursor(5),
  asides,
  generations: [],
  hydrating: null,
  covered: [],
  publishedSchema: null,
  overwriting: null,
})

it('the newest asides are kept, one for each set', () => {
  const all = Array.from({ length: MAX_ASIDES + 3 }, (_, at) => ({ tables: [`t${at}`], cursor: cursor(at) }))
  const kept = all.reduce<readonly Aside[]>(withAside, [])
  expect(kept).toHaveLength(MAX_ASIDES)
  const again = withAside(kept, { tables: ['t9'], cursor: cursor(99) })
  expect(again).toHaveLength(MAX_ASIDES)
  expect(again[0]).toEqual({ tables: ['t9'], cursor: cursor(99) })
})

it('I4: a set begins at its aside only where that is ahead in the same history', () => {
  const ahead = { tables: ['a', 'b'], cursor: { ...cursor(9), high: 9 } }
  const high = { ...cursor(5), high: 12 }
  expect(placeOf(stateOf([ahead]), high, ['a', 'b'])).toEqual({ ...cursor(9), high: 12 })
  expect(placeOf(stateOf([ahead]), high, ['a'])).toBe(high)
  expect(placeOf(stateOf([ahead]), high, null)).toBe(high)
  expect(placeOf(stateOf([{ ...ahead, cursor: cursor(4) }]), high, ['a', 'b'])).toBe(high)
  expect(placeOf(stateOf([{ ...ahead, cursor: cursor(9, 'other') }]), high, ['a', 'b'])).toBe(high)
})
