import { describe, expect, test } from 'vitest'

import {
  cursor,
  dirtyKeys,
  key,
  merge,
  note,
  openFresh,
  parkedKeys,
  pull,
  push,
  readAllDirty,
  record,
  rowsOf,
  tombstone,
  touch,
} from './cycle.ts'
import type { OpenStore } from './harness.ts'

/** What records of the cloud make of the tables. */
export function applyContract(open: OpenStore): void {
  describe('applying', () => {
    test('inserts, edits, deletes and revives', async () => {
      await using h = await openFresh(open)
      expect(
        await pull(h.store, [
          record('notes', 1, { id: 'a', title: '1', body: '' }),
          record('notes', 2, { id: 'b', title: '1', body: '' }),
        ]),
      ).toMatchObject({
        status: 'done',
        applied: 2,
        parked: 0,
        notes: 0,
      })
      await pull(h.store, [
        record('notes', 3, { id: 'a', title: '2', body: '' }),
        tombstone('notes', key('b'), 4),
      ])
      expect(await rowsOf(h, 'notes')).toEqual([{ id: 'a', title: '2', body: '' }])
      await pull(h.store, [record('notes', 5, { id: 'b', title: '3', body: '' })])
      expect(await rowsOf(h, 'notes')).toHaveLength(2)
      await h.app.update('notes', { id: 'b' }, { title: '4' })
      expect(await touch(h.store, 'notes', key('b'))).toMatchObject({
        base: 5,
        agreed: 'live',
        changed: ['title'],
      })
    })

    test('cursor, generations and notes are of the same transaction', async () => {
      await using h = await openFresh(open)
      const generations = [{ id: 'g1', start: 0 }]
      const notes = [note({ table: 'notes', key: key('a'), fields: { id: 'a' } })]
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })], {
        cursor: cursor(7),
        generations,
        notes,
      })
      expect(await h.store.state()).toMatchObject({ cursor: cursor(7), generations })
      expect(await h.store.listInbox({})).toMatchObject([{ table: 'notes', key: key('a'), status: 'open' }])
      await h.reopen()
      expect(await h.store.state()).toMatchObject({ cursor: cursor(7), generations })
      await pull(h.store, [])
      expect(await h.store.state()).toMatchObject({ cursor: cursor(7), generations })
      await h.store.saveCursor(cursor(8, 9), [...generations, { id: 'g2', start: 8 }])
      expect(await h.store.state()).toMatchObject({
        cursor: cursor(8, 9),
        generations: [{}, { id: 'g2', start: 8 }],
      })
    })

    test('how far sets of tables were read is kept until a rebase', async () => {
      await using h = await openFresh(open)
      await h.store.saveCursor(cursor(4), [])
      const asides = [{ tables: ['notes', 'words'], cursor: cursor(6) }]
      await pull(h.store, [], { asides })
      await pull(h.store, [])
      await h.reopen()
      expect(await h.store.state()).toMatchObject({ cursor: cursor(4), asides })
      await h.store.rebase(cursor(2), 2, [])
      expect((await h.store.state()).asides).toEqual([])
    })

    test('I4: records that are not newer are skipped', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 5, { id: 'a', title: 'new', body: '' })])
      const old = [
        record('notes', 4, { id: 'a', title: 'old', body: '' }),
        record('notes', 5, { id: 'a', title: 'same', body: '' }),
      ]
      for (const each of [...old, tombstone('notes', key('a'), 3)])
        expect(await pull(h.store, [each])).toMatchObject({ applied: 0 })
      expect(await rowsOf(h, 'notes')).toMatchObject([{ title: 'new' }])
      await h.app.update('notes', { id: 'a' }, { title: 'mine' })
      expect(await pull(h.store, old)).toMatchObject({ status: 'done', applied: 0 })
      expect(await rowsOf(h, 'notes')).toMatchObject([{ title: 'mine' }])
    })

    test('of several records of a row the newest counts', async () => {
      await using h = await openFresh(open)
      const records = [2, 4, 3].map((version) =>
        record('notes', version, { id: 'a', title: String(version), body: '' }),
      )
      expect(await pull(h.store, records)).toMatchObject({ applied: 1 })
      expect(await rowsOf(h, 'notes')).toMatchObject([{ title: '4' }])
    })

    test('records of tables that are not there are skipped, silently', async () => {
      await using h = await openFresh(open)
      const result = await pull(h.store, [
        record('nowhere', 1, { id: 'a' }),
        record('notes', 2, { id: 'a', title: '1', body: '' }),
      ])
      expect(result).toMatchObject({ status: 'done', applied: 1, parked: 0 })
    })

    test('I1: a record never covers a dirty row', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })])
      await h.app.update('notes', { id: 'a' }, { title: 'mine' })
      const records = [
        record('notes', 2, { id: 'b', title: '1', body: '' }),
        record('notes', 3, { id: 'a', title: 'theirs', body: '' }),
      ]
      const notes = [note({ table: 'notes', key: key('a'), fields: null })]
      const result = await pull(h.store, records, { cursor: cursor(3), notes })
      expect(result).toEqual({ status: 'moved', rows: [{ table: 'notes', key: key('a') }] })
      expect(await rowsOf(h, 'notes')).toEqual([{ id: 'a', title: 'mine', body: '' }])
      expect((await h.store.state()).cursor).toBeNull()
      expect(await h.store.listInbox({})).toEqual([])
    })

    test('I1: nor a row that was inserted, or deleted, here', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })])
      await h.app.remove('notes', { id: 'a' })
      await h.app.insert('notes', { id: 'b', title: 'mine', body: '' })
      expect(await pull(h.store, [record('notes', 2, { id: 'a', title: '2', body: '' })])).toMatchObject({
        status: 'moved',
      })
      expect(await pull(h.store, [record('notes', 3, { id: 'b', title: '2', body: '' })])).toMatchObject({
        status: 'moved',
      })
    })

    test('a spelling of the key travels as data', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('words', 1, { word: 'SEA', meaning: 'water' }, { key: '["sea"]' })])
      expect(await rowsOf(h, 'words')).toEqual([{ word: 'SEA', meaning: 'water' }])
      await pull(h.store, [record('words', 2, { word: 'sea', meaning: 'water' }, { key: '["sea"]' })])
      expect(await rowsOf(h, 'words')).toEqual([{ word: 'sea', meaning: 'water' }])
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('tombstones at or below the floor are forgotten, later ones are not', async () => {
      await using h = await openFresh(open)
      await pull(
        h.store,
        ['a', 'b', 'c'].map((id, at) => record('notes', at + 1, { id, title: '1', body: '' })),
      )
      await pull(h.store, [
        tombstone('notes', key('a'), 5),
        tombstone('notes', key('b'), 6),
        tombstone('notes', key('c'), 7),
      ])
      await h.app.insert('notes', { id: 'a', title: 'back', body: '' })
      await pull(h.store, [], { floor: 6 })
      for (const id of ['b', 'c']) await h.app.insert('notes', { id, title: 'back', body: '' })
      expect(await touch(h.store, 'notes', key('b'))).toMatchObject({ base: 0, agreed: 'none' })
      expect(await touch(h.store, 'notes', key('c'))).toMatchObject({ base: 7, agreed: 'deleted' })
      // A tombstone that a dirty row still stands on is not forgotten.
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ base: 5, agreed: 'deleted' })
    })

    test('columns: unknown ones come back when they appear, missing ones get their default', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [
        record('notes', 1, { id: 'a', title: '1', body: '', extra: 'kept' }),
        record('seats', 2, { id: 's', place: 1 }),
      ])
      expect(await rowsOf(h, 'notes')).toEqual([{ id: 'a', title: '1', body: '' }])
      expect(await rowsOf(h, 'seats')).toEqual([{ id: 's', place: 1, label: '-' }])
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ changed: ['title'] })
      await push(h.store, 3)
      await h.app.addColumn('notes', { name: 'extra', type: 'TEXT' })
      await h.store.schema()
      expect(await rowsOf(h, 'notes')).toEqual([{ id: 'a', title: '2', body: '', extra: 'kept' }])
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('I1: a row that is sent whole takes along what the table has no columns for', async () => {
      await using h = await openFresh(open)
      const known = (id: string, version: number) =>
        record('notes', version, { id, title: '1', body: '', extra: 'kept' })
      await pull(h.store, [known('offered', 8), known('edited', 3)])
      await h.store.rebase(cursor(5), 5, [])
      const offered = await touch(h.store, 'notes', key('offered'))
      expect(offered).toMatchObject({ was: 8, fields: { title: '1', extra: 'kept' } })
      expect([...offered.changed].sort()).toEqual(['body', 'extra', 'id', 'title'])
      await h.app.update('notes', { id: 'edited' }, { title: '2' })
      const read = await touch(h.store, 'notes', key('edited'))
      expect(read.changed).toEqual(['title'])
      const gone = tombstone('notes', key('edited'), 6)
      await merge(h.store, [{ read, decision: { kind: 'keep', fields: read.fields ?? {} }, record: gone }])
      expect(await touch(h.store, 'notes', key('edited'))).toMatchObject({
        agreed: 'deleted',
        fields: { title: '2', extra: 'kept' },
      })
      await push(h.store, 9)
      expect(await dirtyKeys(h.store)).toEqual([])
      await h.app.addColumn('notes', { name: 'extra', type: 'TEXT' })
      await h.store.schema()
      expect((await rowsOf(h, 'notes')).map(({ extra }) => extra)).toEqual(['kept', 'kept'])
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('defaults of a new column are no edits, values in it are', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [
        record('notes', 1, { id: 'a', title: '1', body: '' }),
        record('notes', 2, { id: 'b', title: '1', body: '' }),
      ])
      await h.app.addColumn('notes', { name: 'grade', type: 'INTEGER', default: '5' })
      await h.store.schema()
      expect(await dirtyKeys(h.store)).toEqual([])
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      await h.app.update('notes', { id: 'b' }, { grade: 6 })
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ changed: ['title'] })
      expect(await touch(h.store, 'notes', key('b'))).toMatchObject({ changed: ['grade'] })
      await push(h.store, 3)
      expect(
        await pull(h.store, [record('notes', 9, { id: 'a', title: '2', body: '', grade: 7 })]),
      ).toMatchObject({ applied: 1 })
      expect(await rowsOf(h, 'notes')).toContainEqual({ id: 'a', title: '2', body: '', grade: 7 })
    })

    test('images only: no row changes, differences become edits', async () => {
      await using h = await openFresh(open)
      await pull(
        h.store,
        ['a', 'b', 'c', 'd'].map((id, at) => record('notes', at + 1, { id, title: '1', body: '' })),
      )
      await h.app.update('notes', { id: 'd' }, { title: 'mine' })
      const records = [
        record('notes', 11, { id: 'a', title: 'theirs', body: '' }),
        tombstone('notes', key('b'), 12),
        record('notes', 13, { id: 'c', title: '1', body: '' }),
        record('notes', 14, { id: 'd', title: 'theirs', body: '' }),
        record('notes', 15, { id: 'e', title: 'theirs', body: '' }),
      ]
      const before = await rowsOf(h, 'notes')
      expect(await pull(h.store, records, { imagesOnly: true, cursor: cursor(15) })).toMatchObject({
        status: 'done',
      })
      expect(await rowsOf(h, 'notes')).toEqual(before)
      const dirty = new Map((await readAllDirty(h.store)).map((row) => [row.key, row]))
      expect([...dirty.keys()].sort()).toEqual(['a', 'b', 'd', 'e'].map((id) => key(id)))
      expect(dirty.get(key('a'))).toMatchObject({
        base: 11,
        agreed: 'live',
        changed: ['title'],
        fields: { title: '1' },
      })
      expect(dirty.get(key('b'))).toMatchObject({ base: 12, agreed: 'deleted', fields: { title: '1' } })
      expect(dirty.get(key('d'))).toMatchObject({ base: 14, changed: ['title'], fields: { title: 'mine' } })
      expect(dirty.get(key('e'))).toMatchObject({ base: 15, agreed: 'live', fields: null })
    })
  })

  describe('references', () => {
    test('I9: records come in any order', async () => {
      await using h = await openFresh(open)
      expect(
        await pull(h.store, [
          record('parts', 1, { id: 10, item: 1, label: 'x' }),
          record('items', 2, { id: 1, name: 'n' }),
        ]),
      ).toMatchObject({
        applied: 2,
        notes: 0,
      })
      expect(await h.store.listInbox({})).toEqual([])
    })

    test('I1: a delete does not cascade to rows that were not sent', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [
        record('items', 1, { id: 1, name: 'n' }),
        record('parts', 2, { id: 10, item: 1, label: 'theirs' }),
      ])
      await h.app.insert('parts', { id: 11, item: 1, label: 'mine' })
      expect(await pull(h.store, [tombstone('items', key(1), 3)])).toMatchObject({
        status: 'done',
        applied: 1,
      })
      expect(await rowsOf(h, 'items')).toEqual([])
      expect((await rowsOf(h, 'parts')).map((row) => row['label']).sort()).toEqual(['mine', 'theirs'])
      expect(await dirtyKeys(h.store)).toEqual(['parts [11]'])
    })

    test('what points nowhere is noted once, and the note is resolved when it no longer holds', async () => {
      await using h = await openFresh(open)
      expect(await pull(h.store, [record('parts', 1, { id: 10, item: 1, label: 'x' })])).toMatchObject({
        status: 'done',
        notes: 1,
      })
      const [finding] = await h.store.listInbox({})
      expect(finding).toMatchObject({
        kind: 'integrity',
        table: 'parts',
        key: key(10),
        columns: ['item'],
        status: 'open',
      })
      expect(await pull(h.store, [record('parts', 2, { id: 10, item: 1, label: 'y' })])).toMatchObject({
        notes: 0,
      })
      expect(await h.store.listInbox({ open: true })).toHaveLength(1)
      await pull(h.store, [record('items', 3, { id: 1, name: 'n' })])
      expect(await h.store.listInbox({ open: true })).toEqual([])
      expect(await h.store.readInbox(finding?.id ?? '')).toMatchObject({ status: 'resolved' })
      await pull(h.store, [tombstone('items', key(1), 4)])
      expect(await h.store.listInbox({ open: true })).toMatchObject([{ kind: 'integrity', key: key(10) }])
      expect(await parkedKeys(h.store)).toEqual([])
    })
  })
}
