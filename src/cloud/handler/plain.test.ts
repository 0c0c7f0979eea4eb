import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { encodingFault } from '../../kernel/values.ts'
import { parsePlainJson, plainToEncoded } from './plain.ts'

const encoded = (text: string) => plainToEncoded(parsePlainJson(text))

describe('plain JSON as values', () => {
  test.each([
    ['1', 1],
    ['1.5', 1.5],
    ['-0', { $real: '-0' }],
    ['1e400', { $real: 'Infinity' }],
    ['9007199254740991', 9007199254740991],
    ['9007199254740993', { $int: '9007199254740993' }],
    ['-9223372036854775808', { $int: '-9223372036854775808' }],
    ['9223372036854775808', { $real: '9223372036854776000' }],
    ['1e21', { $real: '1e+21' }],
    ['"a\\u0000b"', { $text: 'YQBi' }],
    ['"\\ud800"', { $text: '7aCA' }],
    ['{"$int":"1"}', { $object: { $int: '1' } }],
    ['[{"a":[null,true]}]', [{ a: [null, true] }]],
  ])('I10: %s', (text, value) => {
    expect(encoded(text)).toEqual(value)
  })

  test('I10: every JSON text has a value that the cloud takes', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
        expect(encodingFault(encoded(JSON.stringify(value)))).toBe(null)
      }),
      { numRuns: 500 },
    )
  })

  test('a property of the name __proto__ is one like any other', () => {
    const value = encoded('{"__proto__":{"a":1}}')
    expect(JSON.stringify(value)).toBe('{"__proto__":{"a":1}}')
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
  })

  test('nesting past the limit is refused', () => {
    expect(() => encoded(`${'['.repeat(40)}${']'.repeat(40)}`)).toThrow(RangeError)
  })
})
