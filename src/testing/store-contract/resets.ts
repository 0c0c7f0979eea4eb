import { describe, expect, test } from 'vitest'

import type { LocalRow } from '../../engine/store.ts'
import {
  acknowledge,
  cursor,
  dirtyKeys,
  isTouched,
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
  send,
  tombstone,
  touch,
} from './cycle.ts'
import type { OpenStore } from './harness.ts'

const live = (id: string, version: number, title = '1') => record('notes', version, { id, title, body: '' })
const generations = [
  { id: 'g1', start: 0 },
  { id: 'g9', start: 5 },
]
const common = cursor(5)

/** A cloud that lost history, and a replica that takes another identity. */
export function resetsContract(open: OpenStore): void {
  describe('an overwrite', () => {
    const openCovered = async () => {
      const h = await openFresh(open)
      await h.store.startHydrate({ cursor: cursor(4), tables: ['notes'], place: null, sweep: false })
      await h.store.finishHydrate(cursor(4))
      return h
    }

    test('is wished until a publication fulfils it, through a restart, for the tables covered then', async () => {
      await using h = await openCovered()
      expect((await h.store.state()).overwriting).toBe(null)
      await h.store.startOverwrite()
      await h.reopen()
      expect((await h.store.state()).overwriting).toEqual(['notes'])
      await h.store.startHydrate({ cursor: cursor(4), tables: ['words'], place: null, sweep: false })
      await h.store.finishHydrate(null)
      await pull(h.store, [live('a', 6)], { imagesOnly: true })
      expect((await h.store.state()).overwriting).toEqual(['notes'])
      await pull(h.store, [], { cursor: cursor(6), overwritten: true })
      await h.reopen()
      expect((await h.store.state()).overwriting).toBe(null)
    })

    test('makes what a sweep misses an edit, and deletes nothing', async () => {
      await using h = await openCovered()
      await pull(h.store, [live('came', 1), live('forgotten', 2), live('edited', 3)])
      await h.app.update('notes', { id: 'edited' }, { title: 'mine' })
      const before = await rowsOf(h, 'notes')
      await h.store.startOverwrite()
      await h.store.startHydrate({ cursor: cursor(20), tables: null, place: null, sweep: true })
      const place = { head: 20, table: 'notes', key: key('came') }
      await pull(h.store, [live('came', 15, 'theirs')], { imagesOnly: true, place })
      await h.reopen()
      expect(await h.store.finishHydrate(cursor(20))).toEqual({ deleted: 0 })
      expect(await rowsOf(h, 'notes')).toEqual(before)
      const dirty = new Map((await readAllDirty(h.store)).map((row) => [row.key, row]))
      expect([...dirty.keys()].sort()).toEqual([key('came'), key('edited'), key('forgotten')])
      expect(dirty.get(key('came'))).toMatchObject({ base: 15, agreed: 'live', changed: ['title'] })
      expect(dirty.get(key('forgotten'))).toMatchObject({ base: 0, agreed: 'none', fields: { title: '1' } })
    })

    test('takes no rows of tables that were not whole', async () => {
      await using h = await openCovered()
      await h.store.startOverwrite()
      await h.store.startHydrate({ cursor: cursor(20), tables: null, place: null, sweep: true })
      await pull(h.store, [record('words', 5, { word: 'w', meaning: 'x' })], {
        place: { head: 20, table: 'words', key: key('w') },
      })
      await h.store.startHydrate({ cursor: cursor(21), tables: null, place: null, sweep: true })
      expect(await h.store.finishHydrate(cursor(21))).toEqual({ deleted: 1 })
    })
  })

  describe('a rebase', () => {
    test('I11: rows and tombstones above the common version are offered, the others are not', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [live('old', 4), live('new', 6), live('gone', 2), live('oldgone', 1)])
      await pull(h.store, [tombstone('notes', key('gone'), 7), tombstone('notes', key('oldgone'), 5)])
      const before = await rowsOf(h, 'notes')
      expect(await h.store.rebase(common, 5, generations)).toEqual({ offered: 2 })
      expect(await h.store.state()).toMatchObject({ cursor: common, generations })
      expect(await rowsOf(h, 'notes')).toEqual(before)
      await h.reopen()
      const rows = new Map((await readAllDirty(h.store)).map((row): [string, LocalRow] => [row.key, row]))
      expect([...rows.keys()].sort()).toEqual([key('gone'), key('new')])
      expect(rows.get(key('new'))).toMatchObject({
        base: 5,
        agreed: 'live',
        was: 6,
        dirty: true,
        fields: { title: '1' },
      })
      expect([...(rows.get(key('new'))?.changed ?? [])].sort()).toEqual(['body', 'id', 'title'])
      expect(rows.get(key('gone'))).toMatchObject({
        base: 5,
        agreed: 'deleted',
        was: 7,
        fields: null,
        changed: [],
      })
    })

    test('a lost value is older than any edit made since', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [live('new', 6), live('edited', 7)])
      await h.app.update('notes', { id: 'edited' }, { title: 'mine' })
      const edited = await touch(h.store, 'notes', key('edited'))
      await h.store.rebase(common, 5, generations)
      const offered = await touch(h.store, 'notes', key('new'))
      expect(offered.at).toBeGreaterThan(0)
      expect(offered.at).toBeLessThanOrEqual(6_000)
      expect(await touch(h.store, 'notes', key('edited'))).toMatchObject({ was: 7, base: 5, at: edited.at })
    })

    test('an offer that is taken, or met, is over', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [live('a', 6), live('b', 7), live('c', 8)])
      await h.store.rebase(common, 5, generations)
      const changes = await send(h.store)
      expect(changes.map(({ was, base }) => ({ was, base }))).toEqual(
        expect.arrayContaining([{ was: 6, base: 5 }]),
      )
      await acknowledge(h.store, changes, 20, {
        outcome: ({ key: rowKey }) => (rowKey === key('a') ? undefined : { kind: 'left' }),
      })
      expect(await dirtyKeys(h.store)).toEqual(['notes ["b"]', 'notes ["c"]'])
      // A record never covers an offer.
      expect(await pull(h.store, [live('b', 6, 'theirs')])).toMatchObject({ status: 'moved' })
      const b = await touch(h.store, 'notes', key('b'))
      const c = await touch(h.store, 'notes', key('c'))
      const theirs = live('c', 6, 'theirs')
      await merge(h.store, [
        { read: b, decision: { kind: 'take' }, record: live('b', 6, 'theirs') },
        { read: c, decision: { kind: 'keep', fields: c.fields ?? {} }, record: theirs },
      ])
      expect(await readAllDirty(h.store)).toMatchObject([
        { key: key('c'), base: 6, was: null, changed: ['title'] },
      ])
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      const a = (await readAllDirty(h.store)).find((row) => row.key === key('a'))
      expect(a).toMatchObject({ was: null, changed: ['title'] })
      expect(a?.base).toBeGreaterThanOrEqual(20)
    })

    test('I4: an offered delete that gave way to a parked record is no knowledge of it', async () => {
      await using h = await openFresh(open)
      const seat = record('seats', 3, { id: 'p', place: 1, label: 'theirs' })
      await pull(h.store, [seat, tombstone('seats', key('p'), 8)])
      await h.app.insert('seats', { id: 'q', place: 1, label: 'mine' })
      await h.store.rebase(common, 5, generations)
      const read = await touch(h.store, 'seats', key('p'))
      expect(read).toMatchObject({ was: 8, base: 5, fields: null })
      // The record of the restored cloud, below the common version; the unsent row has its place.
      await merge(h.store, [{ read, decision: { kind: 'take' }, record: seat }])
      expect(await parkedKeys(h.store)).toEqual(['seats ["p"]'])
      const sweep = { cursor: cursor(5), tables: null, place: null, sweep: true }
      await h.store.startHydrate(sweep)
      await h.store.finishHydrate(cursor(5))
      expect(await parkedKeys(h.store)).toEqual([])
      // Another cloud again, which has the row as it was.
      await h.app.remove('seats', { id: 'q' })
      await pull(h.store, [seat])
      expect(await rowsOf(h, 'seats')).toEqual([{ id: 'p', place: 1, label: 'theirs' }])
    })

    test('an offer that is rebased again keeps its first version', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [live('a', 6)])
      await h.store.rebase(common, 5, generations)
      await h.store.rebase(cursor(2), 2, generations)
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ base: 2, was: 6 })
    })

    test('I2: a parked record is offered, and stays parked', async () => {
      await using h = await openFresh(open)
      const bad = record('seats', 8, { id: 'p', place: 1, label: null })
      await pull(h.store, [bad])
      expect(await h.store.rebase(common, 5, generations)).toEqual({ offered: 1 })
      const [row] = await readAllDirty(h.store)
      expect(row).toMatchObject({ table: 'seats', key: key('p'), base: 5, was: 8, fields: bad.fields })
      const changes = await send(h.store)
      await acknowledge(h.store, changes, 30)
      expect(await dirtyKeys(h.store)).toEqual([])
      expect(await h.store.listParked(10)).toMatchObject([
        { key: key('p'), record: { version: 30, fields: bad.fields } },
      ])
      expect(await rowsOf(h, 'seats')).toEqual([])
    })

    test('I11: the versions of a lost history do not hide those of the new one', async () => {
      await using h = await openFresh(open)
      await h.app.insert('seats', { id: 'mine', place: 1, label: 'x' })
      await pull(h.store, [record('seats', 8, { id: 'p', place: 1, label: 'theirs' })])
      await h.app.update('seats', { id: 'mine' }, { place: 2 })
      await h.store.rebase(common, 5, generations)
      const read = (await readAllDirty(h.store)).find((row) => row.key === key('p'))
      if (read === undefined) throw new Error('the parked record is not offered')
      const newer = record('seats', 6, { id: 'p', place: 1, label: 'new history' })
      await merge(h.store, [{ read, decision: { kind: 'take' }, record: newer }])
      expect(await rowsOf(h, 'seats')).toContainEqual(newer.fields)
      expect(await parkedKeys(h.store)).toEqual([])
    })

    test('I4: deletions above the common version that left no tombstone uncover the tables', async () => {
      await using h = await openFresh(open)
      await h.store.startHydrate({ cursor: cursor(3), tables: null, place: null, sweep: false })
      await h.store.finishHydrate(cursor(3))
      await pull(h.store, [live('a', 4)])
      await pull(h.store, [tombstone('notes', key('a'), 8)], { cursor: cursor(8) })
      await h.store.rebase(common, 5, generations)
      expect((await h.store.state()).covered).not.toEqual([])
      await pull(h.store, [tombstone('notes', key('a'), 9)])
      await push(h.store, 10)
      await pull(h.store, [], { floor: 10 })
      await h.store.rebase(common, 5, generations)
      expect((await h.store.state()).covered).toEqual([])
    })

    test('I4: so do deletions that a hydrate was too late to see', async () => {
      await using h = await openFresh(open)
      await h.store.startHydrate({ cursor: cursor(6), tables: null, place: null, sweep: false })
      await h.store.finishHydrate(cursor(6))
      await h.store.rebase(cursor(6), 6, generations)
      expect((await h.store.state()).covered).not.toEqual([])
      await h.store.rebase(common, 5, generations)
      expect((await h.store.state()).covered).toEqual([])
    })

    test('a held row is dirty again: what it met may be lost', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [live('a', 3)])
      await h.app.update('notes', { id: 'a' }, { title: 'mine' })
      const read = await touch(h.store, 'notes', key('a'))
      const met = live('a', 9, 'theirs')
      const notes = [note(read, { chosen: 'waits', remote: met })]
      await merge(h.store, [{ read, decision: { kind: 'hold' }, record: met }], { notes })
      await h.store.rebase(common, 5, generations)
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({
        dirty: true,
        held: false,
        base: 3,
        was: null,
        at: read.at,
      })
      // The record of the lost history is no longer something to agree on.
      const [entry] = await h.store.listInbox({})
      await h.store.settleInbox(entry?.id ?? '', { status: 'resolved', choice: 'local', agree: met })
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ base: 3 })
    })
  })

  describe('another identity', () => {
    test('I13: numbers start anew, the mutation in flight is dropped, its rows stay dirty', async () => {
      await using h = await openFresh(open)
      await h.app.insert('notes', { id: 'a', title: '1', body: '' })
      await push(h.store, 4)
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      await send(h.store)
      await h.store.adopt('replica-new')
      expect(await h.store.state()).toMatchObject({ replica: 'replica-new', mutation: 0, inFlight: null })
      expect(await readAllDirty(h.store)).toMatchObject([{ key: key('a'), base: 4, changed: ['title'] }])
      await h.reopen()
      expect(await h.store.state()).toMatchObject({ replica: 'replica-new', mutation: 0 })
      const changes = await send(h.store)
      expect((await h.store.state()).inFlight?.number).toBe(1)
      await acknowledge(h.store, changes, 9)
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('I1: what was changed back while the dropped mutation was in flight stays dirty', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [live('edited', 1), live('deleted', 2)])
      await h.app.update('notes', { id: 'edited' }, { title: '2', body: '2' })
      await h.app.remove('notes', { id: 'deleted' })
      await h.app.insert('notes', { id: 'inserted', title: '1', body: '' })
      await send(h.store)
      await h.app.update('notes', { id: 'edited' }, { title: '1' })
      await h.app.insert('notes', { id: 'deleted', title: '1', body: '' })
      await h.app.remove('notes', { id: 'inserted' })
      await h.store.adopt('replica-new')
      expect(await dirtyKeys(h.store)).toEqual([
        'notes ["deleted"]',
        'notes ["edited"]',
        'notes ["inserted"]',
      ])
      expect([...(await touch(h.store, 'notes', key('edited'))).changed].sort()).toEqual(['body', 'title'])
      expect(await touch(h.store, 'notes', key('inserted'))).toMatchObject({ fields: null })
      // Records of the dropped push meet dirty rows.
      expect(await pull(h.store, [live('inserted', 7)])).toMatchObject({ status: 'moved' })
      expect(await pull(h.store, [tombstone('notes', key('deleted'), 8)])).toMatchObject({ status: 'moved' })
    })

    test('a row that was never sent is not touched by it', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [live('a', 1)])
      await h.store.adopt('replica-new')
      expect(await isTouched(h.store, 'notes', key('a'))).toBe(false)
    })
  })
}
