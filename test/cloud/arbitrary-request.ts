import fc, { type Arbitrary } from 'fast-check'

import { LEAK } from './attack/leak.ts'

/** As much of JSON Schema as the protocol's schemas use. */
interface Schema {
  readonly type?: string
  readonly const?: unknown
  readonly anyOf?: readonly Schema[]
  readonly properties?: { readonly [name: string]: Schema }
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | Schema
  readonly patternProperties?: { readonly [pattern: string]: Schema }
  readonly items?: Schema | readonly Schema[]
  readonly minItems?: number
  readonly maxItems?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
}

/** Values that fit a schema, small ones; texts and numbers that are likely to meet something are likelier. */
export function fitting(schema: Schema): Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map(fitting))
  if (schema.type === 'string') return fittingText(schema)
  if (schema.type === 'integer')
    return fc.oneof(
      fc.constantFrom(0, 1, 2, 3),
      fc.integer({ min: schema.minimum ?? 0, max: Math.min(schema.maximum ?? 5, 2 ** 31 - 1) }),
      fc.constant(schema.maximum ?? 7),
    )
  if (schema.type === 'boolean') return fc.boolean()
  if (schema.type === 'null') return fc.constant(null)
  if (schema.type === 'array') return fittingArray(schema)
  if (schema.type === 'object') return fittingObject(schema)
  return fc.oneof(
    { weight: 3, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
    { weight: 1, arbitrary: fc.constant(LEAK) },
    { weight: 1, arbitrary: oddity },
  )
}

function fittingText(schema: Schema): Arbitrary<unknown> {
  const name = fc.constantFrom('main', 'other', 'city', 'a')
  if (schema.pattern !== undefined) return fc.oneof(name, fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,20}$/))
  const known = fc.constantFrom('[1]', '[2]', '["x"]', 'city', 'other', '[]')
  return fc.oneof(
    { weight: 4, arbitrary: known },
    {
      weight: 2,
      arbitrary: fc.string({
        unit: 'binary',
        minLength: schema.minLength ?? 0,
        maxLength: Math.min(schema.maxLength ?? 30, 30),
      }),
    },
    { weight: 1, arbitrary: fc.constant('x'.repeat(Math.min(schema.maxLength ?? 40, 2_000))) },
  )
}

function fittingArray(schema: Schema): Arbitrary<unknown> {
  if (Array.isArray(schema.items)) return fc.tuple(...(schema.items as readonly Schema[]).map(fitting))
  const item = schema.items === undefined ? fc.jsonValue() : fitting(schema.items as Schema)
  return fc.array(item, { minLength: schema.minItems ?? 0, maxLength: Math.min(schema.maxItems ?? 4, 4) })
}

function fittingObject(schema: Schema): Arbitrary<unknown> {
  const properties = Object.entries(schema.properties ?? {}).map(
    ([name, property]) => [name, fitting(property)] as const,
  )
  const named = fc.record(Object.fromEntries(properties), { requiredKeys: [...(schema.required ?? [])] })
  const [pattern] = Object.values(schema.patternProperties ?? {})
  const more =
    pattern ?? (typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined)
  if (more === undefined) return named
  const names = fc.oneof(
    fc.constantFrom('id', 'name', 'updated_at', 'a\nb', '$x', '__proto__'),
    fc.string({ maxLength: 8 }),
  )
  const extra = fc.dictionary(names, fitting(more), { maxKeys: 5, noNullPrototype: true })
  return fc.tuple(named, extra).map(([one, other]) => ({ ...other, ...(one as object) }))
}

/** What programs stumble over. */
export const oddity: Arbitrary<unknown> = fc.constantFrom<unknown>(
  null,
  true,
  0,
  -0,
  -1,
  1.5,
  2 ** 53,
  -(2 ** 63),
  1e308,
  Number.MIN_VALUE,
  '',
  ' ',
  '\u0000',
  '\ud800',
  '\ufeff',
  '../..',
  "' OR 1=1",
  'x'.repeat(5_000),
  LEAK,
  [],
  {},
  [[]],
  [null],
  { length: 3 },
  { toString: 1 },
  { toJSON: 'x' },
  { constructor: null },
  { $int: '1' },
  { $int: '9007199254740993' },
  { $real: 'NaN' },
  { $bytes: '!' },
  { $text: 'AA==' },
  { $date: 'x' },
  { $object: {} },
  { $js: ['x'] },
  JSON.parse('{"__proto__":{"x":1}}') as unknown,
)

/** A value beside the schema: a fitting one with some part exchanged, taken away or added. */
export const beside = (fits: Arbitrary<unknown>): Arbitrary<unknown> =>
  fc
    .tuple(
      fits,
      fc.infiniteStream(fc.nat(1_000)),
      oddity,
      fc.constantFrom('replace', 'remove', 'add', 'wrap'),
    )
    .map(([value, turns, odd, how]) => spoil(value, turns, odd, how))

function spoil(value: unknown, turns: Iterator<number>, odd: unknown, how: string): unknown {
  const turn = (below: number): number => (turns.next().value as number) % below
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : []
  if (entries.length === 0 || turn(4) === 0) return how === 'wrap' ? [value] : odd
  const [name, part] = entries[turn(entries.length)] as [string, unknown]
  const copy: unknown = Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }
  const set = (key: string, to: unknown): void => {
    Object.defineProperty(copy, key, { value: to, enumerable: true, configurable: true, writable: true })
  }
  if (how === 'remove' && turn(2) === 0) {
    if (Array.isArray(copy)) copy.splice(Number(name), 1)
    else Reflect.deleteProperty(copy as object, name)
  } else if (how === 'add' && turn(2) === 0)
    set(Array.isArray(copy) ? String(entries.length) : turn(2) === 0 ? '__proto__' : 'unknown', odd)
  else set(name, spoil(part, turns, odd, how))
  return copy
}
