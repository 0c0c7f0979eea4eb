import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { hlcFromMs } from '../kernel/hlc.ts'
import type { Fields } from '../kernel/values.ts'
import type { FieldVersion, WireRecord } from '../protocol/records.ts'
import { mergeRow } from './merge.ts'
import { reconcileAnswers, reconcileRecords } from './reconcile.ts'
import { localWins, manual, newestWins, remoteWins, type NamedResolver } from './resolvers.ts'
import type { LocalRow } from './store.ts'

const T = hlcFromMs(1_000)
const plain = { rowidAlias: false }

function row(more: Partial<LocalRow> = {}): LocalRow {
  const fields = { id: 'a', x: 1, y: 1 }
  return {
    table: 't',
    key: '["a"]',
    fields,
    base: 5,
    agreed: 'live',
    changed: ['x'],
    dirty: true,
    held: false,
    at: T,
    claims: {},
    was: null,
    ...more,
  }
}

function record(
  fields: Fields | null,
  fieldVersions: { [column: string]: FieldVersion } = {},
  version = 9,
): WireRecord {
  const base = {
    table: 't',
    key: '["a"]',
    version,
    hlc: T + 1,
    by: 'other',
    since: [3, 1] as FieldVersion,
    fieldVersions,
  }
  return fields === null ? { ...base, deleted: true } : { ...base, fields }
}

const context = (resolver: NamedResolver, rowidAlias = false) => ({
  resolvers: { default: resolver },
  tables: new Map([
    [
      't',
      {
        name: 't',
        columns: [
          { name: 'id', type: 'TEXT' },
          { name: 'x', type: '' },
          { name: 'y', type: '' },
        ],
        key: ['id'],
        unique: [{ claim: 'u(x)', terms: [{ column: 'x' }] }],
        foreignKeys: [],
        ...(rowidAlias ? { rowidAlias: true as const } : {}),
      },
    ],
  ]),
})

describe('merge of one row', () => {
  it('takes each side for the columns that only it changed', () => {
    const merge = mergeRow(row(), record({ id: 'a', x: 0, y: 7 }, { y: [9, T] }), plain)
    expect(merge).toMatchObject({
      kind: 'decided',
      row: { decision: { kind: 'keep', fields: { id: 'a', x: 1, y: 7 } } },
      notes: [],
    })
  })

  it('I7: asks the resolver for a column that both changed, and keeps both values', async () => {
    const remote = record({ id: 'a', x: 2, y: 7 }, { x: [9, T - 1], y: [8, T] })
    const cases: [NamedResolver, Fields, string][] = [
      [newestWins('me'), { id: 'a', x: 1, y: 7 }, 'local'],
      [localWins, { id: 'a', x: 1, y: 7 }, 'local'],
      [remoteWins, { id: 'a', x: 2, y: 7 }, 'remote'],
      [{ name: 'sum', resolve: () => ({ x: 3 }) }, { id: 'a', x: 3, y: 7 }, 'merged'],
    ]
    for (const [resolver, fields, chosen] of cases) {
      const { merged, notes } = await reconcileRecords([remote], [row()], context(resolver))
      expect(merged[0]?.decision).toEqual({ kind: 'keep', fields })
      expect(notes).toMatchObject([
        {
          kind: 'field',
          columns: ['x'],
          local: { x: 1 },
          remote: { fields: { x: 2 } },
          chosen,
          by: resolver.name,
        },
      ])
    }
  })

  it('I9: a resolver that throws or answers nonsense makes the row wait, without its values', async () => {
    const remote = record({ id: 'a', x: 2, y: 1 }, { x: [9, T] })
    const bad: NamedResolver[] = [
      manual,
      { name: 'throws', resolve: () => Promise.reject(new TypeError('secret')) },
      { name: 'number', resolve: () => 5 as never },
      { name: 'column', resolve: () => ({ nope: 1 }) },
    ]
    for (const resolver of bad) {
      const { merged, notes } = await reconcileRecords([remote], [row()], context(resolver))
      expect(merged[0]?.decision).toEqual({ kind: 'hold' })
      expect(notes[0]).toMatchObject({ chosen: 'waits' })
      expect(notes[0]?.reason).not.toContain('secret')
    }
  })

  it('lets the edit win over the delete, either way, and says so', () => {
    const back = mergeRow(row(), record(null), plain)
    expect(back).toMatchObject({
      row: { decision: { kind: 'keep', fields: { x: 1 } } },
      notes: [{ kind: 'deleted', chosen: 'local' }],
    })
    const gone = mergeRow(row({ fields: null, changed: [] }), record({ id: 'a', x: 2, y: 1 }), plain)
    expect(gone).toMatchObject({
      row: { decision: { kind: 'take' } },
      notes: [{ kind: 'deleted', chosen: 'remote' }],
    })
    const both = mergeRow(row({ fields: null, changed: [] }), record(null), plain)
    expect(both).toMatchObject({ row: { decision: { kind: 'take' } }, notes: [] })
    const collected = mergeRow(row(), null, plain)
    expect(collected).toMatchObject({ row: { decision: { kind: 'keep' } }, notes: [{ kind: 'deleted' }] })
  })

  it('never field-merges two inserts: equal ones agree, integer keys move, others are a conflict of rows', async () => {
    const inserted = row({ agreed: 'none', base: 0, changed: ['id', 'x', 'y'] })
    expect(mergeRow(inserted, record({ id: 'a', x: 1, y: 1 }), plain)).toMatchObject({
      row: { decision: { kind: 'keep' } },
      notes: [],
    })
    const other = record({ id: 'a', x: 2, y: 1 })
    expect(mergeRow(inserted, other, { rowidAlias: true })).toMatchObject({
      row: { decision: { kind: 'rekey' } },
      notes: [{ kind: 'rekeyed', chosen: 'both' }],
    })
    const { merged, notes } = await reconcileRecords([other], [inserted], context(remoteWins))
    expect(merged[0]?.decision).toEqual({ kind: 'keep', fields: { id: 'a', x: 2, y: 1 } })
    expect(notes).toMatchObject([{ kind: 'insert', local: { x: 1 } }])
  })

  it('I4: hands on a record that the row already agreed on: the cloud has the row still', async () => {
    const known = record({ id: 'a', x: 0, y: 0 }, {}, 5)
    const { merged, records } = await reconcileRecords([known], [row()], context(remoteWins))
    expect(merged).toEqual([])
    expect(records).toEqual([known])
  })

  it('keeps columns that an older replica never heard of', () => {
    const local = row({ fields: { id: 'a', x: 1, y: 1, added: 4 }, changed: ['x'] })
    const merge = mergeRow(local, record({ id: 'a', x: 0, y: 2 }, { y: [9, T] }), plain)
    expect(merge).toMatchObject({ row: { decision: { fields: { id: 'a', x: 1, y: 2, added: 4 } } } })
  })

  it('holds a held row', () => {
    expect(mergeRow(row({ held: true }), record({ id: 'a', x: 2, y: 1 }), plain)).toMatchObject({
      row: { decision: { kind: 'hold' } },
      notes: [],
    })
  })

  it('I2: two replicas that merge the same two edits choose the same value', () => {
    const time = fc.integer({ min: 1, max: 5 })
    fc.assert(
      fc.property(time, time, fc.boolean(), (a, b, swap) => {
        const [one, two] = swap ? ['p', 'q'] : ['q', 'p']
        const conflict = { kind: 'field', table: 't', key: '[1]', columns: ['x'] } as const
        const seenByOne = newestWins(one).resolve({
          ...conflict,
          local: { x: one },
          remote: { x: two },
          localAt: a,
          remoteTimes: { x: b },
          remoteBy: two,
        })
        const seenByTwo = newestWins(two).resolve({
          ...conflict,
          local: { x: two },
          remote: { x: one },
          localAt: b,
          remoteTimes: { x: a },
          remoteBy: one,
        })
        expect(seenByOne).toEqual(seenByTwo)
      }),
    )
  })
})

describe('answers of a push', () => {
  const change = { table: 't', key: '["a"]', op: 'put', base: 5, hlc: T, fields: { x: 1 } } as const

  it('publishes what an accepted row held of others, merged with edits made since', async () => {
    const current = record({ id: 'a', x: 1, y: 7 }, { x: [9, T], y: [7, T] })
    const ok = { change, result: { status: 'ok', version: 9, current } } as const
    const clean = await reconcileAnswers([ok], [row()], context(remoteWins))
    expect(clean).toMatchObject({ records: [current], merged: [], conflicts: 0 })
    const edited = row({ fields: { id: 'a', x: 4, y: 1 } })
    const since = await reconcileAnswers([ok], [edited], context(remoteWins))
    expect(since.merged).toMatchObject([
      { read: edited, decision: { kind: 'keep', fields: { id: 'a', x: 4, y: 7 } } },
    ])
    expect(since.notes).toEqual([])
  })

  it('moves the loser of a unique value to the inbox', async () => {
    const claims = { 'u(x)': '[1]' }
    const taken = {
      change: { ...change, claims },
      result: { status: 'taken', index: 'u(x)', by: '["b"]', current: null },
    } as const
    const inserted = row({ agreed: 'none', base: 0, changed: ['id', 'x', 'y'], claims })
    const lost = await reconcileAnswers([taken], [inserted], context(localWins))
    expect(lost.merged).toMatchObject([{ record: null, decision: { kind: 'take' } }])
    expect(lost.notes).toMatchObject([{ kind: 'unique', local: { x: 1 }, chosen: 'remote' }])
    const current = record({ id: 'a', x: 0, y: 1 }, {}, 5)
    const update = { ...taken, result: { ...taken.result, current } }
    const edited = row({ fields: { id: 'a', x: 1, y: 8 }, changed: ['x', 'y'], claims })
    const kept = await reconcileAnswers([update], [edited], context(localWins))
    expect(kept.merged).toMatchObject([{ decision: { kind: 'keep', fields: { id: 'a', x: 0, y: 8 } } }])
    const letGo = await reconcileAnswers(
      [update],
      [{ ...edited, claims: { 'u(x)': '[2]' } }],
      context(localWins),
    )
    expect(letGo.merged).toEqual([])
  })

  it('I8: a row that meets conflicts for ever gives way, and is in the inbox whole', async () => {
    const claims = { 'u(x)': '[1]' }
    const current = record({ id: 'a', x: 0, y: 5 }, { y: [8, T + 5] }, 9)
    const edited = row({ fields: { id: 'a', x: 1, y: 8 }, changed: ['x', 'y'], claims })
    const conflict = { change, result: { status: 'conflict', current } } as const
    const taken = {
      change: { ...change, claims },
      result: { status: 'taken', index: 'u(x)', by: '["b"]', current },
    } as const
    for (const answer of [conflict, taken]) {
      const last = { ...context(localWins), exhausted: true }
      const { merged, notes } = await reconcileAnswers([answer], [edited], last)
      expect(merged).toMatchObject([{ record: current, decision: { kind: 'take' } }])
      expect(notes).toMatchObject([{ local: edited.fields, remote: current, chosen: 'remote' }])
    }
  })

  it('I7: a forced push tells what it overwrote and what it lost', async () => {
    const current = record({ id: 'a', x: 5, y: 1 }, { x: [8, T + 5] })
    const both = { ...change, fields: { x: 1, y: 1 } }
    const forced = { change: both, result: { status: 'ok', version: 9, current, lost: { y: 0 } } } as const
    const { notes } = await reconcileAnswers([forced], [], context(localWins))
    expect(notes).toMatchObject([
      { columns: ['y'], chosen: 'local', remote: { fields: { y: 0 } } },
      { columns: ['x'], chosen: 'remote', local: { x: 1 } },
    ])
  })

  it('I7: a row offered again tells that it may have been deleted elsewhere', async () => {
    const offered = { ...change, was: 9, fields: { id: 'a', x: 1 } }
    const result = { status: 'ok', version: 12, forgotten: true } as const
    const { rows, notes, conflicts } = await reconcileAnswers(
      [{ change: offered, result }],
      [],
      context(localWins),
    )
    expect(rows).toMatchObject([{ outcome: { kind: 'ok', version: 12 } }])
    expect(notes).toMatchObject([
      {
        kind: 'rejoined',
        key: change.key,
        columns: [],
        local: { id: 'a', x: 1 },
        remote: null,
        chosen: 'local',
      },
    ])
    expect(conflicts).toBe(0)
  })

  it('I3: an insert that was sent before the file went back is not sent as another row', () => {
    const inserted = { agreed: 'none', base: 0, changed: ['id', 'x', 'y'] } as const
    const merge = (local: Partial<LocalRow>, remote: WireRecord) =>
      mergeRow(row({ ...inserted, ...local }), remote, { rowidAlias: true })
    const first: FieldVersion = [3, T]
    const sent = (fields: Fields, edited: { [column: string]: FieldVersion } = {}) => ({
      ...record(fields, edited),
      since: first,
    })
    const take = {
      kind: 'decided',
      row: { decision: { kind: 'take' } },
      notes: [{ kind: 'rejoined', chosen: 'remote' }],
    }
    // Edited elsewhere since: the newer row stands, and both are in the inbox.
    const edited = sent({ id: 'a', x: 2, y: 1 }, { x: [9, T + 5] })
    expect(merge({}, edited)).toMatchObject({ ...take, notes: [{ columns: ['x'], local: { x: 1 } }] })
    // Nothing is left of it but the key.
    const all = sent({ id: 'a', x: 2, y: 2 }, { x: [9, T + 5], y: [9, T + 5] })
    expect(merge({}, all)).toMatchObject(take)
    // Columns that this table lacks say nothing.
    expect(merge({}, sent({ id: 'a', x: 2, y: 1, z: 7 }, { x: [9, T + 5] }))).toMatchObject(take)
    const rekey = { kind: 'decided', row: { decision: { kind: 'rekey' } } }
    // Another insert: of another time, older, or of the same time with another value.
    expect(merge({ at: T + 1 }, edited)).toMatchObject(rekey)
    expect(merge({ at: T - 1 }, edited)).toMatchObject(rekey)
    expect(merge({ fields: { id: 'a', x: 1, y: 3 } }, edited)).toMatchObject(rekey)
  })

  it('I9: sets a refused row apart', async () => {
    const refused = { change, result: { status: 'rejected', code: 'unprocessable', message: 'no' } } as const
    const { rows, conflicts } = await reconcileAnswers([refused], [], context(localWins))
    expect(rows).toMatchObject([{ outcome: { kind: 'refused', code: 'unprocessable' } }])
    expect(conflicts).toBe(0)
  })
})
