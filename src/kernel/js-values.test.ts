import { deepStrictEqual } from 'node:assert/strict'

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { decodeJs, encodeJs } from './js-values.ts'
import {
  encodeBytes,
  encodeInt,
  encodeReal,
  encodeText,
  encodeTextBytes,
  encodingFault,
  sameValue,
  type Encoded,
} from './values.ts'

const RUNS = { numRuns: 2_000 }

const text = fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[a\0\ud800]*$/))
const key = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('$int', '$js', '$object', '$', '__proto__', 'constructor', 'length'),
)
const buffer = fc.uint8Array({ maxLength: 8 }).chain((bytes) => {
  const padded = new Uint8Array(Math.ceil(bytes.length / 8) * 8)
  padded.set(bytes)
  return fc.constantFrom(
    bytes,
    padded.buffer,
    new DataView(padded.buffer),
    new Int8Array(padded.buffer),
    new Uint8ClampedArray(padded.buffer),
    new Int16Array(padded.buffer),
    new Uint16Array(padded.buffer),
    new Int32Array(padded.buffer),
    new Uint32Array(padded.buffer),
    new Float32Array(padded.buffer),
    new Float64Array(padded.buffer),
    new BigInt64Array(padded.buffer),
    new BigUint64Array(padded.buffer),
  )
})
const js = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.oneof(
      fc.constantFrom<unknown>(
        null,
        undefined,
        true,
        false,
        0,
        -0,
        1n,
        2n ** 53n,
        2n ** 64n,
        -(2n ** 70n),
        '',
        '{"$int":"1"}',
      ),
      text,
      fc.double(),
      fc.integer(),
      fc.bigInt(),
      fc.date(),
      buffer,
    ),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 3 }).map((entries) => Object.fromEntries(entries)),
  ),
})).value

/** Structured clone is what a browser store does to a value: `deepStrictEqual` tells all that it keeps. */
test('I10: a value comes back as the value it was', () => {
  fc.assert(
    fc.property(js, (value) => {
      const encoded = encodeJs(structuredClone(value))
      expect(encodingFault(encoded)).toBeNull()
      const back = decodeJs(JSON.parse(JSON.stringify(encoded)) as Encoded)
      deepStrictEqual(back, value)
    }),
    RUNS,
  )
})

describe('I10: a value that was not touched keeps the form it had elsewhere', () => {
  const foreign = fc.oneof(
    fc.double().map(encodeReal),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(encodeInt),
    text.map(encodeText),
    fc.uint8Array({ maxLength: 8 }).map(encodeTextBytes),
    fc.uint8Array({ maxLength: 8 }).map(encodeBytes),
    js.map((value) => encodeJs(value)),
  )
  const nested = fc.letrec<{ value: Encoded }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      foreign,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.array(fc.tuple(key, tie('value')), { maxLength: 3 }).map((entries): Encoded => {
        const fields = Object.fromEntries(entries)
        return Object.keys(fields).some((name) => name.startsWith('$')) ? { $object: fields } : fields
      }),
    ),
  })).value

  test('of any kind and depth', () => {
    fc.assert(
      fc.property(nested, (before) => {
        expect(encodingFault(before)).toBeNull()
        expect(sameValue(encodeJs(decodeJs(before), before), before)).toBe(true)
      }),
      RUNS,
    )
  })

  test('and a changed one is read as what it is now', () => {
    fc.assert(
      fc.property(nested, js, (before, value) => {
        const encoded = encodeJs(value, before)
        expect(encodingFault(encoded)).toBeNull()
        const sees = encodeJs(decodeJs(encoded))
        expect(sameValue(sees, encodeJs(value))).toBe(true)
      }),
      RUNS,
    )
  })

  test.each<[unknown, Encoded, Encoded]>([
    [1, { $real: '1' }, { $real: '1' }],
    [2, { $real: '1' }, 2],
    [
      { a: 1, b: 3 },
      { a: { $real: '1' }, b: { $real: '2' } },
      { a: { $real: '1' }, b: 3 },
    ],
    [[1, 1], [{ $real: '1' }], [{ $real: '1' }, 1]],
    [{ $a: 1 }, { $object: { $a: { $real: '1' } } }, { $object: { $a: { $real: '1' } } }],
    ['\ufffd', { $text: '/w==' }, { $text: '/w==' }],
    ['\ufffd!', { $text: '/w==' }, '\ufffd!'],
    [-0, 0, { $real: '-0' }],
  ])('%j after %j is %j', (value, before, encoded) => {
    expect(encodeJs(value, before)).toEqual(encoded)
  })
})

test.each<[string, unknown, Encoded]>([
  ['a safe integer', 5, 5],
  ['a number past 2^53', 2 ** 53, { $real: '9007199254740992' }],
  ['a bigint past 2^53', 2n ** 53n, { $int: '9007199254740992' }],
  ['a small bigint', 5n, { $js: ['bigint', '5'] }],
  ['undefined', undefined, { $js: ['undefined'] }],
  ['a date', new Date(0), { $date: '1970-01-01T00:00:00.000Z' }],
  ['no date', new Date(Number.NaN), { $date: 'Invalid Date' }],
  ['bytes', Uint8Array.of(1), { $bytes: 'AQ==' }],
  [
    'part of a buffer',
    new Uint16Array(Uint16Array.of(1, 2, 3).buffer, 2, 1),
    { $js: ['Uint16Array', 'AgA='] },
  ],
  [
    'an object with $ keys',
    { $int: '1', a: { $b: 1 } },
    { $object: { $int: '1', a: { $object: { $b: 1 } } } },
  ],
])('%s', (_, value, encoded) => {
  expect(encodeJs(value)).toEqual(encoded)
})

test.each<[string, unknown]>([
  ['a function', () => 1],
  ['a symbol', Symbol('a')],
  ['a map', new Map()],
  ['an object of a class', new URL('a:b')],
  ['an error', new Error('S3CR3T')],
  ['a hole', Array.from({ length: 1, 3: 1 }).concat(Array(1))],
  ['a list with a name', Object.assign([1], { S3CR3T: 1 })],
  ['a key that is not text', { 'S3CR3T\0': 1 }],
  ['a bigint without end', 10n ** 1_000n],
])('I10: %s is refused by its kind, without its value', (_, value) => {
  expect(() => encodeJs({ a: value })).toThrow(RangeError)
  expect(() => encodeJs({ a: value })).not.toThrow(/S3CR3T/)
})

test('I10: a cycle is refused', () => {
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  expect(() => encodeJs(cycle)).toThrow('deeper')
})
