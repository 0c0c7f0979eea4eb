import { describe, expect, test } from 'vitest'

import type { Fields } from '../../kernel/values.ts'
import type { WireRecord } from '../../protocol/records.ts'
import type { MergedRow, Store } from '../../engine/store.ts'
import {
  acknowledge,
  dirtyKeys,
  key,
  merge,
  note,
  openFresh,
  pull,
  readAllDirty,
  record,
  rowsOf,
  send,
  touch,
} from './cycle.ts'
import type { OpenStore, StoreHarness } from './harness.ts'

const theirs = record('items', 5, { id: 1, name: 'theirs' })

async function rekeyed(store: Store, met: WireRecord = theirs): Promise<MergedRow> {
  return { read: await touch(store, met.table, met.key), decision: { kind: 'rekey' }, record: met }
}

/** The fresh key of the local row. */
async function freshId(h: StoreHarness): Promise<number> {
  const row = (await rowsOf(h, 'items')).find(({ name }) => name === 'mine')
  return Number(row?.['id'])
}

const withLabel = async (h: StoreHarness, label: string): Promise<Fields | undefined> =>
  (await rowsOf(h, 'parts')).find((row) => row['label'] === label)

/** Two replicas that gave one integer key to different rows. */
export function rekeyContract(open: OpenStore): void {
  describe('re-keying', () => {
    test('I7: the row moves to a fresh key, the record takes its place, the note says where it went', async () => {
      await using h = await openFresh(open)
      await h.app.insert('items', { id: 1, name: 'mine' })
      await h.app.insert('items', { id: 2, name: 'other' })
      const row = await rekeyed(h.store)
      const others = [record('items', 6, { id: 3, name: 'theirs too' })]
      const notes = [note(row.read, { kind: 'rekeyed', chosen: 'both', remote: theirs })]
      expect(await merge(h.store, [row], { records: others, notes })).toMatchObject({
        status: 'done',
        notes: 1,
      })
      const id = await freshId(h)
      expect(await rowsOf(h, 'items')).toContainEqual({ id: 1, name: 'theirs' })
      expect([1, 2, 3]).not.toContain(id)
      expect(await dirtyKeys(h.store)).toEqual(['items [2]', `items ${key(id)}`].sort())
      expect(await touch(h.store, 'items', key(id))).toMatchObject({
        base: 0,
        agreed: 'none',
        at: row.read.at,
      })
      expect(await h.store.listInbox({})).toMatchObject([
        { kind: 'rekeyed', key: key(1), local: { id, name: 'mine' } },
      ])
      await h.app.update('items', { id: 1 }, { name: 'edited' })
      expect(await touch(h.store, 'items', key(1))).toMatchObject({ base: 5, changed: ['name'] })
    })

    test('a fresh key is none of a row that was deleted, here or before it came', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('items', 1, { id: 40, name: 'gone' })])
      await pull(h.store, [
        { table: 'items', key: key(40), version: 2, hlc: 2_000, by: 'replica-b', deleted: true },
      ])
      await pull(h.store, [
        { table: 'items', key: key(41), version: 3, hlc: 3_000, by: 'replica-b', deleted: true },
      ])
      await h.app.insert('items', { id: 1, name: 'mine' })
      await merge(h.store, [await rekeyed(h.store)])
      expect(await freshId(h)).toBeGreaterThan(41)
    })

    test('references that were not sent follow, those of the cloud stay', async () => {
      await using h = await openFresh(open)
      await h.app.insert('items', { id: 1, name: 'mine' })
      await h.app.insert('parts', { id: 10, item: 1, label: 'mine' })
      const records = [record('parts', 6, { id: 20, item: 1, label: 'theirs' })]
      await merge(h.store, [await rekeyed(h.store)], { records })
      const id = await freshId(h)
      expect(await withLabel(h, 'mine')).toMatchObject({ id: 10, item: id })
      expect(await withLabel(h, 'theirs')).toMatchObject({ id: 20, item: 1 })
      expect(await dirtyKeys(h.store)).toEqual([`items ${key(id)}`, 'parts [10]'].sort())
    })

    test('references that the same answer acknowledges follow, as edits', async () => {
      await using h = await openFresh(open)
      await h.app.insert('items', { id: 1, name: 'mine' })
      await h.app.insert('parts', { id: 10, item: 1, label: 'mine' })
      const changes = await send(h.store)
      const row = await rekeyed(h.store)
      await acknowledge(h.store, changes, 7, {
        outcome: (change) => (change.table === 'items' ? { kind: 'left' } : undefined),
        rest: { merged: [row] },
      })
      const id = await freshId(h)
      expect(await withLabel(h, 'mine')).toMatchObject({ id: 10, item: id })
      expect(await touch(h.store, 'parts', key(10))).toMatchObject({
        agreed: 'live',
        changed: ['item'],
        fields: { item: id },
      })
    })

    test('references that an earlier answer acknowledged follow, as edits', async () => {
      await using h = await openFresh(open)
      await h.app.insert('items', { id: 1, name: 'mine' })
      await h.app.insert('parts', { id: 10, item: 1, label: 'mine' })
      const changes = await send(h.store)
      await acknowledge(h.store, changes, 7, {
        outcome: (change) => (change.table === 'items' ? { kind: 'left' } : undefined),
      })
      expect(await dirtyKeys(h.store)).toEqual(['items [1]'])
      await pull(h.store, [record('parts', 8, { id: 20, item: 1, label: 'theirs' })])
      await merge(h.store, [await rekeyed(h.store)])
      const id = await freshId(h)
      expect(await withLabel(h, 'mine')).toMatchObject({ item: id })
      expect(await withLabel(h, 'theirs')).toMatchObject({ item: 1 })
      expect(await readAllDirty(h.store)).toMatchObject([
        { table: 'items' },
        { table: 'parts', changed: ['item'] },
      ])
    })

    test('a record of such a row does not bring the old reference back', async () => {
      await using h = await openFresh(open)
      await h.app.insert('items', { id: 1, name: 'mine' })
      await h.app.insert('parts', { id: 10, item: 1, label: 'mine' })
      const changes = await send(h.store)
      await acknowledge(h.store, changes, 7, {
        outcome: (change) => (change.table === 'items' ? { kind: 'left' } : undefined),
      })
      const edited = record('parts', 9, { id: 10, item: 1, label: 'edited by them' })
      await merge(h.store, [await rekeyed(h.store)], { records: [edited] })
      const id = await freshId(h)
      expect(await withLabel(h, 'edited by them')).toMatchObject({ id: 10, item: id })
      expect(await touch(h.store, 'parts', key(10))).toMatchObject({ base: 9, changed: ['item'] })
    })

    test('a child that is merged in the same publication follows', async () => {
      await using h = await openFresh(open)
      await h.app.insert('items', { id: 1, name: 'mine' })
      await h.app.insert('parts', { id: 10, item: 1, label: 'mine' })
      const parent = await rekeyed(h.store)
      const child = await touch(h.store, 'parts', key(10))
      const met = record('parts', 6, { id: 10, item: 1, label: 'theirs' })
      const kept: MergedRow = {
        read: child,
        decision: { kind: 'keep', fields: { id: 10, item: 1, label: 'mine' } },
        record: met,
      }
      await merge(h.store, [parent, kept])
      const id = await freshId(h)
      expect(await withLabel(h, 'mine')).toMatchObject({ id: 10, item: id })
      expect(await touch(h.store, 'parts', key(10))).toMatchObject({ base: 6, fields: { item: id } })
    })

    test('parent and child that are both re-keyed stay together', async () => {
      await using h = await openFresh(open)
      await h.app.insert('items', { id: 1, name: 'mine' })
      await h.app.insert('parts', { id: 10, item: 1, label: 'mine' })
      const met = record('parts', 6, { id: 10, item: 1, label: 'theirs' })
      await merge(h.store, [await rekeyed(h.store), await rekeyed(h.store, met)])
      const id = await freshId(h)
      const mine = await withLabel(h, 'mine')
      expect(mine).toMatchObject({ item: id })
      expect(mine?.['id']).not.toBe(10)
      expect(await withLabel(h, 'theirs')).toMatchObject({ id: 10, item: 1 })
      expect(await h.store.listInbox({ open: true })).toEqual([])
    })

    test('a child whose key holds the reference moves, and what arrives at its old key meets no row', async () => {
      await using h = await openFresh(open)
      await h.app.insert('items', { id: 1, name: 'mine' })
      await h.app.insert('lines', { item: 1, line: 1, text: 'mine' })
      const lineKey = key(1, 1)
      const met = record('lines', 6, { item: 1, line: 1, text: 'theirs' }, { key: lineKey })
      const read = await touch(h.store, 'lines', lineKey)
      const decision = { kind: 'keep', fields: { item: 1, line: 1, text: 'mine' } } as const
      await merge(h.store, [await rekeyed(h.store), { read, decision, record: met }])
      const id = await freshId(h)
      expect(await rowsOf(h, 'lines')).toEqual(
        expect.arrayContaining([
          { item: 1, line: 1, text: 'theirs' },
          { item: id, line: 1, text: 'mine' },
        ]),
      )
      expect(await dirtyKeys(h.store)).toEqual([`items ${key(id)}`, `lines ${key(id, 1)}`].sort())
    })
  })
}
