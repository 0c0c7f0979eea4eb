import fc from 'fast-check'
import { expect, test } from 'vitest'

import { showArgument, showJson, showLine, showShort, showText } from './plain-text.ts'

test.each([
  ['ls\u001b[1A\u001b[2Krm', 'ls\\u001b[1A\\u001b[2Krm'],
  ['a\rb', 'a\\u000db'],
  ['a\u202eb\u2066c', 'a\\u202eb\\u2066c'],
  ['a\u200bb\u00adc\u0000', 'a\\u200bb\\u00adc\\u0000'],
  ['a\u009bb', 'a\\u009bb'],
  ['a\ud800b', 'a\ufffdb'],
  ['naïve 日本 👍', 'naïve 日本 👍'],
  ['one\ntwo\tthree', 'one\\ntwo three'],
])('%j within a line is %s', (text, shown) => {
  expect(showLine(text)).toBe(shown)
})

test('lines stay lines where there may be several', () => {
  expect(showText('a\r\nb\n\u001bc')).toBe('a\nb\n\\u001bc')
  expect(showShort('abcdef', 4)).toBe('abc…')
  expect(showShort('abcd', 4)).toBe('abcd')
  expect(showJson({ command: 'ls\n\u001b' })).toBe('{"command":"ls\\n\\u001b"}')
  expect(showJson(undefined)).toBe('-')
})

test('nothing that a terminal obeys is left', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      // oxlint-disable-next-line no-control-regex
      expect(showLine(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/)
    }),
  )
})

test.each([
  ['01a2-b_c.d', '01a2-b_c.d'],
  ['x; rm -rf ~', "'x; rm -rf ~'"],
  ["a'$(id)", "'a'\\''$(id)'"],
  ['-y', "'-y'"],
  ['a\u001b]0;b\u0007', "'a\\u001b]0;b\\u0007'"],
  ['', "''"],
])('%j as an argument is %s', (text, shown) => {
  expect(showArgument(text)).toBe(shown)
})
