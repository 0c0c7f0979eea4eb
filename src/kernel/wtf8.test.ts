import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { stringToWtf8, wtf8ToString } from './wtf8.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const RUNS = { numRuns: 2_000 }

/** Any UTF-16, lone surrogates and NUL included. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  fc.stringMatching(/^[a\0\ud800é]*$/),
)

describe('WTF-8', () => {
  test('gives every string back', () => {
    fc.assert(
      fc.property(text, (value) => wtf8ToString(stringToWtf8(value)) === value),
      RUNS,
    )
  })

  test('is UTF-8 for well-formed text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        (value) => hex(stringToWtf8(value)) === hex(Buffer.from(value)),
      ),
    )
  })

  test('shows bytes that are no text as U+FFFD', () => {
    expect(wtf8ToString(Uint8Array.of(0x61, 0xff, 0x62))).toBe('a�b')
    expect(wtf8ToString(Uint8Array.of(0xed, 0xa0))).toContain('�')
  })
})
