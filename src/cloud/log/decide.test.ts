import { describe, expect, test } from 'vitest'

import { hlcFromMs } from '../../kernel/hlc.ts'
import { MAX_ROW_BYTES } from '../../protocol/limits.ts'
import type { PushResult } from '../../protocol/push.ts'
import type { Change, WireRecord } from '../../protocol/records.ts'
import { decideMutation, type Decision } from './decide.ts'
import { ageOf, listClaims, mergedRecord, rowId, tombstone, wholeRecord, type Standing } from './standing.ts'

const NOW = 1_700_000_000_000
const T = hlcFromMs(NOW)
const KEY = '[1]'

type Draft = Omit<Change, 'table' | 'key'> & { readonly key?: string; readonly table?: string }
const put = (base: number, fields: Change['fields'], more: object = {}): Draft => ({
  op: 'put',
  base,
  hlc: T,
  ...(fields === undefined ? {} : { fields }),
  ...more,
})
const del = (base: number, more: object = {}): Draft => ({ op: 'delete', base, hlc: T, ...more })

const stamp = (version: number, hlc = T - 1_000_000 + version, by = 'r-other') => ({
  version,
  hlc,
  by,
  sealed: undefined,
})
const live = (version: number, fields: object = { a: 1, b: 2 }): WireRecord =>
  wholeRecord('t', KEY, fields as never, stamp(version))
const dead = (version: number): WireRecord => tombstone('t', KEY, stamp(version))
/** Inserted at 3, then `b` set by another at 7. */
const edited = mergedRecord(live(3), { a: 1, b: 20 }, { b: 20 }, stamp(7))

interface Scene {
  readonly standing?: WireRecord | undefined
  readonly was?: number | undefined
  readonly claims?: Standing['claims'] | undefined
  readonly others?: readonly Standing[]
  readonly force?: boolean | undefined
  readonly floor?: number
  readonly replica?: string
}

function decide(changes: readonly Draft[], scene: Scene = {}): Decision {
  const rows = new Map<string, Standing>()
  const own: readonly Standing[] =
    scene.standing === undefined
      ? []
      : [{ record: scene.standing, was: scene.was ?? null, claims: scene.claims ?? {} }]
  for (const row of [...own, ...(scene.others ?? [])]) rows.set(rowId(row.record.table, row.record.key), row)
  const holder = (table: string, index: string, value: string): string | null => {
    for (const { record, claims } of rows.values()) {
      const holds = listClaims(claims).some((claim) => claim.index === index && claim.value === value)
      if (holds && record.table === table) return record.key
    }
    return null
  }
  return decideMutation(
    {
      replica: scene.replica ?? 'r-self',
      force: scene.force === true,
      changes: changes.map((change) => ({ table: 't', key: KEY, ...change })),
    },
    {
      head: 100,
      floor: scene.floor ?? 0,
      now: NOW,
      standing: (table, key) => rows.get(rowId(table, key)) ?? null,
      holder,
    },
  )
}

const one = (change: Draft, scene: Scene = {}): PushResult => decide([change], scene).results[0] as PushResult
const fields = (decision: Decision) => decision.writes[0]?.after.record.fields

describe('one change against one row', () => {
  const whole = { a: 5, b: 6 }
  const ok = { status: 'ok', version: 101 }
  const conflict = (current: WireRecord | null) => ({ status: 'conflict', current })
  const rows: readonly (readonly [
    name: string,
    standing: WireRecord | undefined,
    change: Draft,
    answer: object,
    scene?: Scene,
  ])[] = [
    ['an insert of a new row', undefined, put(0, whole), ok],
    ['an edit of a row the cloud has no trace of', undefined, put(4, { a: 5 }), conflict(null)],
    ['a forced edit of such a row', undefined, put(4, { a: 5 }), conflict(null), { force: true }],
    ['a row offered again that is gone', undefined, put(4, whole, { was: 9 }), ok],
    ['a delete of such a row', undefined, del(4), ok],
    ['an insert onto a live row', live(3), put(0, whole), conflict(live(3))],
    ['an equal insert onto a live row', live(3), put(0, { a: 1, b: 2 }), conflict(live(3))],
    ['a forced insert onto a live row', live(3), put(0, whole), conflict(live(3)), { force: true }],
    ['an edit of what was seen', live(3), put(3, { a: 5 }), ok],
    [
      'an edit of another field than others edited',
      edited,
      put(3, { a: 5 }),
      { ...ok, current: expect.anything() },
    ],
    ['an edit of the field that others edited', edited, put(3, { b: 5 }), conflict(edited)],
    ['an edit of both', edited, put(3, { a: 5, b: 5 }), conflict(edited)],
    ['an edit of both, all seen', edited, put(7, { a: 5, b: 5 }), ok],
    ['an edit of a column the row lacks', live(9), put(3, { c: 1 }), { ...ok, current: expect.anything() }],
    ['a put that sets nothing', live(3), put(3, {}), ok],
    ['an insert onto a tombstone not seen', dead(8), put(0, whole), conflict(dead(8))],
    ['an insert onto a tombstone seen', dead(8), put(8, whole), ok],
    ['an edit of a row deleted since', dead(8), put(5, { a: 5 }), conflict(dead(8))],
    ['a forced insert onto a tombstone', dead(8), put(0, whole), ok, { force: true }],
    ['a forced edit of a row deleted since', dead(8), put(5, { a: 5 }), conflict(dead(8)), { force: true }],
    ['a delete of what was seen', edited, del(7), ok],
    ['a delete of a row edited since', edited, del(3), conflict(edited)],
    [
      'a forced delete of a row edited since',
      edited,
      del(3),
      { status: 'ok', version: 7, current: edited },
      { force: true },
    ],
    ['a delete of a tombstone', dead(8), del(3), { status: 'ok', version: 8 }],
    ['offered again where nothing is', undefined, put(5, whole, { was: 9 }), ok, { floor: 5 }],
    [
      'offered again where nothing is and a deletion would be forgotten',
      undefined,
      put(5, whole, { was: 9 }),
      { ...ok, forgotten: true },
      { floor: 6 },
    ],
    ['inserted where deletions are forgotten', undefined, put(0, whole), ok, { floor: 6 }],
    ['offered again, row not above the common point', live(3), put(5, whole, { was: 9 }), ok],
    ['offered again, row above it', live(8), put(5, whole, { was: 9 }), conflict(live(8))],
    ['offered again, a lower offer stands', live(8), put(5, whole, { was: 9 }), ok, { was: 7 }],
    [
      'offered again, the same offer stands',
      live(8),
      put(5, whole, { was: 9 }),
      conflict(live(8)),
      { was: 9 },
    ],
    [
      'offered again, a higher offer stands',
      live(8),
      put(5, whole, { was: 9 }),
      conflict(live(8)),
      { was: 12 },
    ],
    ['offered again over a lower offered tombstone', dead(8), put(5, whole, { was: 9 }), ok, { was: 7 }],
    ['offered again over a tombstone above', dead(8), put(5, whole, { was: 9 }), conflict(dead(8))],
    ['a delete offered again over a lower offer', live(8), del(5, { was: 9 }), ok, { was: 7 }],
    ['a delete offered again over a row above', live(8), del(5, { was: 9 }), conflict(live(8))],
    ['a delete offered over a lower offered delete', dead(8), del(5, { was: 9 }), ok, { was: 7 }],
    [
      'a delete offered over a higher offered delete',
      dead(8),
      del(5, { was: 9 }),
      { status: 'ok', version: 8 },
      { was: 12 },
    ],
  ]
  for (const [name, standing, change, answer, scene = {}] of rows) {
    test(name, () => expect(one(change, { ...scene, standing })).toEqual(answer))
  }
})

describe('what is written', () => {
  test('versions follow the head in order, and refused changes take none', () => {
    const { head, results, writes } = decide([
      put(0, { a: 1 }),
      put(3, { a: 1 }, { key: '[2]' }),
      put(0, { a: 1 }, { key: '[3]' }),
    ])
    expect(results.map((result) => result.status)).toEqual(['ok', 'conflict', 'ok'])
    expect(writes.map(({ after }) => after.record.version)).toEqual([101, 102])
    expect(head).toBe(102)
  })

  test('I7: an edit keeps the fields that others set, and says so', () => {
    const decision = decide([put(3, { a: 5 })], { standing: edited })
    const current = {
      table: 't',
      key: KEY,
      version: 101,
      hlc: T,
      by: 'r-self',
      fields: { a: 5, b: 20 },
      since: [7, edited.hlc],
      fieldVersions: { a: [101, T] },
    }
    expect(decision.results[0]).toEqual({ status: 'ok', version: 101, current })
    expect(decision.writes[0]?.text).toBe('{"a":5,"b":20}')
  })

  test('ages are compact: none for a row of one age, the commonest unnamed', () => {
    const three = live(3, { a: 1, b: 2, c: 3 })
    const some = decide([put(3, { a: 5, b: 6 })], { standing: three }).writes[0]?.after.record
    expect(some).toMatchObject({ since: [101, T], fieldVersions: { c: [3, three.hlc] } })
    const all = decide([put(3, { a: 5, b: 6, c: 7 })], { standing: three }).writes[0]?.after.record
    expect(all).not.toHaveProperty('since')
    expect(all).not.toHaveProperty('fieldVersions')
  })

  test('I10: columns with the names of built-in properties are columns like others', () => {
    const odd = JSON.parse('{"__proto__":1,"constructor":2,"toString":3}') as Record<string, number>
    const set = JSON.parse('{"__proto__":4}') as Record<string, number>
    const decision = decide([put(7, set)], { standing: live(7, odd) })
    expect(decision.writes[0]?.text).toBe('{"__proto__":4,"constructor":2,"toString":3}')
    const record = decision.writes[0]?.after.record as WireRecord
    expect(ageOf(record, '__proto__')[0]).toBe(101)
    expect(ageOf(record, 'constructor')[0]).toBe(7)
    expect(one(put(3, { constructor: 5 }), { standing: live(7, { a: 1 }) })).toMatchObject({ status: 'ok' })
    expect(one(put(3, { constructor: 5 }), { standing: live(7, odd) })).toMatchObject({ status: 'conflict' })
  })

  test('a time too far ahead is clamped, one behind what it replaces is raised above it', () => {
    const hlcOf = (decision: Decision) => decision.writes[0]?.after.record.hlc
    const ahead = put(0, { a: 1 }, { hlc: hlcFromMs(NOW + 3_600_000) })
    expect(hlcOf(decide([ahead]))).toBe(hlcFromMs(NOW + 60_000))
    const future = wholeRecord('t', KEY, { a: 1 }, stamp(3, T + 5_000))
    expect(hlcOf(decide([put(3, { a: 2 })], { standing: future }))).toBe(T + 5_001)
    expect(hlcOf(decide([del(3)], { standing: future }))).toBe(T + 5_001)
    expect(hlcOf(decide([put(3, { c: 2 })], { standing: future }))).toBe(T)
    const buried = tombstone('t', KEY, stamp(3, T + 5_000))
    expect(hlcOf(decide([put(3, { a: 2 })], { standing: buried }))).toBe(T + 5_001)
  })

  test('I7: a row offered with an edit gives way to no later offer', () => {
    const offer = decide([put(5, { a: 5 }, { was: 9, hlc: 1 })], { standing: live(3) })
    expect(offer.writes[0]?.after.was).toBe(9)
    const withEdit = decide([put(5, { a: 5 }, { was: 9 })], { standing: live(3) })
    expect(withEdit.writes[0]?.after.was).toBeNull()
    expect(decide([put(8, { a: 6 })], { standing: live(8), was: 7 }).writes[0]?.after.was).toBeNull()
  })

  test('an offered row keeps the columns that its replica does not know', () => {
    const decision = decide([put(5, { a: 5 }, { was: 9 })], { standing: live(3) })
    expect(fields(decision)).toEqual({ a: 5, b: 2 })
  })
})

describe('force', () => {
  test('the newer time wins field by field, what it overwrites unseen is told', () => {
    const newer = decide([put(3, { a: 5, b: 6 })], { standing: edited, force: true })
    expect(newer.results[0]).toMatchObject({ status: 'ok', version: 101, lost: { b: 20 } })
    expect(fields(newer)).toEqual({ a: 5, b: 6 })

    const older = put(3, { a: 5, b: 6 }, { hlc: edited.hlc - 1 })
    const mixed = decide([older], { standing: edited, force: true })
    expect(mixed.results[0]).toMatchObject({ status: 'ok', current: { fields: { a: 5, b: 20 } } })
    expect(mixed.results[0]).not.toHaveProperty('lost')

    const beaten = decide([put(3, { b: 6 }, { hlc: 5 })], { standing: edited, force: true })
    expect(beaten.results[0]).toEqual({ status: 'ok', version: 7, current: edited })
    expect(beaten.writes).toEqual([])
  })

  test('of equal times the larger replica id wins', () => {
    const tie = put(3, { b: 6 }, { hlc: edited.hlc })
    expect(fields(decide([tie], { standing: edited, force: true, replica: 'r-z' }))).toEqual({ a: 1, b: 6 })
    expect(decide([tie], { standing: edited, force: true, replica: 'r-a' }).writes).toEqual([])
  })

  test('an equal value is not lost', () => {
    const same = decide([put(3, { b: 20 })], { standing: edited, force: true })
    expect(same.results[0]).not.toHaveProperty('lost')
  })
})

describe('I9: what is wrong with one row is its own', () => {
  const bad: readonly (readonly [name: string, change: Draft, code?: string])[] = [
    ['a put without fields', put(0, undefined)],
    ['a value that is not canonical', put(0, { a: { $int: '5' } })],
    ['raw NUL in text', put(0, { a: 'x\0y' })],
    ['a lone surrogate in text', put(0, { a: '\ud800' })],
    ['NUL in the name of a column', put(0, { 'a\0b': 1 })],
    ['a lone surrogate in the key', put(0, { a: 1 }, { key: '["\ud800"]' })],
    ['NUL in the key', put(0, { a: 1 }, { key: '["\0"]' })],
    ['a key over the limit in UTF-8 only', put(0, { a: 1 }, { key: `["${'€'.repeat(400)}"]` })],
    ['NUL in the name of a table', put(0, { a: 1 }, { table: 't\0u' })],
    ['a lone surrogate in a claim', put(0, { a: 1 }, { claims: { i: '\udc00' } })],
    ['a row over the limit', put(0, { a: 'x'.repeat(MAX_ROW_BYTES) }), 'payload_too_large'],
    ['a row over the limit in UTF-8 only', put(0, { a: '€'.repeat(MAX_ROW_BYTES / 3) }), 'payload_too_large'],
  ]
  for (const [name, change, code = 'unprocessable'] of bad) {
    test(name, () => {
      const { results, writes } = decide([change, put(0, { a: 1 }, { key: '[9]' })])
      expect(results[0]).toMatchObject({ status: 'rejected', code })
      expect(results[1]).toEqual({ status: 'ok', version: 101 })
      expect(writes).toHaveLength(1)
    })
  }

  test('a row that grows over the limit by edits', () => {
    const half = 'x'.repeat(MAX_ROW_BYTES / 2)
    const result = one(put(3, { b: half }), { standing: live(3, { a: half }) })
    expect(result).toMatchObject({ status: 'rejected', code: 'payload_too_large' })
  })

  test('the later of two changes of one row is refused, whatever became of the first', () => {
    const { results } = decide([put(0, { a: 1 }), put(0, { a: 2 }), del(0)])
    expect(results.map((result) => result.status)).toEqual(['ok', 'rejected', 'rejected'])
    const after = decide([put(4, { a: 1 }), put(0, { a: 2 })])
    expect(after.results.map((result) => result.status)).toEqual(['conflict', 'rejected'])
  })

  test('messages hold no values', () => {
    const result = one(put(0, { a: { $int: 'secret' } }))
    expect(JSON.stringify(result)).not.toContain('secret')
  })
})

describe('unique values', () => {
  const holding = (key: string, version: number, index: string, value: string | null): Standing => ({
    record: wholeRecord('t', key, { a: value }, stamp(version)),
    was: null,
    claims: { [index]: [value, version] },
  })

  test('the first holder wins, and the answer has the pushed row as the cloud has it', () => {
    const others = [holding('[2]', 4, 'i', 'x')]
    expect(one(put(0, { a: 1 }, { claims: { i: 'x' } }), { others })).toEqual({
      status: 'taken',
      index: 'i',
      by: '[2]',
      current: null,
    })
    const scene = { others, standing: live(3), claims: { i: ['y', 3] } } as const
    expect(one(put(3, { a: 1 }, { claims: { i: 'x' } }), scene)).toMatchObject({
      by: '[2]',
      current: live(3),
    })
  })

  test('a deleted row lets its values go, in the same mutation too', () => {
    const others = [holding('[2]', 4, 'i', 'x')]
    const decision = decide([put(0, { a: 1 }, { claims: { i: 'x' } }), del(4, { key: '[2]' })], { others })
    expect(decision.results.map((result) => result.status)).toEqual(['ok', 'ok'])
    expect(decision.writes[1]?.after.claims).toEqual({})
  })

  test('values are swapped inside one mutation', () => {
    const others = [holding('[1]', 4, 'i', 'x'), holding('[2]', 5, 'i', 'y')]
    const swap = [
      put(4, { a: 'y' }, { claims: { i: 'y' } }),
      put(5, { a: 'x' }, { key: '[2]', claims: { i: 'x' } }),
    ]
    const { results, writes } = decide(swap, { others })
    expect(results.map((result) => result.status)).toEqual(['ok', 'ok'])
    expect(writes.map(({ after }) => after.claims)).toEqual([{ i: ['y', 101] }, { i: ['x', 102] }])
    // Half of the swap is a conflict: the other row keeps its value.
    const half = [swap[0] as Draft, put(4, { a: 'x' }, { key: '[2]', claims: { i: 'x' } })]
    expect(decide(half, { others }).results).toMatchObject([
      { status: 'taken', by: '[2]' },
      { status: 'conflict' },
    ])
  })

  test('a change made from a claim that others touched since is a conflict, by force too', () => {
    const standing = edited
    const claims = { i: ['1,20', 7] } as const
    const stale = put(3, { a: 5 }, { claims: { i: '5,2' } })
    expect(one(stale, { standing, claims })).toEqual({ status: 'conflict', current: edited })
    expect(one(stale, { standing, claims, force: true })).toEqual({ status: 'conflict', current: edited })
    const gone = { i: [null, 7] } as const
    expect(one(stale, { standing, claims: gone })).toEqual({ status: 'conflict', current: edited })
    expect(one(put(7, { a: 5 }, { claims: { i: '5,20' } }), { standing, claims })).toMatchObject({
      status: 'ok',
    })
  })

  test('a value let go of leaves its version behind, an insert leaves none', () => {
    const scene = { standing: live(3), claims: { i: ['x', 3] } } as const
    expect(decide([put(3, { a: 5 }, { claims: { i: null } })], scene).writes[0]?.after.claims).toEqual({
      i: [null, 101],
    })
    expect(decide([put(0, { a: 5 }, { claims: { i: null, j: 'y' } })]).writes[0]?.after.claims).toEqual({
      j: ['y', 101],
    })
  })
})
