import { describe, expect, test } from 'vitest'

import { TidemarkError } from '../kernel/errors.ts'
import { bodyText, parseJson } from './json.ts'
import { MAX_JSON_DEPTH, MAX_JSON_PARTS } from './limits.ts'

const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof TidemarkError) return error.code
    throw error
  }
  return 'none'
}

/** Long enough to be looked at. */
const padding = JSON.stringify('x'.repeat(70_000))

describe('bodies', () => {
  test('I10: bytes that are not UTF-8 are refused, not replaced', () => {
    expect(codeOf(() => bodyText(Buffer.from([0x22, 0xff, 0x22])))).toBe('bad_request')
    expect(codeOf(() => bodyText(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])))).toBe('bad_request')
    expect(bodyText(Buffer.from('"é😀"'))).toBe('"é😀"')
  })

  test('a slice of a larger buffer is read as the slice', () => {
    expect(bodyText(Buffer.from('xx{"a":1}yy').subarray(2, 9))).toBe('{"a":1}')
  })

  test('depth is bounded before anything is parsed', () => {
    const nested = (depth: number) =>
      Buffer.from(`[${padding},${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}]`)
    expect(codeOf(() => bodyText(nested(MAX_JSON_DEPTH)))).toBe('none')
    expect(codeOf(() => bodyText(nested(MAX_JSON_DEPTH + 1)))).toBe('bad_request')
    expect(codeOf(() => bodyText(Buffer.from('['.repeat(100_000))))).toBe('bad_request')
    expect(codeOf(() => bodyText('{"a":'.repeat(100_000)))).toBe('bad_request')
  })

  test('brackets and quotes inside texts do not count', () => {
    const text = JSON.stringify([`${'['.repeat(200)}"\\"${'{'.repeat(200)}\\`, 'x'.repeat(70_000), '\\'])
    expect(bodyText(text)).toBe(text)
    expect(codeOf(() => bodyText(`["\\\\",${'['.repeat(MAX_JSON_DEPTH)}${padding}`))).toBe('bad_request')
  })

  test('the number of elements is bounded', () => {
    expect(codeOf(() => bodyText(Buffer.from(`[${'[],'.repeat(MAX_JSON_PARTS / 2 + 1)}1]`)))).toBe(
      'payload_too_large',
    )
  })

  test('what is wrong with JSON is said without quoting it', () => {
    expect(() => parseJson('{"name": "secret')).toThrow(/^The body is not JSON$/)
    expect(() => parseJson('')).toThrow(/^The body is empty$/)
  })
})
