import fc, { type Arbitrary } from 'fast-check'

import { decideBatch } from '../../src/cloud/log/batch.ts'
import type { Mutation } from '../../src/cloud/log/decide.ts'
import type { BatchRow } from '../../src/cloud/log/log.ts'
import type { Encoded } from '../../src/kernel/values.ts'
import type { Change } from '../../src/protocol/records.ts'
import { NOW, PlainSpace, T0 } from './plain-space.ts'

/** A space with a past, and pushes that meet in it. */
export interface Meeting {
  readonly space: PlainSpace
  /** Of different replicas; all but the first have bases up to the head. */
  readonly group: readonly Mutation[]
  /** How much further the head is when the group is written: others wrote other rows. */
  readonly ahead: number
}

/** What a change was made from: nothing, the row as it stands, a version before the head, one after it. */
type Base = readonly [kind: 'none' | 'row' | 'back' | 'beyond', by: number]

interface Draft {
  readonly replica: string
  readonly force: boolean
  readonly changes: readonly (Omit<Change, 'base'> & { readonly base: Base })[]
}

/** Few of each, so that pushes meet. */
const TABLES = ['t', 'constructor'] as const
const KEYS = ['[1]', '[2]', '[3]', '[4]'] as const
const COLUMNS = ['a', 'b', 'c', 'd', '__proto__'] as const
const INDEXES = ['i', '__proto__'] as const
const VALUES = ['u', 'v', 'w', null] as const
const REPLICAS = ['r1', 'r2', 'r3', 'r4', 'r5', 'r6'] as const

/** `value` in one of ten cases, else `usual`. */
const rarely = <T>(value: Arbitrary<T>, usual: Arbitrary<T>): Arbitrary<T> =>
  fc.oneof({ weight: 9, arbitrary: usual }, { weight: 1, arbitrary: value })
const oneOf = <T>(values: readonly T[]): Arbitrary<T> => fc.constantFrom(...values)
/** From entries: assigning to `__proto__` would lose it. */
const objectOf = <T>(names: readonly string[], value: Arbitrary<T>, minLength = 0) =>
  fc
    .uniqueArray(fc.tuple(oneOf(names), value), {
      minLength,
      maxLength: names.length,
      selector: ([name]) => name,
    })
    .map((entries) => Object.fromEntries(entries))

const hlc = fc.oneof(fc.integer({ min: T0 - 20, max: T0 + 20 }), fc.constantFrom(1, T0 + 1e9))
const oddities: Arbitrary<Encoded> = fc.constantFrom('é"\\', { $real: '1' }, '\u0001')
const fields = objectOf(COLUMNS, rarely(oddities, fc.integer({ min: 0, max: 9 })))
const claims = objectOf(INDEXES, rarely(fc.constant('a\0b'), oneOf(VALUES)))
const place = { table: oneOf(TABLES), key: rarely(fc.constant('["\0"]'), oneOf(KEYS)) }

const baseOf = (ahead: boolean): Arbitrary<Base> =>
  fc.tuple(
    fc.constantFrom<Base[0][]>('none', 'row', 'row', 'row', 'back', ahead ? 'beyond' : 'row'),
    fc.integer({ min: 1, max: 6 }),
  )

const draftOf = (ahead: boolean): Arbitrary<Draft> =>
  fc.record({
    replica: oneOf(REPLICAS),
    force: rarely(fc.constant(true), fc.boolean()),
    changes: fc.array(
      fc
        .record(
          {
            ...place,
            op: oneOf(['put', 'put', 'put', 'delete'] as const),
            base: baseOf(ahead),
            hlc,
            fields,
            claims,
            was: fc.integer({ min: 0, max: 30 }),
            sealed: fc.constant('k1'),
          },
          { requiredKeys: ['table', 'key', 'op', 'base', 'hlc', 'fields'] },
        )
        .map(({ was, ...change }) => (was !== undefined && was % 4 === 0 ? { ...change, was } : change)),
      { maxLength: 4 },
    ),
  })

const batchRow: Arbitrary<BatchRow> = fc.record({
  ...place,
  fields: fields.filter((values) => Object.keys(values).length > 0),
  updatedAt: fc.constantFrom(null, NOW - 1, NOW, NOW + 1),
})
export const batchRows: Arbitrary<readonly BatchRow[]> = fc.array(batchRow, { maxLength: 8 })

/** `t` keeps its unique values where their columns are untouched; nothing is known of the other. */
export const SCHEMA = [
  {
    name: 't',
    columns: [{ name: 'id', type: '' }],
    key: ['id'],
    unique: [{ claim: 'i', terms: [{ column: 'a' }] }],
    foreignKeys: [],
  },
]

export const meetings: Arbitrary<Meeting> = fc
  .record({
    /** A number: versions that others took. */
    past: fc.array(
      fc.oneof({ weight: 12, arbitrary: draftOf(true) }, batchRows, fc.integer({ min: 1, max: 4 })),
      {
        minLength: 2,
        maxLength: 14,
      },
    ),
    floor: fc.integer({ min: 0, max: 8 }),
    first: draftOf(true),
    others: fc.array(draftOf(false), { maxLength: 5 }),
    ahead: fc.integer({ min: 0, max: 3 }),
  })
  .map(({ past, floor, first, others, ahead }) => {
    const space = new PlainSpace()
    for (const step of past) {
      if (typeof step === 'number') space.head += step
      else if ('changes' in step) space.push(settle(step, space))
      else {
        const { writes, head } = decideBatch(step, space.asView(), SCHEMA)
        for (const [at, write] of writes.entries())
          space.write([write], at + 1 === writes.length ? head : space.head)
      }
    }
    space.floor = Math.min(floor, space.head)
    const group = [first, ...others].map((draft, at) => ({
      ...settle(draft, space),
      replica: REPLICAS[at] ?? '',
    }))
    return { space, group, ahead }
  })

function settle({ replica, force, changes }: Draft, space: PlainSpace): Mutation {
  return {
    replica,
    force,
    changes: changes.map((change) => {
      const [kind, by] = change.base
      const row = space.standing(change.table, change.key)?.record.version ?? 0
      const base = { none: 0, row, back: Math.max(0, space.head - by), beyond: space.head + by }[kind]
      return { ...change, base }
    }),
  }
}
