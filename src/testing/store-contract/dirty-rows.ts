import { describe, expect, test } from 'vitest'

import type { DirtyRows, RowKey } from '../../engine/store.ts'
import { MAX_KEY_BYTES } from '../../kernel/keys.ts'
import {
  acknowledge,
  dirtyKeys,
  isTouched,
  key,
  openFresh,
  pull,
  readAllDirty,
  record,
  send,
  tombstone,
  touch,
} from './cycle.ts'
import type { OpenStore } from './harness.ts'

/** How a row is read where it stands between the replica and the cloud. */
export function dirtyRowsContract(open: OpenStore): void {
  describe('dirty rows', () => {
    test('only those of the tables asked for', async () => {
      await using h = await openFresh(open)
      await h.app.insert('notes', { id: 'a', title: 't', body: '' })
      await h.app.insert('seats', { id: 'a', place: 5, label: 'x' })
      await h.app.insert('words', { word: 'w', meaning: '' })
      const read = async (tables: readonly string[]) =>
        (await h.store.readDirty({ rows: 9, bytes: 1e6, tables })).rows.map(({ table }) => table).sort()
      expect(await read(['words', 'notes'])).toEqual(['notes', 'words'])
      expect(await read([])).toEqual([])
      const first = await h.store.readDirty({ rows: 1, bytes: 1e6, tables: ['notes', 'words'] })
      expect(first).toMatchObject({ rows: [{ table: 'notes' }], more: true })
      const last = await h.store.readDirty({
        rows: 1,
        bytes: 1e6,
        tables: ['notes', 'words'],
        after: { table: 'notes', key: key('a') },
      })
      expect(last).toMatchObject({ rows: [{ table: 'words' }], more: false })
    })

    test('an insert: every column, every claim, no base', async () => {
      await using h = await openFresh(open)
      await h.app.insert('seats', { id: 'a', place: 5, label: 'x' })
      const row = await touch(h.store, 'seats', key('a'))
      expect(row).toMatchObject({
        table: 'seats',
        key: key('a'),
        fields: { id: 'a', place: 5, label: 'x' },
        base: 0,
        agreed: 'none',
        dirty: true,
        held: false,
        was: null,
      })
      expect([...row.changed].sort()).toEqual(['id', 'label', 'place'])
      expect(row.at).toBeGreaterThan(0)
      const [unique] = (await h.store.schema()).tables.find(({ name }) => name === 'seats')?.unique ?? []
      expect(row.claims).toEqual({ [unique?.claim ?? '']: '[5]' })
    })

    test('an edit: the columns that changed, the claims they touch', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [
        record('seats', 4, { id: 'a', place: 5, label: 'x' }),
        record('seats', 5, { id: 'b', place: 6, label: 'x' }),
      ])
      await h.app.update('seats', { id: 'a' }, { label: 'y' })
      await h.app.update('seats', { id: 'b' }, { place: null })
      expect(await touch(h.store, 'seats', key('a'))).toMatchObject({
        base: 4,
        agreed: 'live',
        changed: ['label'],
        claims: {},
      })
      const other = await touch(h.store, 'seats', key('b'))
      expect(other).toMatchObject({ base: 5, agreed: 'live', changed: ['place'] })
      expect(Object.values(other.claims)).toEqual([null])
    })

    test('a delete: no fields, no columns, no claims', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('seats', 4, { id: 'a', place: 5, label: 'x' })])
      await h.app.remove('seats', { id: 'a' })
      expect(await touch(h.store, 'seats', key('a'))).toMatchObject({
        fields: null,
        base: 4,
        agreed: 'live',
        changed: [],
        claims: {},
      })
    })

    test('a revived row is whole, on the version of its tombstone', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })])
      await pull(h.store, [tombstone('notes', key('a'), 6)])
      await h.app.insert('notes', { id: 'a', title: '1', body: '' })
      const row = await touch(h.store, 'notes', key('a'))
      expect(row).toMatchObject({ base: 6, agreed: 'deleted' })
      expect([...row.changed].sort()).toEqual(['body', 'id', 'title'])
    })

    test('limits of rows: never more, `more` is exact, what is agreed makes room', async () => {
      await using h = await openFresh(open)
      for (const id of ['a', 'b', 'c', 'd', 'e']) await h.app.insert('notes', { id, title: id, body: '' })
      const seen: string[] = []
      for (const [count, more] of [
        [2, true],
        [2, true],
        [1, false],
      ] as const) {
        const page = await h.store.readDirty({ rows: 2, bytes: 1_000_000 })
        expect(page).toMatchObject({ more, refused: 0 })
        expect(page.rows).toHaveLength(count)
        seen.push(...page.rows.map((row) => row.key))
        await pull(h.store, [], { notes: [] })
        const changes = page.rows.map(({ table, key: rowKey, base, at, fields }) => ({
          table,
          key: rowKey,
          op: 'put' as const,
          base,
          hlc: at,
          fields: fields ?? {},
        }))
        const { mutation } = await h.store.state()
        await h.store.saveMutation({
          number: mutation + 1,
          force: false,
          parts: [JSON.stringify({ changes })],
        })
        await acknowledge(h.store, changes, seen.length)
      }
      expect(seen.sort()).toEqual(['a', 'b', 'c', 'd', 'e'].map((id) => key(id)))
      expect(await h.store.readDirty({ rows: 5, bytes: 1_000_000 })).toEqual({
        rows: [],
        more: false,
        refused: 0,
      })
    })

    test('limits of rows that are met exactly leave no more', async () => {
      await using h = await openFresh(open)
      for (const id of ['a', 'b']) await h.app.insert('notes', { id, title: id, body: '' })
      await h.app.insert('words', { word: 'w', meaning: '' })
      await h.app.remove('words', { word: 'w' })
      expect(await h.store.readDirty({ rows: 2, bytes: 1_000_000 })).toMatchObject({ more: false })
    })

    test('limits of bytes: a row alone is always answered', async () => {
      await using h = await openFresh(open)
      for (const id of ['a', 'b', 'c'])
        await h.app.insert('notes', { id, title: 'x'.repeat(1_000), body: '' })
      expect(await h.store.readDirty({ rows: 10, bytes: 1 })).toMatchObject({
        rows: [{ table: 'notes' }],
        more: true,
      })
      const page = await h.store.readDirty({ rows: 10, bytes: 1_500 })
      expect(page.rows).toHaveLength(2)
      expect(page.more).toBe(true)
    })

    test('rows behind those in flight, in the order in which they are found', async () => {
      await using h = await openFresh(open)
      for (const id of ['c', 'a', 'e', 'b', 'd']) await h.app.insert('notes', { id, title: id, body: '' })
      await h.app.insert('words', { word: 'w', meaning: '' })
      const keysOf = (page: DirtyRows) => page.rows.map((row) => `${row.table} ${row.key}`)
      const all = await h.store.readDirty({ rows: 10, bytes: 1e6 })
      const first = await h.store.readDirty({ rows: 2, bytes: 1e6 })
      expect(keysOf(first)).toEqual(keysOf(all).slice(0, 2))
      const [, last] = first.rows
      const { mutation } = await h.store.state()
      await h.store.saveMutation({ number: mutation + 1, force: false, parts: ['{"changes":[]}'] })
      const ahead = await h.store.readDirty({ rows: 3, bytes: 1e6, after: last as RowKey })
      expect(ahead).toMatchObject({ more: true })
      expect(keysOf(ahead)).toEqual(keysOf(all).slice(2, 5))
      const rest = await h.store.readDirty({ rows: 3, bytes: 1e6, after: ahead.rows[2] as RowKey })
      expect(rest).toMatchObject({ more: false })
      expect(keysOf(rest)).toEqual(keysOf(all).slice(5))
      expect(await h.store.readDirty({ rows: 3, bytes: 1e6, after: rest.rows[0] as RowKey })).toMatchObject({
        rows: [],
        more: false,
      })
    })

    test('I9: a key that cannot be carried is set apart and stops nothing', async () => {
      await using h = await openFresh(open)
      const long = 'x'.repeat(MAX_KEY_BYTES)
      await h.app.insert('notes', { id: long, title: '1', body: '' })
      await h.app.insert('notes', { id: 'b', title: '1', body: '' })
      const page = await h.store.readDirty({ rows: 10, bytes: 1_000_000 })
      expect(page).toMatchObject({ rows: [{ key: key('b') }], more: false, refused: 1 })
      expect(await h.store.listQuarantine(10)).toMatchObject([{ table: 'notes', key: key(long), op: 'put' }])
      expect(await h.store.counts()).toMatchObject({ quarantined: 1 })
      expect(await h.store.readDirty({ rows: 10, bytes: 1_000_000 })).toMatchObject({
        rows: [{ key: key('b') }],
        refused: 0,
      })
    })

    test('`readTouched` leaves out clean rows, unknown rows and unknown tables', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })])
      await h.app.insert('notes', { id: 'b', title: '1', body: '' })
      const wanted = [
        { table: 'notes', key: key('a') },
        { table: 'notes', key: key('b') },
        { table: 'notes', key: key('nobody') },
        { table: 'nowhere', key: key('b') },
      ]
      expect((await h.store.readTouched(wanted)).map((row) => row.key)).toEqual([key('b')])
    })

    test('`readTouched` and `readDirty` read a row alike', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })])
      await h.app.update('notes', { id: 'a' }, { body: 'new' })
      expect(await readAllDirty(h.store)).toEqual([await touch(h.store, 'notes', key('a'))])
    })

    test('dirty rows survive a restart', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })])
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      const before = await readAllDirty(h.store)
      await h.reopen()
      expect(await readAllDirty(h.store)).toEqual(before)
      await h.crash?.()
      expect(await readAllDirty(h.store)).toEqual(before)
    })

    test('what is written while the store is closed is dirty', async () => {
      await using h = await openFresh(open)
      await h.store[Symbol.asyncDispose]()
      await h.app.insert('notes', { id: 'a', title: '1', body: '' })
      await h.reopen()
      expect(await dirtyKeys(h.store)).toEqual(['notes ["a"]'])
    })

    test('a row in flight stays marked until the answer', async () => {
      await using h = await openFresh(open)
      await h.app.insert('notes', { id: 'a', title: '1', body: '' })
      await send(h.store)
      expect(await isTouched(h.store, 'notes', key('a'))).toBe(true)
    })
  })
}
