import { describe, expect, test } from 'vitest'

import {
  dirtyKeys,
  isTouched,
  key,
  merge,
  note,
  openFresh,
  pull,
  readAllDirty,
  record,
  rowsOf,
  tombstone,
  touch,
} from './cycle.ts'
import type { OpenStore, StoreHarness } from './harness.ts'

/** A row agreed at version 1 and edited since. */
async function openEdited(open: OpenStore): Promise<StoreHarness> {
  const h = await openFresh(open)
  await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '1' })])
  await h.app.update('notes', { id: 'a' }, { title: 'mine' })
  return h
}

const theirs = record('notes', 7, { id: 'a', title: 'theirs', body: 'theirs' })

/** What the engine decided for rows that met a record. */
export function mergedContract(open: OpenStore): void {
  describe('merged rows', () => {
    test('take: the row becomes the record', async () => {
      await using h = await openEdited(open)
      const read = await touch(h.store, 'notes', key('a'))
      const result = await merge(h.store, [{ read, decision: { kind: 'take' }, record: theirs }], {
        notes: [note(read)],
      })
      expect(result).toMatchObject({ status: 'done', applied: 1, notes: 1 })
      expect(await rowsOf(h, 'notes')).toEqual([theirs.fields])
      expect(await dirtyKeys(h.store)).toEqual([])
      await h.app.update('notes', { id: 'a' }, { body: 'x' })
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ base: 7, changed: ['body'] })
    })

    test('take of a tombstone, and of nothing at all: the row goes', async () => {
      await using h = await openEdited(open)
      const read = await touch(h.store, 'notes', key('a'))
      await merge(h.store, [{ read, decision: { kind: 'take' }, record: tombstone('notes', key('a'), 7) }])
      expect(await rowsOf(h, 'notes')).toEqual([])
      await h.app.insert('notes', { id: 'a', title: '2', body: '' })
      const again = await touch(h.store, 'notes', key('a'))
      expect(again).toMatchObject({ base: 7, agreed: 'deleted' })
      await merge(h.store, [{ read: again, decision: { kind: 'take' }, record: null }])
      expect(await rowsOf(h, 'notes')).toEqual([])
      expect(await dirtyKeys(h.store)).toEqual([])
      await h.app.insert('notes', { id: 'a', title: '3', body: '' })
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ base: 0, agreed: 'none' })
    })

    test('take of the very record that the row is based on: the edit is given up', async () => {
      await using h = await openEdited(open)
      const read = await touch(h.store, 'notes', key('a'))
      await merge(h.store, [
        { read, decision: { kind: 'take' }, record: record('notes', 1, { id: 'a', title: '1', body: '1' }) },
      ])
      expect(await rowsOf(h, 'notes')).toEqual([{ id: 'a', title: '1', body: '1' }])
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('keep: the row becomes the fields, what differs from the record stays dirty with its time', async () => {
      await using h = await openEdited(open)
      const read = await touch(h.store, 'notes', key('a'))
      const fields = { id: 'a', title: 'mine', body: 'theirs' }
      expect(
        await merge(h.store, [{ read, decision: { kind: 'keep', fields }, record: theirs }]),
      ).toMatchObject({ status: 'done' })
      expect(await rowsOf(h, 'notes')).toEqual([fields])
      expect(await readAllDirty(h.store)).toMatchObject([
        { key: key('a'), base: 7, agreed: 'live', changed: ['title'], at: read.at, fields },
      ])
    })

    test('keep of what the record says: the row is clean', async () => {
      await using h = await openEdited(open)
      const read = await touch(h.store, 'notes', key('a'))
      await merge(h.store, [
        { read, decision: { kind: 'keep', fields: theirs.fields ?? {} }, record: theirs },
      ])
      expect(await rowsOf(h, 'notes')).toEqual([theirs.fields])
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('keep against a tombstone: the row comes back whole', async () => {
      await using h = await openEdited(open)
      const read = await touch(h.store, 'notes', key('a'))
      const fields = { id: 'a', title: 'mine', body: '1' }
      await merge(h.store, [
        { read, decision: { kind: 'keep', fields }, record: tombstone('notes', key('a'), 7) },
      ])
      const [row] = await readAllDirty(h.store)
      expect(row).toMatchObject({ base: 7, agreed: 'deleted', fields, at: read.at })
      expect(row?.changed).toHaveLength(3)
    })

    test('keep against nothing: the row is an insert', async () => {
      await using h = await openEdited(open)
      const read = await touch(h.store, 'notes', key('a'))
      const fields = { id: 'a', title: 'mine', body: '1' }
      await merge(h.store, [{ read, decision: { kind: 'keep', fields }, record: null }])
      expect(await readAllDirty(h.store)).toMatchObject([{ base: 0, agreed: 'none', fields, at: read.at }])
    })

    test('keep brings a row back that was deleted here', async () => {
      await using h = await openEdited(open)
      await h.app.remove('notes', { id: 'a' })
      const read = await touch(h.store, 'notes', key('a'))
      await merge(h.store, [{ read, decision: { kind: 'take' }, record: theirs }])
      expect(await rowsOf(h, 'notes')).toEqual([theirs.fields])
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('hold: row and image stay, the row waits', async () => {
      await using h = await openEdited(open)
      const read = await touch(h.store, 'notes', key('a'))
      const result = await merge(h.store, [{ read, decision: { kind: 'hold' }, record: theirs }], {
        notes: [note(read, { chosen: 'waits', remote: theirs })],
      })
      expect(result).toMatchObject({ status: 'done', notes: 1 })
      expect(await rowsOf(h, 'notes')).toMatchObject([{ title: 'mine', body: '1' }])
      expect(await dirtyKeys(h.store)).toEqual([])
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({
        base: 1,
        changed: ['title'],
        dirty: false,
        held: true,
        at: read.at,
      })
      expect(await h.store.counts()).toMatchObject({ held: 1, openConflicts: 1 })
      await h.reopen()
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ held: true })
    })

    test('I7: no record is applied over a held row', async () => {
      await using h = await openEdited(open)
      const read = await touch(h.store, 'notes', key('a'))
      await merge(h.store, [{ read, decision: { kind: 'hold' }, record: theirs }])
      const newer = record('notes', 8, { id: 'a', title: 'newer', body: '' })
      expect(await pull(h.store, [newer])).toEqual({
        status: 'moved',
        rows: [{ table: 'notes', key: key('a') }],
      })
      const held = await touch(h.store, 'notes', key('a'))
      await merge(h.store, [{ read: held, decision: { kind: 'hold' }, record: newer }])
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ base: 1, held: true })
      await merge(h.store, [{ read: held, decision: { kind: 'take' }, record: newer }])
      expect(await rowsOf(h, 'notes')).toEqual([newer.fields])
      expect(await isTouched(h.store, 'notes', key('a'))).toBe(false)
      expect(await h.store.counts()).toMatchObject({ held: 0 })
    })

    test('a held row that the application changes is dirty again', async () => {
      await using h = await openEdited(open)
      const read = await touch(h.store, 'notes', key('a'))
      await merge(h.store, [{ read, decision: { kind: 'hold' }, record: theirs }])
      await h.app.update('notes', { id: 'a' }, { body: 'mine too' })
      expect(await readAllDirty(h.store)).toMatchObject([
        { key: key('a'), base: 1, dirty: true, held: false },
      ])
    })

    test('I4: a held row that goes back to its image is still sent, for it met what it does not know', async () => {
      await using h = await openEdited(open)
      const read = await touch(h.store, 'notes', key('a'))
      await merge(h.store, [{ read, decision: { kind: 'hold' }, record: theirs }])
      await h.app.update('notes', { id: 'a' }, { title: '1' })
      expect(await readAllDirty(h.store)).toMatchObject([
        { key: key('a'), base: 1, changed: [], dirty: true, held: false },
      ])
      expect(await pull(h.store, [record('notes', 8, { id: 'a', title: 'newer', body: '' })])).toMatchObject({
        status: 'moved',
      })
      const again = await touch(h.store, 'notes', key('a'))
      await merge(h.store, [{ read: again, decision: { kind: 'take' }, record: theirs }])
      expect(await rowsOf(h, 'notes')).toEqual([theirs.fields])
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('I4: so is an insert that was held and is deleted', async () => {
      await using h = await openFresh(open)
      await h.app.insert('notes', { id: 'a', title: 'mine', body: '' })
      const read = await touch(h.store, 'notes', key('a'))
      await merge(h.store, [{ read, decision: { kind: 'hold' }, record: theirs }])
      await h.app.remove('notes', { id: 'a' })
      expect(await readAllDirty(h.store)).toMatchObject([
        { key: key('a'), base: 0, fields: null, dirty: true },
      ])
    })

    test('I7: a row that is no longer as it was read is not merged', async () => {
      await using h = await openEdited(open)
      const read = await touch(h.store, 'notes', key('a'))
      await h.app.update('notes', { id: 'a' }, { body: 'moved' })
      const other = record('notes', 8, { id: 'b', title: '', body: '' })
      const result = await merge(h.store, [{ read, decision: { kind: 'take' }, record: theirs }], {
        records: [other],
      })
      expect(result).toEqual({ status: 'moved', rows: [{ table: 'notes', key: key('a') }] })
      expect(await rowsOf(h, 'notes')).toEqual([{ id: 'a', title: 'mine', body: 'moved' }])
      const again = await touch(h.store, 'notes', key('a'))
      await merge(h.store, [{ read: again, decision: { kind: 'take' }, record: theirs }])
      expect(
        await merge(h.store, [{ read: again, decision: { kind: 'take' }, record: theirs }]),
      ).toMatchObject({ status: 'moved' })
    })
  })
}
