import { describe, expect, test } from 'vitest'

import { dirtyKeys, openFresh, pull, readAllDirty, record, rowsOf, SPACE, REPLICA } from './cycle.ts'
import type { OpenStore } from './harness.ts'
import { LATER, TABLES } from './tables.ts'

/** What the store says of the file, and of itself. */
export function schemaContract(open: OpenStore): void {
  describe('the schema', () => {
    test('lists the tables with their keys, and what makes them special', async () => {
      await using h = await openFresh(open)
      const { tables, refused } = await h.store.schema()
      expect(tables.map(({ name }) => name).sort()).toEqual(TABLES.map(({ name }) => name).sort())
      expect(refused).toEqual([])
      const byName = new Map(tables.map((table) => [table.name, table]))
      expect(byName.get('lines')?.key).toEqual(['item', 'line'])
      expect(byName.get('items')?.rowidAlias).toBe(true)
      expect(byName.get('notes')?.rowidAlias).toBeUndefined()
      expect(byName.get('notes')?.columns.map(({ name }) => name)).toEqual(['id', 'title', 'body'])
      expect(byName.get('words')?.columns[0]?.collation?.toUpperCase()).toBe('NOCASE')
      expect(byName.get('seats')?.unique).toMatchObject([{ terms: [{ column: 'place' }] }])
      expect(byName.get('parts')?.foreignKeys).toMatchObject([{ columns: ['item'], table: 'items' }])
    })

    test('its fingerprint changes when a table does, and only then', async () => {
      await using h = await openFresh(open)
      const { fingerprint } = await h.store.schema()
      await h.app.insert('notes', { id: 'a', title: '1', body: '' })
      expect((await h.store.schema()).fingerprint).toBe(fingerprint)
      await h.reopen()
      expect((await h.store.schema()).fingerprint).toBe(fingerprint)
      await h.app.addColumn('notes', { name: 'more', type: 'TEXT' })
      const more = await h.store.schema()
      expect(more.fingerprint).not.toBe(fingerprint)
      await h.store.savePublishedSchema(more.fingerprint)
      expect((await h.store.state()).publishedSchema).toBe(more.fingerprint)
      await h.reopen()
      expect((await h.store.state()).publishedSchema).toBe(more.fingerprint)
    })

    test('I1: a table that appears is synced, with the rows that it has', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('later', 1, { id: 'x', text: 'too early' })])
      await h.app.addTable(LATER)
      await h.app.insert('later', { id: 'a', text: '1' })
      expect((await h.store.schema()).tables.map(({ name }) => name)).toContain('later')
      await h.app.insert('later', { id: 'b', text: '1' })
      expect(await dirtyKeys(h.store)).toEqual(['later ["a"]', 'later ["b"]'])
      expect(await pull(h.store, [record('later', 2, { id: 'c', text: '1' })])).toMatchObject({ applied: 1 })
    })

    test('a table that is dropped leaves no tombstones', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })])
      await h.app.dropTable('notes')
      expect((await h.store.schema()).tables.map(({ name }) => name)).not.toContain('notes')
      expect(await readAllDirty(h.store)).toEqual([])
      expect(await pull(h.store, [record('notes', 2, { id: 'a', title: '1', body: '' })])).toMatchObject({
        applied: 0,
        parked: 0,
      })
    })

    test('a fresh file has an identity and nothing else', async () => {
      await using h = await openFresh(open)
      expect(await h.store.state()).toEqual({
        replica: REPLICA,
        space: SPACE,
        mutation: 0,
        inFlight: null,
        cursor: null,
        generations: [],
        asides: [],
        hydrating: null,
        covered: [],
        publishedSchema: null,
        overwriting: null,
      })
      expect(await h.store.counts()).toMatchObject({
        parked: 0,
        quarantined: 0,
        held: 0,
        openConflicts: 0,
        nullKeys: 0,
      })
    })

    test('a closed store says so', async () => {
      await using h = await openFresh(open)
      const { store } = h
      await h.reopen()
      await expect(store.state()).rejects.toMatchObject({ code: 'aborted' })
      expect(await rowsOf(h, 'notes')).toEqual([])
    })
  })
}
