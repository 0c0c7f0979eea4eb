import { describe, expect, test } from 'vitest'

import {
  dirtyKeys,
  key,
  openFresh,
  pull,
  push,
  readAllDirty,
  record,
  rowsOf,
  tombstone,
  touch,
} from './cycle.ts'
import type { OpenStore } from './harness.ts'

/** What leaves a mark, and what does not. */
export function captureContract(open: OpenStore): void {
  describe('capture', () => {
    test('I1: every write of the application is dirty', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [
        record('notes', 1, { id: 'b', title: '1', body: '' }),
        record('notes', 2, { id: 'c', title: '1', body: '' }),
      ])
      await h.app.insert('notes', { id: 'a', title: '1', body: '2' })
      await h.app.update('notes', { id: 'b' }, { title: '2' })
      await h.app.remove('notes', { id: 'c' })
      await h.app.insert('items', { id: 7, name: 'n' })
      expect(await dirtyKeys(h.store)).toEqual(['items [7]', 'notes ["a"]', 'notes ["b"]', 'notes ["c"]'])
    })

    test('I1: a transaction leaves its marks whole, one rolled back leaves none', async () => {
      await using h = await openFresh(open)
      await h.app.transaction(async (app) => {
        await app.insert('notes', { id: 'a', title: '1', body: '' })
        await app.insert('items', { id: 1, name: 'n' })
      })
      const stop = new Error('stop')
      const rolledBack = h.app.transaction(async (app) => {
        await app.insert('notes', { id: 'b', title: '1', body: '' })
        await app.update('notes', { id: 'a' }, { title: '2' })
        throw stop
      })
      await expect(rolledBack).rejects.toBe(stop)
      expect(await dirtyKeys(h.store)).toEqual(['items [1]', 'notes ["a"]'])
      expect((await touch(h.store, 'notes', key('a'))).fields).toEqual({ id: 'a', title: '1', body: '' })
    })

    test('I1: rows that were there before the store are dirty', async () => {
      await using h = await openFresh(open, { notes: [{ id: 'a', title: '1', body: '' }] })
      expect(await dirtyKeys(h.store)).toEqual(['notes ["a"]'])
    })

    test('the store itself leaves no marks', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [
        record('notes', 1, { id: 'a', title: '1', body: '' }),
        record('notes', 2, { id: 'b', title: '1', body: '' }),
      ])
      await pull(h.store, [
        record('notes', 3, { id: 'a', title: '2', body: '' }),
        tombstone('notes', key('b'), 4),
      ])
      expect(await rowsOf(h, 'notes')).toEqual([{ id: 'a', title: '2', body: '' }])
      expect((await h.store.counts()).pending['notes'] ?? 0).toBe(0)
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('a mark whose row equals its image goes', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })])
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      await h.app.update('notes', { id: 'a' }, { title: '1' })
      await h.app.insert('notes', { id: 'b', title: '1', body: '' })
      await h.app.remove('notes', { id: 'b' })
      expect((await h.store.counts()).pending['notes']).toBe(2)
      expect(await dirtyKeys(h.store)).toEqual([])
      expect((await h.store.counts()).pending['notes'] ?? 0).toBe(0)
    })

    test('a mark that is met by `readTouched` goes too', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })])
      await h.app.update('notes', { id: 'a' }, { title: '1' })
      expect(await h.store.readTouched([{ table: 'notes', key: key('a') }])).toEqual([])
      expect((await h.store.counts()).pending['notes'] ?? 0).toBe(0)
    })

    test('a changed key is a delete and an insert', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })])
      await h.app.update('notes', { id: 'a' }, { id: 'z' })
      expect(await dirtyKeys(h.store)).toEqual(['notes ["a"]', 'notes ["z"]'])
      expect((await touch(h.store, 'notes', key('a'))).fields).toBeNull()
    })

    test('a change of spelling only is an edit of the same row', async () => {
      await using h = await openFresh(open)
      await h.app.insert('words', { word: 'Sea', meaning: 'water' })
      await push(h.store, 1)
      await h.app.update('words', { word: 'sea' }, { word: 'SEA' })
      const [row, ...others] = await readAllDirty(h.store)
      expect(others).toEqual([])
      expect(row).toMatchObject({ key: '["sea"]', base: 1, agreed: 'live', changed: ['word'] })
      expect(row?.fields?.['word']).toBe('SEA')
    })

    test('a row with a NULL in its key is counted, not captured', async () => {
      await using h = await openFresh(open)
      await h.app.insert('notes', { id: null, title: '1', body: '' })
      expect(await dirtyKeys(h.store)).toEqual([])
      expect((await h.store.counts()).nullKeys).toBe(1)
    })

    test('marks are never stamped below a time that was seen', async () => {
      await using h = await openFresh(open)
      const seen = 8_000_000_000_000_000
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' }, { hlc: seen })])
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      expect((await touch(h.store, 'notes', key('a'))).at).toBeGreaterThanOrEqual(seen)
    })
  })
}
