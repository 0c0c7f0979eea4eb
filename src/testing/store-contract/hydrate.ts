import { describe, expect, test } from 'vitest'

import type { HydrateState } from '../../engine/store.ts'
import {
  cursor,
  dirtyKeys,
  key,
  merge,
  openFresh,
  parkedKeys,
  pull,
  push,
  record,
  rowsOf,
  touch,
} from './cycle.ts'
import type { OpenStore } from './harness.ts'
import { LATER, TABLES } from './tables.ts'

const start = (more: Partial<HydrateState> = {}): HydrateState => ({
  cursor: cursor(10),
  tables: null,
  place: null,
  sweep: false,
  ...more,
})

const place = (id: string) => ({ head: 10, table: 'notes', key: key(id) })
const live = (id: string, version: number, title = '1') => record('notes', version, { id, title, body: '' })

/** Reading whole tables from the cloud, in chunks. */
export function hydrateContract(open: OpenStore): void {
  describe('a hydrate', () => {
    test('I6: goes on from its place after a restart, and covers its tables when it is whole', async () => {
      await using h = await openFresh(open)
      expect(await h.store.state()).toMatchObject({ cursor: null, hydrating: null, covered: [] })
      await h.store.startHydrate(start())
      expect(await h.store.state()).toMatchObject({ hydrating: start(), cursor: null, covered: [] })
      expect(await pull(h.store, [live('a', 1), live('b', 2)], { place: place('b') })).toMatchObject({
        applied: 2,
      })
      await h.reopen()
      expect(await h.store.state()).toMatchObject({
        hydrating: start({ place: place('b') }),
        cursor: null,
        covered: [],
      })
      await pull(h.store, [live('c', 3)], { place: place('c') })
      expect(await h.store.finishHydrate(cursor(10))).toEqual({ deleted: 0 })
      const state = await h.store.state()
      expect(state).toMatchObject({ hydrating: null, cursor: cursor(10) })
      expect([...state.covered].sort()).toEqual(TABLES.map(({ name }) => name).sort())
      expect(await rowsOf(h, 'notes')).toHaveLength(3)
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('I11: its cursor is of the newest generation that it goes on in', async () => {
      await using h = await openFresh(open)
      await h.store.startHydrate(start())
      await pull(h.store, [live('a', 1)], { place: place('a') })
      const generations = [
        { id: 'g1', start: 0 },
        { id: 'g2', start: 12 },
      ]
      await pull(h.store, [], { place: place('a'), generations })
      await pull(h.store, [live('b', 14)], { place: place('b') })
      await h.reopen()
      const { hydrating, ...state } = await h.store.state()
      expect(hydrating?.cursor).toEqual({ ...cursor(10, 14), generation: 'g2' })
      expect(state).toMatchObject({ cursor: null, generations })
    })

    test('I11: knows the highest version that came with it, through a restart', async () => {
      await using h = await openFresh(open)
      await h.store.startHydrate(start({ sweep: true }))
      await pull(h.store, [live('a', 14), live('b', 12)], { place: place('b') })
      await h.app.insert('notes', { id: 'c', title: 'mine', body: '' })
      const read = await touch(h.store, 'notes', key('c'))
      const met = live('c', 17, 'theirs')
      await merge(h.store, [{ read, decision: { kind: 'take' }, record: met }], { place: place('c') })
      await h.reopen()
      expect((await h.store.state()).hydrating?.cursor).toEqual(cursor(10, 17))
      await pull(h.store, [live('d', 3)], { place: place('d') })
      expect((await h.store.state()).hydrating?.cursor).toEqual(cursor(10, 17))
    })

    test('I11: knows the state it was read from, through a restart, and what may have gone unseen', async () => {
      await using h = await openFresh(open)
      await h.store.startHydrate(start())
      await pull(h.store, [live('a', 1)], { place: place('a'), read: 14 })
      await pull(h.store, [live('b', 2)], { place: place('b') })
      await h.reopen()
      expect((await h.store.state()).hydrating?.cursor).toEqual({ ...cursor(10), read: 14 })
      await h.store.finishHydrate(cursor(10))
      const { covered } = await h.store.state()
      expect(covered.length).toBeGreaterThan(0)
      // What was deleted up to 14 is live again in a cloud that went back to 12, and nothing here tells what it was.
      await h.store.rebase(cursor(10, 12), 12, [])
      expect((await h.store.state()).covered).toEqual([])
    })

    test('I11: a cursor tells up to which state rows may have gone unseen', async () => {
      await using h = await openFresh(open)
      await h.store.startHydrate(start())
      await h.store.finishHydrate(cursor(10))
      await pull(h.store, [], { cursor: { ...cursor(12), read: 20 } })
      await h.store.rebase(cursor(12), 20, [])
      expect((await h.store.state()).covered).not.toEqual([])
      await h.store.rebase(cursor(12), 19, [])
      expect((await h.store.state()).covered).toEqual([])
    })

    test('has to be under way', async () => {
      await using h = await openFresh(open)
      await expect(h.store.finishHydrate(null)).rejects.toMatchObject({ code: 'invariant' })
      await expect(pull(h.store, [live('a', 1)], { place: place('a') })).rejects.toMatchObject({
        code: 'invariant',
      })
      expect(await rowsOf(h, 'notes')).toEqual([])
    })

    test('of single tables covers those, and leaves the cursor', async () => {
      await using h = await openFresh(open)
      await h.store.saveCursor(cursor(4), [])
      await h.store.startHydrate(start({ tables: ['notes', 'words'] }))
      await h.store.finishHydrate(null)
      expect(await h.store.state()).toMatchObject({ cursor: cursor(4), covered: ['notes', 'words'] })
    })

    test('a table that appears meanwhile is not covered, one that goes is not either', async () => {
      await using h = await openFresh(open)
      await h.store.startHydrate(start())
      await h.app.addTable(LATER)
      expect((await h.store.schema()).tables.map(({ name }) => name)).toContain('later')
      await h.store.finishHydrate(cursor(10))
      expect((await h.store.state()).covered).not.toContain('later')
      expect((await h.store.state()).covered).toContain('words')
      await h.app.dropTable('words')
      await h.store.schema()
      expect((await h.store.state()).covered).not.toContain('words')
    })

    test('another one takes its place', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [live('a', 1)])
      await h.store.startHydrate(start({ sweep: true }))
      await pull(h.store, [live('a', 1)], { place: place('a') })
      await h.store.startHydrate(start({ sweep: true, cursor: cursor(11) }))
      expect((await h.store.state()).hydrating).toEqual(start({ sweep: true, cursor: cursor(11) }))
      // What came with the first one does not count.
      expect(await h.store.finishHydrate(cursor(11))).toEqual({ deleted: 1 })
    })

    test('I11: the sweep deletes what did not come, and nothing else', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [
        live('known', 1),
        live('newer', 2),
        live('gone', 3),
        live('edited', 4),
        live('later', 11),
      ])
      await pull(h.store, [record('words', 5, { word: 'w', meaning: '' })])
      await h.app.update('notes', { id: 'edited' }, { title: 'mine' })
      await h.app.insert('notes', { id: 'inserted', title: 'mine', body: '' })
      await h.store.startHydrate(start({ sweep: true, tables: ['notes'] }))
      await pull(h.store, [live('known', 1), live('newer', 9, '2')], { place: place('newer') })
      await h.reopen()
      expect(await h.store.finishHydrate(cursor(10))).toEqual({ deleted: 1 })
      expect((await rowsOf(h, 'notes')).map((row) => row['id']).sort()).toEqual([
        'edited',
        'inserted',
        'known',
        'later',
        'newer',
      ])
      expect(await rowsOf(h, 'words')).toHaveLength(1)
      expect(await dirtyKeys(h.store)).toEqual(['notes ["edited"]', 'notes ["inserted"]'])
      expect(await touch(h.store, 'notes', key('edited'))).toMatchObject({ base: 4, agreed: 'live' })
      await h.app.insert('notes', { id: 'gone', title: 'again', body: '' })
      expect(await touch(h.store, 'notes', key('gone'))).toMatchObject({ base: 0, agreed: 'none' })
    })

    test('I11: a merged row counts as come, a held one stays', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [live('merged', 1), live('held', 2)])
      for (const id of ['merged', 'held']) await h.app.update('notes', { id }, { title: 'mine' })
      const held = await touch(h.store, 'notes', key('held'))
      await merge(h.store, [{ read: held, decision: { kind: 'hold' }, record: live('held', 3) }])
      await h.store.startHydrate(start({ sweep: true }))
      const read = await touch(h.store, 'notes', key('merged'))
      const met = live('merged', 5, '5')
      await merge(h.store, [{ read, decision: { kind: 'take' }, record: met }], { place: place('merged') })
      expect(await h.store.finishHydrate(cursor(10))).toEqual({ deleted: 0 })
      expect((await rowsOf(h, 'notes')).map((row) => row['title']).sort()).toEqual(['5', 'mine'])
    })

    test('I4: a known record of an edited row counts as come, though the edit is taken back', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [live('a', 1), live('b', 2)])
      await h.store.startHydrate(start({ sweep: true }))
      await h.app.update('notes', { id: 'a' }, { title: 'mine' })
      expect(await pull(h.store, [live('a', 1)], { place: place('a') })).toMatchObject({ status: 'done' })
      expect(await rowsOf(h, 'notes')).toContainEqual({ id: 'a', title: 'mine', body: '' })
      await h.app.update('notes', { id: 'a' }, { title: '1' })
      expect(await h.store.finishHydrate(cursor(10))).toEqual({ deleted: 1 })
      expect(await rowsOf(h, 'notes')).toEqual([{ id: 'a', title: '1', body: '' }])
    })

    test('I11: parked records that did not come go', async () => {
      await using h = await openFresh(open)
      const bad = (id: string, version: number) =>
        record('seats', version, { id, place: version, label: null })
      await pull(h.store, [bad('a', 1), bad('b', 2), bad('c', 11)])
      await h.store.startHydrate(start({ sweep: true }))
      await pull(h.store, [bad('a', 1)], { place: { head: 10, table: 'seats', key: key('a') } })
      await h.store.finishHydrate(cursor(10))
      expect(await parkedKeys(h.store)).toEqual(['seats ["a"]', 'seats ["c"]'])
    })

    test('references are looked at when it is whole', async () => {
      await using h = await openFresh(open)
      await h.store.startHydrate(start())
      const parts = [
        record('parts', 1, { id: 10, item: 1, label: 'x' }),
        record('parts', 2, { id: 11, item: 2, label: 'x' }),
      ]
      expect(await pull(h.store, parts, { place: { head: 10, table: 'parts', key: key(11) } })).toMatchObject(
        { notes: 0 },
      )
      await pull(h.store, [record('items', 3, { id: 1, name: 'n' })], {
        place: { head: 10, table: 'items', key: key(1) },
      })
      await h.store.finishHydrate(cursor(10))
      expect(await h.store.listInbox({ open: true })).toMatchObject([
        { kind: 'integrity', table: 'parts', key: key(11) },
      ])
    })

    test('own rows pushed since are known to it', async () => {
      await using h = await openFresh(open)
      await h.app.insert('notes', { id: 'mine', title: '1', body: '' })
      await push(h.store, 12)
      await h.store.startHydrate(start({ sweep: true }))
      await h.store.finishHydrate(cursor(10))
      expect(await rowsOf(h, 'notes')).toHaveLength(1)
    })
  })
}
