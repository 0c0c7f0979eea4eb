import fc from 'fast-check'
import { expect, it, test } from 'vitest'

import { JsonFault, memberOf, parseJsonText, removeFromText, setInText } from './json-text.ts'

const parse = (text: string): unknown => JSON.parse(text.replace(/^\uFEFF/, ''))

it('takes exactly what JSON takes, and fails with a place in the text', () => {
  const texts = fc.oneof(
    fc.json(),
    fc.string(),
    fc
      .tuple(fc.json(), fc.nat(), fc.constantFrom('', ',', '{', '}', '"', '\\', '0', '\u0000', ' ', '/'))
      .map(
        ([json, at, put]) =>
          `${json.slice(0, at % (json.length + 1))}${put}${json.slice((at + 1) % (json.length + 1))}`,
      ),
  )
  fc.assert(
    fc.property(texts, (text) => {
      let valid = true
      try {
        JSON.parse(text)
      } catch {
        valid = false
      }
      try {
        const node = parseJsonText(text)
        expect(valid).toBe(true)
        expect(text.slice(node.start, node.end)).toBe(text.trim())
      } catch (error) {
        if (!(error instanceof JsonFault)) throw error
        expect(valid).toBe(false)
        expect(error.position).toBeGreaterThanOrEqual(0)
        expect(error.position).toBeLessThanOrEqual(text.length)
      }
    }),
    { numRuns: 2_000 },
  )
})

it('sets and removes what it is told, and nothing else', () => {
  const names = fc.constantFrom('a', 'b', '__proto__', 'constructor', '1', '', 'ключ')
  const objects = fc.dictionary(names, fc.oneof(fc.dictionary(names, fc.jsonValue()), fc.constant({})), {
    noNullPrototype: true,
  })
  fc.assert(
    fc.property(objects, fc.nat(3), names, names, (object, space, outer, inner) => {
      const text = JSON.stringify(object, null, space)
      const set = setInText(text, [outer, inner], '"new"')
      // As the text has it: JSON knows no -0. As pairs: an assignment to `__proto__` is none.
      const before = Object.entries(parse(text) as object).map(
        ([name, value]) => [name, Object.entries(value as object)] as const,
      )
      const after = Object.entries(parse(set) as object).map(
        ([name, value]) => [name, Object.entries(value as object)] as const,
      )
      const without = <T>(pairs: readonly (readonly [string, T])[], name: string) =>
        pairs.filter(([one]) => one !== name)
      expect(without(after, outer)).toEqual(without(before, outer))
      const found = after.find(([name]) => name === outer)?.[1] ?? []
      expect(found.find(([name]) => name === inner)?.[1]).toBe('new')
      expect(without(found, inner)).toEqual(
        without(before.find(([name]) => name === outer)?.[1] ?? [], inner),
      )
      // There and back again.
      const removed = removeFromText(set, [outer, inner])
      expect(memberOf(memberOf(parseJsonText(removed), outer)?.value, inner)).toBeUndefined()
      expect(removeFromText(removed, [outer, inner])).toBe(removed)
      if (setInText(text, [outer], '{"x":1}') !== set) expect(removeFromText(text, ['absent'])).toBe(text)
    }),
    { numRuns: 500 },
  )
})

test.each([
  [
    '{"a": 1.0,\r\n "b": 12345678901234567890}',
    ['c'],
    '{"a": 1.0,\r\n "b": 12345678901234567890,\r\n "c": 0}',
  ],
  ['\uFEFF{ "2": 1, "1": 2 }\n\n', ['c'], '\uFEFF{ "2": 1, "1": 2, "c": 0 }\n\n'],
  ['{"p":{}}', ['p', 'x'], '{"p":{\n    "x": 0\n  }}'],
  ['{\r\n}', ['p', 'x'], '{\r\n  "p": {\r\n    "x": 0\r\n  }\r\n}'],
  ['{"a":[1,{"b":2}]}', ['a'], '{"a":0}'],
])('keeps order, numbers, line ends and form of %j', (text, names, after) => {
  expect(setInText(text, names, '0')).toBe(after)
})

test.each([
  ['{"a":1,"b":2,"c":3}', 'a', '{"b":2,"c":3}'],
  ['{"a":1,"b":2,"c":3}', 'b', '{"a":1,"c":3}'],
  ['{"a":1,\n  "c":3\n}', 'c', '{"a":1\n}'],
  ['{ "a":1 }', 'a', '{}'],
])('removes from %j the member %s', (text, name, after) => {
  expect(removeFromText(text, [name])).toBe(after)
})

test.each([
  ['{\n  // mine\n}', 'no comments', []],
  ['{"a": {"b": nope}}', 'a value is missing', ['a', 'b']],
  ['{"a": 1 "b": 2}', 'a comma or } is missing', []],
  ['{"a": {"b": "x\n"}}', 'line end', ['a', 'b']],
  [`{"a": ${'['.repeat(1_000_000)}`, 'nested too deeply', ['a']],
  ['{"a": 1', 'ends in the middle', []],
  ['', 'ends in the middle', []],
])('%#: says what is wrong, and where', (text, what, path) => {
  expect(() => parseJsonText(text)).toThrow(what)
  try {
    parseJsonText(text)
  } catch (error) {
    expect((error as JsonFault).path).toEqual(path)
  }
})
