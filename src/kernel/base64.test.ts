import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { base64ToBytes, bytesToBase64, isCanonicalBase64 } from './base64.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const RUNS = { numRuns: 2_000 }

describe('base64', () => {
  test('is the platform’s, both ways and on both sides of the table’s threshold', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.constantFrom(0, 4_090, 4_096), (tail, length) => {
        const bytes = new Uint8Array(length + tail.length).fill(0xa7)
        bytes.set(tail, length)
        const encoded = bytesToBase64(bytes)
        expect(encoded).toBe(Buffer.from(bytes).toString('base64'))
        expect(isCanonicalBase64(encoded)).toBe(true)
        expect(hex(base64ToBytes(encoded))).toBe(hex(bytes))
      }),
    )
  })

  test('is canonical exactly when it is what its own bytes give', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9+/]{0,5}[ =]{0,3}$/), (value) => {
        expect(isCanonicalBase64(value)).toBe(Buffer.from(value, 'base64').toString('base64') === value)
      }),
      RUNS,
    )
  })
})
