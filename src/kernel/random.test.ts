import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { randomInt, seededRandom, systemRandom, uuidV7 } from './random.ts'

test('a seed gives one sequence, and another seed another', () => {
  const take = (seed: number) => {
    const random = seededRandom(seed)
    return Array.from({ length: 8 }, () => random.next())
  }
  fc.assert(
    fc.property(fc.integer(), fc.integer(), (a, b) => {
      expect(take(a)).toEqual(take(a))
      if (a !== b) expect(take(a)).not.toEqual(take(b))
    }),
  )
})

test('numbers lie in [0, 1), and every whole number below the bound comes up', () => {
  const random = seededRandom(7)
  const seen = new Set<number>()
  for (let draw = 0; draw < 2_000; draw++) {
    const next = random.next()
    expect(next >= 0 && next < 1).toBe(true)
    seen.add(randomInt(random, 10))
  }
  expect([...seen].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  expect(randomInt(random, 1)).toBe(0)
})

test('a version 7 UUID has its shape and its time', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), fc.integer(), (now, seed) => {
      const uuid = uuidV7(now, seededRandom(seed))
      expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      expect(Number.parseInt(uuid.replace('-', '').slice(0, 12), 16)).toBe(now)
    }),
  )
})

test('UUIDs sort by their milliseconds and do not repeat within one', () => {
  expect(uuidV7(1_000, systemRandom) < uuidV7(1_001, systemRandom)).toBe(true)
  const ids = new Set(Array.from({ length: 5_000 }, () => uuidV7(1_000, systemRandom)))
  expect(ids.size).toBe(5_000)
})
