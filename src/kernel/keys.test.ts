import Database from 'better-sqlite3'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { bytesToBase64 } from './base64.ts'
import { foldKeyValue, keyOf, keyValues, utf8Bytes, type Collation } from './keys.ts'
import {
  encodeBytes,
  encodeInt,
  encodeReal,
  encodeText,
  encodeTextBytes,
  encodingFault,
  type Encoded,
} from './values.ts'

const RUNS = { numRuns: 3_000 }
const collations: readonly Collation[] = ['BINARY', 'NOCASE', 'RTRIM']

describe('I10: keys meet exactly where SQLite says that they are equal', () => {
  let db: Database.Database
  beforeAll(() => {
    db = new Database(':memory:')
    for (const collation of collations) db.exec(`CREATE TABLE pair_${collation} (a COLLATE ${collation}, b)`)
  })
  afterAll(() => {
    db.close()
  })

  /** SQLite's own answer; text is given as bytes, so that NUL and broken UTF-8 arrive as they are. */
  function sqliteEquals(a: Stored, b: Stored, collation: Collation): boolean {
    const term = (value: Stored) => (value.kind === 'text' ? 'CAST(? AS TEXT)' : '?')
    // Columns without a type: no affinity that would turn the text 1 into the number.
    const set = `INSERT INTO pair_${collation} VALUES (${term(a)}, ${term(b)}) RETURNING a = b`
    const equal = db.prepare(set).pluck().get(a.value, b.value) === 1
    db.exec(`DELETE FROM pair_${collation}`)
    return equal
  }

  const bytes = fc.array(
    fc.constantFrom(0, 0x20, 0x41, 0x61, 0x5a, 0x7a, 0x40, 0x5b, 0xc3, 0x89, 0xa9, 0xff),
    { maxLength: 5 },
  )
  const word = bytes.map((list) => textOf(Buffer.from(list)))
  const nearText = fc
    .tuple(bytes, fc.nat(4), fc.constantFrom(0, 0x20, 0x41, 0x61, 0xc3))
    .map(([list, at, byte]) => {
      const other = [...list]
      other[Math.min(at, other.length)] = byte
      return [textOf(Buffer.from(list)), textOf(Buffer.from(other))] as const
    })

  test.each(collations)('text, %s', (collation) => {
    let equal = 0
    fc.assert(
      fc.property(fc.oneof(fc.tuple(word, word), nearText), ([a, b]) => {
        const same = sqliteEquals(a, b, collation)
        expect(keyOf([a.encoded], [collation]) === keyOf([b.encoded], [collation])).toBe(same)
        if (same) equal++
      }),
      RUNS,
    )
    expect(equal).toBeGreaterThan(60)
  })

  const edges = [
    0n,
    1n,
    -1n,
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 53n + 1n,
    2n ** 53n + 2n,
    2n ** 62n + 1n,
    2n ** 63n - 1n,
    -(2n ** 63n),
  ]
  const integer = fc
    .oneof(fc.constantFrom(...edges), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))
    .map(intOf)
  const real = fc
    .oneof(
      fc.constantFrom(
        ...edges.map(Number),
        0.5,
        -0,
        2 ** 63,
        -(2 ** 63),
        2 ** 63 - 1024,
        1e300,
        Infinity,
        -Infinity,
      ),
      fc.double({ noNaN: true }),
      fc.integer(),
    )
    .map(realOf)
  const number = fc.oneof(integer, real)
  const asOther = fc.oneof(
    integer.map((a) => [a, realOf(Number(a.value))] as const),
    real
      .filter((a) => Number.isInteger(a.value) && Math.abs(a.value as number) < 2 ** 63)
      .map((a) => [a, intOf(BigInt(a.value as number))] as const),
  )

  test('numbers', () => {
    let equal = 0
    fc.assert(
      fc.property(fc.oneof(fc.tuple(number, number), asOther), ([a, b]) => {
        const same = sqliteEquals(a, b, 'BINARY')
        expect(keyOf([a.encoded]) === keyOf([b.encoded])).toBe(same)
        if (same) equal++
      }),
      RUNS,
    )
    expect(equal).toBeGreaterThan(300)
  })

  test.each(collations)('values of different storage classes, %s', (collation) => {
    const blob = bytes.map((list): Stored => ({
      kind: 'blob',
      value: Buffer.from(list),
      encoded: encodeBytes(Uint8Array.from(list)),
    }))
    const digits = fc.integer({ min: 0, max: 3 }).map((n) => textOf(Buffer.from(String(n))))
    const small = fc.integer({ min: 0, max: 3 }).map((n) => intOf(BigInt(n)))
    const any = fc.oneof(word, blob, number, digits, small)
    fc.assert(
      fc.property(any, any, (a, b) => {
        expect(keyOf([a.encoded], [collation]) === keyOf([b.encoded], [collation])).toBe(
          sqliteEquals(a, b, collation),
        )
      }),
      RUNS,
    )
  })

  test('folding is idempotent and stays canonical', () => {
    fc.assert(
      fc.property(fc.oneof(word, number), fc.constantFrom(...collations), ({ encoded }, collation) => {
        const folded = foldKeyValue(encoded, collation)
        expect(encodingFault(folded)).toBeNull()
        expect(foldKeyValue(folded, collation)).toEqual(folded)
      }),
      RUNS,
    )
  })
})

interface Stored {
  readonly kind: 'int' | 'real' | 'text' | 'blob'
  readonly value: bigint | number | Buffer
  readonly encoded: Encoded
}

const intOf = (value: bigint): Stored => ({ kind: 'int', value, encoded: encodeInt(value) })
const realOf = (value: number): Stored => ({ kind: 'real', value, encoded: encodeReal(value) })
const textOf = (value: Buffer): Stored => ({ kind: 'text', value, encoded: encodeTextBytes(value) })

test.each<[string, Encoded, Collation, string]>([
  ['an integer', 1, 'BINARY', '[1]'],
  ['its real', { $real: '1' }, 'BINARY', '[1]'],
  ['−0', { $real: '-0' }, 'BINARY', '[0]'],
  ['2^53 as a real', encodeReal(2 ** 53), 'BINARY', '[{"$int":"9007199254740992"}]'],
  ['2^53 + 1', encodeInt(2n ** 53n + 1n), 'BINARY', '[{"$int":"9007199254740993"}]'],
  ['−2^63 as a real', encodeReal(-(2 ** 63)), 'BINARY', '[{"$int":"-9223372036854775808"}]'],
  ['2^63 as a real', encodeReal(2 ** 63), 'BINARY', '[{"$real":"9223372036854776000"}]'],
  ['infinity', encodeReal(Infinity), 'NOCASE', '[{"$real":"Infinity"}]'],
  ['ASCII letters', 'ÄbC', 'NOCASE', '["Äbc"]'],
  ['the Kelvin sign', '\u212a', 'NOCASE', '["\u212a"]'],
  ['spaces at the end', ' a  ', 'RTRIM', '[" a"]'],
  ['a tab at the end', 'a\t', 'RTRIM', '["a\\t"]'],
  ['only spaces', '  ', 'RTRIM', '[""]'],
  ['letters, BINARY', 'aB ', 'BINARY', '["aB "]'],
  ['text after NUL', encodeText('A\0bc'), 'NOCASE', `[{"$text":"${bytesToBase64(Buffer.from('a\0\0\0'))}"}]`],
  ['broken UTF-8', encodeTextBytes(Uint8Array.of(0x41, 0xff)), 'NOCASE', '[{"$text":"Yf8="}]'],
  ['broken UTF-8 with spaces', encodeTextBytes(Uint8Array.of(0xff, 0x20)), 'RTRIM', '[{"$text":"/w=="}]'],
  ['a blob', encodeBytes(Uint8Array.of(0x41, 0x20)), 'NOCASE', '[{"$bytes":"QSA="}]'],
  ['a truth value', true, 'NOCASE', '[true]'],
])('the key of %s', (_, value, collation, key) => {
  expect(keyOf([value], [collation])).toBe(key)
  expect(keyOf(keyValues(key), [collation])).toBe(key)
})

test('a key of several columns takes the collation of each', () => {
  expect(keyOf(['A', 'B ', 'C '], ['NOCASE', 'RTRIM'])).toBe('["a","B","C "]')
})

test('a key with null is refused', () => {
  expect(() => keyOf([1, null])).toThrow(RangeError)
})

test('RTRIM takes linear time: a long run of spaces before the end', () => {
  const value = `${' '.repeat(2_000_000)}x`
  expect(foldKeyValue(value, 'RTRIM')).toBe(value)
})

test('utf8Bytes counts what the text takes', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => utf8Bytes(text) === Buffer.byteLength(text)))
})
