import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { base64ToBytes, bytesToBase64 } from './base64.ts'
import { encodeJs } from './js-values.ts'
import {
  canonicalJson,
  encodeBytes,
  encodeInt,
  encodeReal,
  encodeText,
  encodeTextBytes,
  encodingFault,
  MAX_VALUE_DEPTH,
  sameFields,
  sameValue,
  type Encoded,
} from './values.ts'
import { stringToWtf8 } from './wtf8.ts'

const RUNS = { numRuns: 2_000 }

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(
    0n,
    -1n,
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 53n + 1n,
    -(2n ** 53n),
    -(2n ** 53n) + 1n,
    2n ** 63n - 1n,
    -(2n ** 63n),
  ),
)
const double = fc.oneof(
  fc.double(),
  fc.constantFrom(0, -0, 1, 2 ** 53, -(2 ** 63), 2 ** 63, 1e21, 1e300, 5e-324),
)
/** Any UTF-16, lone surrogates and NUL included. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map(stringOfUnits),
  fc.stringMatching(/^[a\0\ud800é]*$/),
)
const blob = fc.uint8Array({ maxLength: 40 })

/** A value of an SQLite storage class, its encoding, and bytes that tell it from every other value. */
const stored = fc.oneof(
  fc.constant({ encoded: null as Encoded, identity: 'null' }),
  int64.map((value) => ({ encoded: encodeInt(value), identity: `int ${value}` })),
  double.map((value) => ({ encoded: encodeReal(value), identity: `real ${bitsOfDouble(value)}` })),
  text.map((value) => ({ encoded: encodeText(value), identity: `text ${hex(utf16(value))}` })),
  blob.map((value) => ({ encoded: encodeBytes(value), identity: `blob ${hex(value)}` })),
)

function stringOfUnits(units: readonly number[]): string {
  return String.fromCharCode(...units)
}

function utf16(value: string): Uint8Array {
  return new Uint8Array(Uint16Array.from({ length: value.length }, (_, at) => value.charCodeAt(at)).buffer)
}

/** All NaNs are one: JavaScript and SQLite do not tell them apart. */
function bitsOfDouble(value: number): string {
  return hex(new Uint8Array(Float64Array.of(value).buffer))
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

describe('I10: encodings of stored values', () => {
  test('are canonical, plain JSON, and come back from JSON the same', () => {
    fc.assert(
      fc.property(stored, ({ encoded }) => {
        expect(encodingFault(encoded)).toBeNull()
        const wire = JSON.stringify(encoded)
        expect(wire).not.toMatch(/\\u0000|\\ud[89a-f]/i)
        expect(sameValue(JSON.parse(wire) as Encoded, encoded)).toBe(true)
      }),
      RUNS,
    )
  })

  test('are the same exactly when the values are, bit for bit', () => {
    fc.assert(
      fc.property(stored, stored, (a, b) => {
        const same = a.identity === b.identity
        expect(sameValue(a.encoded, b.encoded)).toBe(same)
        expect(canonicalJson(a.encoded) === canonicalJson(b.encoded)).toBe(same)
      }),
      RUNS,
    )
  })

  test.each<[string, Encoded, Encoded]>([
    ['1 and 1.0', encodeInt(1n), encodeReal(1)],
    ['0.0 and −0.0', encodeReal(0), encodeReal(-0)],
    ['0 and −0.0', encodeInt(0n), encodeReal(-0)],
    ['2^53 and 2^53 + 1', encodeInt(2n ** 53n), encodeInt(2n ** 53n + 1n)],
    ['2^53 and 2^53 as REAL', encodeInt(2n ** 53n), encodeReal(2 ** 53)],
    ['the infinities', encodeReal(Infinity), encodeReal(-Infinity)],
    ['text and the blob of its bytes', encodeText('a\0'), encodeBytes(new TextEncoder().encode('a\0'))],
    ['text that looks like an encoding', encodeText('{"$int":"1"}'), encodeInt(1n)],
    ['the number and its text', encodeInt(5n), encodeText('5')],
    ['a lone surrogate and U+FFFD', encodeText('\ud800'), encodeText('�')],
    ['a mark of byte order and none', encodeText('\ufeffa'), encodeText('a')],
    ['two normal forms', encodeText('\u00e9'), encodeText('e\u0301')],
  ])('keep apart: %s', (_, a, b) => {
    expect(sameValue(a, b)).toBe(false)
    expect(sameValue(a, structuredClone(a))).toBe(true)
  })

  test.each<[Encoded, string]>([
    [encodeInt(9007199254740991n), '9007199254740991'],
    [encodeInt(9007199254740992n), '{"$int":"9007199254740992"}'],
    [encodeInt(-(2n ** 63n)), '{"$int":"-9223372036854775808"}'],
    [encodeReal(1), '{"$real":"1"}'],
    [encodeReal(1e21), '{"$real":"1e+21"}'],
    [encodeReal(-0), '{"$real":"-0"}'],
    [encodeReal(Number.NaN), '{"$real":"NaN"}'],
    [encodeReal(0.1), '0.1'],
    [encodeText('a\0'), '{"$text":"YQA="}'],
    [encodeText('\ud800'), '{"$text":"7aCA"}'],
    [encodeBytes(Uint8Array.of()), '{"$bytes":""}'],
    [encodeTextBytes(Uint8Array.of(0xff)), '{"$text":"/w=="}'],
  ])('%j is written %s', (encoded, wire) => {
    expect(JSON.stringify(encoded)).toBe(wire)
  })

  test('refuse integers past 64 bits', () => {
    expect(() => encodeInt(2n ** 63n)).toThrow(RangeError)
    expect(() => encodeInt(-(2n ** 63n) - 1n)).toThrow(RangeError)
  })

  test('of text given as bytes keep the bytes', () => {
    fc.assert(
      fc.property(fc.oneof(blob, text.map(stringToWtf8)), (bytes) => {
        const encoded = encodeTextBytes(bytes)
        expect(encodingFault(encoded)).toBeNull()
        const back =
          typeof encoded === 'string' ? Buffer.from(encoded) : base64ToBytes(tagBody(encoded, '$text'))
        expect(hex(back)).toBe(hex(bytes))
      }),
      RUNS,
    )
  })

  test('of text and of its bytes are the same', () => {
    fc.assert(
      fc.property(text, (value) => sameValue(encodeText(value), encodeTextBytes(stringToWtf8(value)))),
      RUNS,
    )
  })
})

/** The encoding that the encoders make of what `value` stands for; undefined when it stands for nothing. */
function encodeAgain(value: unknown): Encoded | undefined {
  if (value === null || typeof value === 'boolean') return value
  if (typeof value === 'string') return encodeText(value)
  if (typeof value === 'number')
    return Number.isSafeInteger(value) && !Object.is(value, -0) ? value : encodeReal(value)
  if (typeof value !== 'object') return undefined
  if (Array.isArray(value)) return value.map(encodeAgain) as Encoded
  const entries = Object.entries(value)
  const [tag, body] = entries[0] ?? ['', null]
  if (!tag.startsWith('$')) return encodeObject(value)
  if (entries.length > 1) return undefined
  if (tag === '$object')
    return typeof body === 'object' && body !== null && !Array.isArray(body)
      ? encodeObject(body as object)
      : undefined
  try {
    return encodeTag(tag, body)
  } catch {
    return undefined
  }
}

function encodeObject(fields: object): Encoded {
  const entries = Object.entries(fields).map(([key, item]) => [key, encodeAgain(item)] as const)
  const encoded = Object.fromEntries(entries) as { readonly [key: string]: Encoded }
  return entries.some(([key]) => key.startsWith('$')) ? { $object: encoded } : encoded
}

function encodeTag(tag: string, body: unknown): Encoded | undefined {
  if (typeof body !== 'string') return undefined
  if (tag === '$int') return encodeInt(BigInt(body))
  if (tag === '$real') return encodeReal(Number(body))
  if (tag === '$bytes') return encodeBytes(base64ToBytes(body))
  if (tag === '$text') return encodeTextBytes(base64ToBytes(body))
  return tag === '$date' ? encodeJs(new Date(body)) : undefined
}

function tagBody(encoded: Encoded, tag: string): string {
  return (encoded as { readonly [key: string]: string })[tag] as string
}

describe('encodingFault', () => {
  const tags = fc.constantFrom('$int', '$real', '$bytes', '$text', '$date', '$object', '$other', '$', 'plain')
  const bodies = fc.oneof(
    int64.map(String),
    double.map(String),
    blob.map(bytesToBase64),
    text.map((value) => bytesToBase64(stringToWtf8(value))),
    fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
    fc.constantFrom(
      '-0',
      '0',
      '00',
      '01',
      '+1',
      '1.0',
      ' 1',
      '0x1',
      '1e21',
      'NaN',
      'Infinity',
      '',
      '=',
      'AA',
      'AB==',
      'AAB=',
    ),
    fc.constantFrom(
      '2026-01-29',
      '2026-01-29T14:30:00Z',
      '2026-01-29T14:30:00.000Z',
      '2026-02-30T00:00:00.000Z',
      'Invalid Date',
    ),
    fc.stringMatching(/^[A-Za-z0-9+/]{0,9}={0,3}$/),
  )
  const near = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.oneof(fc.constant(null), fc.boolean(), double, text, fc.integer(), bodies),
      fc.tuple(tags, bodies).map(([tag, body]) => ({ [tag]: body })),
      fc.tuple(tags, tie('value')).map(([tag, body]) => ({ [tag]: body })),
      fc.tuple(tags, tags, tie('value'), tie('value')).map(([a, b, x, y]) => ({ [a]: x, [b]: y })),
      fc.array(tie('value'), { maxLength: 3 }),
    ),
  })).value

  test('I10: accepts what the encoders make and nothing else', () => {
    let accepted = 0
    fc.assert(
      fc.property(near, (value) => {
        const again = encodeAgain(value)
        const canonical =
          again !== undefined && JSON.stringify(again) === JSON.stringify(value) && !hasMinusZero(value)
        expect(encodingFault(value) === null).toBe(canonical)
        if (canonical) accepted++
      }),
      { numRuns: 10_000 },
    )
    expect(accepted).toBeGreaterThan(500)
  })

  /** JSON has no −0 and no infinities: `JSON.stringify` would hide the difference. */
  function hasMinusZero(value: unknown): boolean {
    if (typeof value === 'number') return Object.is(value, -0) || !Number.isFinite(value)
    return typeof value === 'object' && value !== null && Object.values(value).some(hasMinusZero)
  }

  test.each<[string, unknown]>([
    ['undefined', undefined],
    ['a bigint', 1n],
    ['a date', new Date(0)],
    ['a map', new Map()],
    ['bytes', Uint8Array.of(1)],
    ['a hole', Array.from({ length: 2 })],
    ['−0', -0],
    ['NaN', Number.NaN],
    ['an unsafe integer', 2 ** 53],
    ['NUL', 'a\0'],
    ['a lone surrogate', '\udc00'],
    ['a lone surrogate in a key', { '\udc00': 1 }],
    ['NUL in a key of $object', { $object: { $a: 1, '\0': 1 } }],
    ['an unknown tag', { $what: '1' }],
    ['two tags', { $int: '9007199254740992', $real: '1' }],
    ['a tag beside a field', { $real: '1', a: 1 }],
    ['$object without need', { $object: { a: 1 } }],
    ['$object that is a list', { $object: [1] }],
    ['$int that is safe', { $int: '5' }],
    ['$int past 64 bits', { $int: '9223372036854775808' }],
    ['$int with a zero in front', { $int: '09007199254740993' }],
    ['$int as a number', { $int: 9007199254740992 }],
    ['$real of a fraction', { $real: '0.5' }],
    ['$real in another form', { $real: '1e21' }],
    ['$text that is plain', { $text: 'YQ==' }],
    ['$bytes with loose bits', { $bytes: 'AB==' }],
    ['$bytes with a line break', { $bytes: 'AAAA\nAAAA' }],
    ['$bytes without padding', { $bytes: 'AA' }],
    ['$date with an offset', { $date: '2026-01-29T14:30:00.000+01:00' }],
    ['$date of no day', { $date: '2026-02-30T00:00:00.000Z' }],
    ['$js of nothing', { $js: [] }],
    ['$js of a text', { $js: 'undefined' }],
    ['$js of an unknown kind', { $js: ['Map', 'AA=='] }],
    ['$js of an inherited name', { $js: ['constructor', ''] }],
    ['$js undefined with more', { $js: ['undefined', ''] }],
    ['$js bigint that $int carries', { $js: ['bigint', '9007199254740992'] }],
    ['$js bigint with a zero in front', { $js: ['bigint', '07'] }],
    ['$js bigint −0', { $js: ['bigint', '-0'] }],
    ['$js bigint of many digits', { $js: ['bigint', '9'.repeat(1_001)] }],
    ['$js with part of an element', { $js: ['Int16Array', 'AA=='] }],
  ])('refuses %s', (_, value) => {
    expect(encodingFault(value)).toBeTypeOf('string')
  })

  test('names the rule, never the value', () => {
    fc.assert(
      fc.property(near, (value) => {
        const fault = encodingFault({ field: value, secret: 'S3CR3T\0' })
        expect(fault).not.toContain('S3CR3T')
      }),
    )
  })

  test('bounds the depth, and a deep value does not overflow the stack', () => {
    const nest = (depth: number) => {
      let value: unknown = 1
      for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { a: value }
      return value
    }
    expect(encodingFault(nest(MAX_VALUE_DEPTH))).toBeNull()
    expect(encodingFault(nest(MAX_VALUE_DEPTH + 1))).toContain('deeper')
    expect(encodingFault(nest(100_000))).toContain('deeper')
  })

  test('reads a blob of 20 MB without overflowing the stack', () => {
    const body = 'AAAA'.repeat(5_000_000)
    expect(encodingFault({ $bytes: body })).toBeNull()
    expect(encodingFault({ $bytes: `${body}*AAA` })).toBeTypeOf('string')
  })
})

describe('sameFields', () => {
  test('compares columns and values, not their order', () => {
    expect(sameFields({ a: 1, b: { x: 1, y: [2] } }, { b: { y: [2], x: 1 }, a: 1 })).toBe(true)
    expect(sameFields({ a: 1 }, { a: 1, b: null })).toBe(false)
    expect(sameFields({ a: 1, b: null }, { a: 1, c: null })).toBe(false)
    expect(sameFields({ a: [1, 2] }, { a: [1] })).toBe(false)
    expect(sameFields({ a: [] }, { a: {} })).toBe(false)
    expect(sameFields({ constructor: 1 }, {})).toBe(false)
    expect(sameFields(JSON.parse('{"__proto__":1}') as { [c: string]: Encoded }, { a: 1 })).toBe(false)
  })

  test('agrees with the canonical text', () => {
    const json = fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Encoded>
    fc.assert(
      fc.property(json, json, (a, b) => sameValue(a, b) === (canonicalJson(a) === canonicalJson(b))),
      RUNS,
    )
    fc.assert(
      fc.property(json, (a) => sameValue(a, JSON.parse(canonicalJson(a)) as Encoded)),
      RUNS,
    )
  })
})
