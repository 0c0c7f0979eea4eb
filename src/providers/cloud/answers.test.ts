import * as fc from 'fast-check'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { describe, expect, test } from 'vitest'

import { HydrateEnd, HydrateRead, HydrateStart, PullAnswer, ReadAnswer } from '../../protocol/pull.ts'
import { PushAnswer } from '../../protocol/push.ts'
import { WireRecord } from '../../protocol/records.ts'
import { SchemaAnswer } from '../../protocol/schema.ts'
import { Device, DeviceAnswer, DeviceList, ErrorAnswer, SpaceStatus } from '../../protocol/status.ts'
import {
  isDevice,
  isDeviceAnswer,
  isDeviceList,
  isErrorAnswer,
  isHydrateEnd,
  isHydrateRead,
  isHydrateStart,
  isPullAnswer,
  isPushAnswer,
  isReadAnswer,
  isSchemaAnswer,
  isSpaceStatus,
  isWireRecord,
} from './answers.ts'

const ANSWERS: { readonly [name: string]: readonly [TSchema, (value: unknown) => boolean] } = {
  WireRecord: [WireRecord, isWireRecord],
  PushAnswer: [PushAnswer, isPushAnswer],
  PullAnswer: [PullAnswer, isPullAnswer],
  ReadAnswer: [ReadAnswer, isReadAnswer],
  HydrateStart: [HydrateStart, isHydrateStart],
  HydrateEnd: [HydrateEnd, isHydrateEnd],
  HydrateRead: [HydrateRead, isHydrateRead],
  SchemaAnswer: [SchemaAnswer, isSchemaAnswer],
  SpaceStatus: [SpaceStatus, isSpaceStatus],
  Device: [Device, isDevice],
  DeviceAnswer: [DeviceAnswer, isDeviceAnswer],
  DeviceList: [DeviceList, isDeviceList],
  ErrorAnswer: [ErrorAnswer, isErrorAnswer],
}

/** The part of JSON Schema that the protocol uses. */
interface Schema {
  readonly type?: string
  readonly const?: unknown
  readonly anyOf?: readonly Schema[]
  readonly properties?: { readonly [name: string]: Schema }
  readonly required?: readonly string[]
  readonly patternProperties?: { readonly [pattern: string]: Schema }
  readonly items?: Schema | readonly Schema[]
  readonly minItems?: number
  readonly maxItems?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
}

/** Values that fit a schema, at its edges more often than not. */
function valuesOf(schema: Schema): fc.Arbitrary<unknown> {
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map(valuesOf))
  if ('const' in schema) return fc.constant(schema.const)
  if (schema.type === 'null') return fc.constant(null)
  if (schema.type === 'boolean') return fc.boolean()
  if (schema.type === 'integer') return fc.constantFrom(0, 1, 7, Number.MAX_SAFE_INTEGER)
  if (schema.type === 'string') return textsOf(schema)
  if (schema.type === 'array') return listsOf(schema)
  if (schema.patternProperties !== undefined) return mapsOf(Object.values(schema.patternProperties)[0] ?? {})
  if (schema.type === 'object') return objectsOf(schema)
  return fc.constantFrom<unknown>(null, 1, 'text', { $real: '1' })
}

function textsOf({ minLength = 0, maxLength = 20, pattern }: Schema): fc.Arbitrary<string> {
  if (pattern !== undefined) return fc.constantFrom('a', 'A9', 'x'.repeat(maxLength))
  return fc.constantFrom(
    'ab',
    'é😀',
    '\u{1f600}'.repeat(maxLength),
    'x'.repeat(maxLength),
    'y'.repeat(Math.max(2, minLength)),
  )
}

function listsOf({ items, minItems = 0, maxItems = 3 }: Schema): fc.Arbitrary<readonly unknown[]> {
  if (Array.isArray(items)) return fc.tuple(...(items as readonly Schema[]).map(valuesOf))
  return fc.array(valuesOf((items ?? {}) as Schema), {
    minLength: minItems,
    maxLength: Math.min(maxItems, minItems + 2),
  })
}

const mapsOf = (item: Schema) =>
  fc.dictionary(fc.constantFrom('a', 'b', 'constructor'), valuesOf(item), { maxKeys: 2 })

function objectsOf({ properties = {}, required = [] }: Schema): fc.Arbitrary<object> {
  const entries = Object.entries(properties).map(([name, schema]) => [name, valuesOf(schema)] as const)
  return fc.record(Object.fromEntries(entries), { requiredKeys: required as string[] })
}

const strange = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    -1,
    0.5,
    '',
    'a',
    'a b',
    'a\n',
    'x'.repeat(2_000),
    {},
    [],
    [1],
    [0, 0, 0],
  ),
  fc.constantFrom(
    'y'.repeat(65),
    'y'.repeat(129),
    'y'.repeat(513),
    'y'.repeat(1_025),
    '\u{1f600}'.repeat(513),
    '\u{1f600}',
    '\u{1f600}'.repeat(65),
  ),
)

/** `value` with one thing in it replaced or taken away; `steps` choose the way down to it. */
function broken(value: unknown, steps: readonly number[], other: unknown, drop: boolean): unknown {
  const [step = 0, ...rest] = steps
  if (typeof value !== 'object' || value === null || (steps.length === 0 && !drop)) return other
  const names = Object.keys(value)
  if (names.length === 0) return other
  const name = names[step % names.length] as string
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...value }) as {
    [name: string]: unknown
  }
  if (steps.length > 0) copy[name] = broken(copy[name], rest, other, drop)
  else if (Array.isArray(copy)) copy.splice(0, 1)
  else delete copy[name]
  return copy
}

/** Beyond the schema: a live record has fields, a deleted one has none. */
function hasTornRecord(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { hlc, fields, deleted, by } = value as { readonly [name: string]: unknown }
  if (hlc !== undefined && by !== undefined && (deleted === true) !== (fields === undefined)) return true
  return Object.values(value).some(hasTornRecord)
}

describe.each(Object.entries(ANSWERS))('I9: %s', (_, [schema, isAnswer]) => {
  const check = Compile(schema)
  const values = valuesOf(schema)

  test('is taken when it fits its schema', () => {
    let whole = 0
    fc.assert(
      fc.property(values, (value) => {
        expect(check.Check(value)).toBe(true)
        const torn = hasTornRecord(value)
        expect(isAnswer(value)).toBe(!torn)
        if (!torn) whole++
      }),
      { numRuns: 300 },
    )
    expect(whole).toBeGreaterThan(20)
  })

  test('is refused when it does not, and only then', () => {
    let refused = 0
    const steps = fc.array(fc.nat(11), { maxLength: 7 })
    fc.assert(
      fc.property(values, steps, strange, fc.boolean(), (value, path, other, drop) => {
        const candidate = broken(value, path, other, drop)
        const fits = check.Check(candidate) && !hasTornRecord(candidate)
        expect(isAnswer(candidate)).toBe(fits)
        if (!fits) refused++
      }),
      { numRuns: 2_000 },
    )
    expect(refused).toBeGreaterThan(100)
  })
})

test('what an older client does not know in an answer is passed over', () => {
  const record = { table: 't', key: '[1]', version: 1, hlc: 1, by: 'r', fields: {}, later: { a: 1 } }
  expect(isWireRecord(record)).toBe(true)
  expect(isReadAnswer({ records: [record, null], also: 1 })).toBe(true)
})

test('a field version under a name with a line feed is looked at like any other', () => {
  const record = { table: 't', key: '[1]', version: 1, hlc: 1, by: 'r', fields: { 'a\nb': 1 } }
  expect(isWireRecord({ ...record, fieldVersions: { 'a\nb': [1, 1] } })).toBe(true)
  expect(isWireRecord({ ...record, fieldVersions: { 'a\nb': 'newest' } })).toBe(false)
})

test('I10: a version that JavaScript cannot hold is refused', () => {
  const record = { table: 't', key: '[1]', version: 2 ** 53, hlc: 1, by: 'r', fields: {} }
  expect(isWireRecord(record)).toBe(false)
  expect(isPushAnswer({ epoch: 'e', generation: { id: 'g', start: 2 ** 53 }, head: 1, results: [] })).toBe(
    false,
  )
})
