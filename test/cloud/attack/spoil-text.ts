import fc, { type Arbitrary } from 'fast-check'

import { LEAK } from './leak.ts'

const nest = (open: string, close: string, depth: number): string => open.repeat(depth) + close.repeat(depth)

/** Texts of JSON values, and some that are none, that no program's own JSON would have. */
export const RAW_VALUES: readonly string[] = [
  '-0',
  '-0.0',
  '1e308',
  '1e400',
  '-1e400',
  '1e-400',
  '0.1',
  '2.0',
  '1E2',
  '9007199254740992',
  '9007199254740993',
  '-9007199254740993',
  '18446744073709551616',
  '9'.repeat(400),
  'NaN',
  'Infinity',
  '01',
  '+1',
  '.5',
  "'x'",
  'undefined',
  'null',
  'true',
  '""',
  '"\\u0000"',
  '"a\\u0000b"',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\ud83d\\ude00"',
  '"\\x"',
  '"\u0000"',
  '"\t"',
  `"${LEAK}"`,
  '[]',
  '{}',
  '[[]]',
  '[null]',
  `["${LEAK}"]`,
  `{"x":"${LEAK}"}`,
  '{"__proto__":{"x":1}}',
  '{"constructor":{"prototype":{"x":1}}}',
  '{"toString":1,"valueOf":1}',
  '{"$int":"9223372036854775808"}',
  '{"$real":"Infinity"}',
  '{"$bytes":"AA=="}',
  '{"$text":"/w=="}',
  '{"$js":["undefined"]}',
  nest('[', ']', 31),
  nest('[', ']', 47),
  nest('[', ']', 60),
  nest('[', ']', 5_000),
  nest('{"a":', '}', 40).replace('}', '1}'),
  '{"a":'.repeat(5_000),
  `"${'x'.repeat(513)}"`,
  `"${'\u00e9'.repeat(600)}"`,
  `"${'x'.repeat(1_025)}"`,
  `"${'x'.repeat(70_000)}"`,
  `"[${'1,'.repeat(600)}1]"`,
  `[${'1,'.repeat(25_000)}1]`,
]

export const RAW_NAMES: readonly string[] = [
  '"__proto__"',
  '"constructor"',
  '"toString"',
  '"length"',
  '""',
  '"\\u0000"',
  '"\\ud800"',
  '"a\\nb"',
  '"$int"',
  '"$object"',
  '"space"',
  `"${'n'.repeat(513)}"`,
  `"${'n'.repeat(20_000)}"`,
  'x',
  '1',
]

const ENDS = [' x', ',', '\0', '{}', ']', '\n', ' '.repeat(100), '//']
const STARTS = ['\ufeff', '\n\t ', '/**/', ")]}',\n", ' '.repeat(70_000), '[', '{"a":']

export type Spoil = (text: string, turn: number) => string

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[[\]{},:]/g

/** Exchanges one piece of the JSON text: a bracket or comma too. */
const exchange =
  (by: string): Spoil =>
  (text, turn) => {
    const tokens = [...text.matchAll(TOKEN)]
    const token = tokens[turn % Math.max(1, tokens.length)]
    if (token === undefined) return by
    return text.slice(0, token.index) + by + text.slice(token.index + token[0].length)
  }

const VALUE = /(?<=[:,[])(?:"(?:[^"\\]|\\.)*"(?!:)|-?\d[\d.eE+-]*|true|false|null)/g
const NAME = /"(?:[^"\\]|\\.)*"(?=:)/g

/** Exchanges a value and leaves the shape around it. */
export const exchangeValue =
  (by: string): Spoil =>
  (text, turn) => {
    const values = [...text.matchAll(VALUE)]
    const value = values[turn % Math.max(1, values.length)]
    if (value === undefined) return by
    return text.slice(0, value.index) + by + text.slice(value.index + value[0].length)
  }

export const countValues = (text: string): number => [...text.matchAll(VALUE)].length
export const countNames = (text: string): number => [...text.matchAll(NAME)].length

const onName =
  (change: (text: string, at: number, name: string) => string): Spoil =>
  (text, turn) => {
    const all = [...text.matchAll(NAME)]
    const name = all[turn % Math.max(1, all.length)]
    return name === undefined ? text : change(text, name.index, name[0])
  }

export const rename = (by: string): Spoil =>
  onName((text, at, name) => text.slice(0, at) + by + text.slice(at + name.length))

/** The same name twice in one object: the other one first, or as the last of the whole text. */
export const double = (value: string, first: boolean): Spoil =>
  onName((text, at, name) => {
    if (first) return `${text.slice(0, at)}${name}:${value},${text.slice(at)}`
    const end = text.lastIndexOf('}')
    return `${text.slice(0, end)},${name}:${value}${text.slice(end)}`
  })

/** A text of JSON with something in it that its schema, or JSON, does not have. */
export function spoiledText(text: Arbitrary<string>): Arbitrary<string> {
  const value = fc.constantFrom(...RAW_VALUES)
  const how = fc.oneof(
    { weight: 6, arbitrary: value.map(exchangeValue) },
    { weight: 1, arbitrary: value.map(exchange) },
    { weight: 2, arbitrary: fc.constantFrom(...RAW_NAMES).map(rename) },
    { weight: 1, arbitrary: fc.tuple(value, fc.boolean()).map(([raw, first]) => double(raw, first)) },
    { weight: 1, arbitrary: fc.constant<Spoil>((text, turn) => text.slice(0, turn % (text.length + 1))) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(...ENDS).map(
        (end): Spoil =>
          (text) =>
            text + end,
      ),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(...STARTS).map(
        (start): Spoil =>
          (text) =>
            start + text,
      ),
    },
  )
  return fc.tuple(text, how, fc.nat(10_000)).map(([whole, spoil, turn]) => spoil(whole, turn))
}
