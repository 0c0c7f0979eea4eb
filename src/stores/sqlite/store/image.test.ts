import fc from 'fast-check'
import { expect, test } from 'vitest'

import {
  encodeBytes,
  encodeInt,
  encodeReal,
  encodeText,
  sameValue,
  type Encoded,
  type Fields,
} from '../../../kernel/values.ts'
import { cellOf, createImageCodec, type ImageColumn } from './image.ts'

const value: fc.Arbitrary<Encoded> = fc.oneof(
  fc.constantFrom<Encoded>(
    null,
    true,
    false,
    0,
    1,
    -1,
    127,
    128,
    -129,
    32_768,
    2 ** 31,
    2 ** 53 - 1,
    '',
    [],
    {},
    [1, { a: 2 }],
  ),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(encodeInt),
  fc.double({ noNaN: true }).map(encodeReal),
  fc.string({ maxLength: 20, unit: 'binary' }).map(encodeText),
  fc.uint8Array({ maxLength: 20 }).map(encodeBytes),
)
const columns = (names: readonly string[], fills: readonly Encoded[] = []): readonly ImageColumn[] =>
  names.map((name, id) => ({ name, id, fill: Uint8Array.from(cellOf(fills[id] ?? null)) }))
const names = ['a', 'b', 'c']

test('I10: a cell differs exactly where the value does', () => {
  const codec = createImageCodec(columns(names), 3)
  fc.assert(
    fc.property(fc.tuple(value, value, value), fc.tuple(value, value, value), (one, other) => {
      const [before, after] = [one, other].map((row): Fields =>
        Object.fromEntries(names.map((name, at) => [name, row[at] ?? null])),
      )
      const image = Uint8Array.from(codec.encode(before as Fields))
      const expected = names.filter((name) => !sameValue(before?.[name], after?.[name]))
      expect(codec.changed(after as Fields, image)).toEqual(expected)
      expect(codec.differing(image, Uint8Array.from(codec.encode(after as Fields)))).toEqual(expected)
      expect(codec.changed(before as Fields, image)).toEqual([])
      expect(image.length).toBeLessThanOrEqual(1 + 3 * 17)
    }),
    { numRuns: 2_000 },
  )
})

test('values that look alike are not the same', () => {
  const seen = new Set<string>()
  const alike: readonly Encoded[] = [
    2 ** 40,
    { $real: '1099511627776' },
    0,
    { $real: '0' },
    { $real: '-0' },
    '0',
    null,
    false,
    '',
    { $bytes: '' },
    [],
    {},
    'null',
    { $text: '/w==' },
    { $bytes: '/w==' },
  ]
  for (const one of alike) seen.add(Buffer.from(cellOf(one)).toString('hex'))
  expect(seen.size).toBe(alike.length)
})

test('an image outlives columns that are added, dropped and added again under their old name', () => {
  const image = Uint8Array.from(
    createImageCodec(columns(names), 3).encode({ a: 1, b: 'long '.repeat(9), c: 2 }),
  )
  const later: readonly ImageColumn[] = [
    { name: 'c', id: 2, fill: Uint8Array.from(cellOf(null)) },
    { name: 'd', id: 3, fill: Uint8Array.from(cellOf('default')) },
    { name: 'b', id: 4, fill: Uint8Array.from(cellOf(null)) },
  ]
  const codec = createImageCodec(later, 5)
  expect(codec.changed({ c: 2, d: 'default', b: null }, image)).toEqual([])
  expect(codec.changed({ c: 3, d: 'default', b: null }, image)).toEqual(['c'])
  expect(codec.changed({ c: 2, d: 'other', b: 'x' }, image)).toEqual(['d', 'b'])
  expect(codec.absent(image)).toEqual(['d', 'b'])
  const next = Uint8Array.from(codec.encode({ d: 'pushed' }, image))
  expect(codec.changed({ c: 2, d: 'pushed', b: null }, next)).toEqual([])
  expect(codec.absent(next)).toEqual(['b'])
})

test('a row of 2,000 columns', () => {
  const many = Array.from({ length: 2_000 }, (_, at) => `c${at}`)
  const codec = createImageCodec(columns(many), 2_000)
  const row = Object.fromEntries(
    many.map((name, at) => [name, at % 3 === 0 ? 'text that is long enough to be hashed' : at]),
  )
  const image = Uint8Array.from(codec.encode(row))
  expect(codec.changed(row, image)).toEqual([])
  expect(codec.changed({ ...row, c1999: 'x', c0: 'y' }, image)).toEqual(['c0', 'c1999'])
})
