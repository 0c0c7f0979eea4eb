import { describe, expect, test } from 'vitest'

import {
  acknowledge,
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
  rowsOf,
  seat,
  send,
  tombstone,
  touch,
} from './cycle.ts'
import type { OpenStore, StoreHarness } from './harness.ts'

const places = async (h: StoreHarness): Promise<{ readonly [id: string]: unknown }> =>
  Object.fromEntries((await rowsOf(h, 'seats')).map((row) => [String(row['id']), row['place']]))

/** Rows that want the same unique value. */
export function uniqueContract(open: OpenStore): void {
  describe('unique values', () => {
    test('a record blocked by a dirty row is parked until the cloud decides', async () => {
      await using h = await openFresh(open)
      await h.app.insert('seats', { id: 'mine', place: 1, label: 'x' })
      expect(await pull(h.store, [seat('theirs', 1, 5), seat('free', 2, 6)])).toMatchObject({
        status: 'done',
        applied: 1,
        parked: 1,
      })
      expect(await places(h)).toEqual({ mine: 1, free: 2 })
      const [parked, ...others] = await h.store.listParked(10)
      expect(others).toEqual([])
      expect(parked).toMatchObject({ table: 'seats', key: key('theirs'), record: seat('theirs', 1, 5) })
      expect(parked?.reason).toMatch(/unique/i)
      expect(await h.store.counts()).toMatchObject({ parked: 1 })
      expect(await dirtyKeys(h.store)).toEqual(['seats ["mine"]'])
      await h.reopen()
      expect(await parkedKeys(h.store)).toEqual(['seats ["theirs"]'])
      // The cloud says that the other was first: the local row goes to the inbox and makes room.
      const changes = await send(h.store)
      const read = await touch(h.store, 'seats', key('mine'))
      const rest = {
        merged: [{ read, decision: { kind: 'take' }, record: null } as const],
        notes: [note(read, { kind: 'unique' })],
      }
      await acknowledge(h.store, changes, 0, { outcome: () => ({ kind: 'left' }), rest })
      expect(await places(h)).toEqual({ theirs: 1, free: 2 })
      expect(await h.store.counts()).toMatchObject({ parked: 0, openConflicts: 1 })
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('a blocker that lets go makes room with the next publication', async () => {
      await using h = await openFresh(open)
      await h.app.insert('seats', { id: 'mine', place: 1, label: 'x' })
      await pull(h.store, [seat('theirs', 1, 5)])
      await h.app.update('seats', { id: 'mine' }, { place: 3 })
      await pull(h.store, [])
      expect(await places(h)).toEqual({ mine: 3, theirs: 1 })
      expect(await parkedKeys(h.store)).toEqual([])
      expect(await dirtyKeys(h.store)).toEqual(['seats ["mine"]'])
    })

    test.each([
      ['smaller first', 'a', 'b'],
      ['larger first', 'b', 'a'],
    ])('I2: of two agreed rows the smaller key stands, %s', async (_, first, second) => {
      await using h = await openFresh(open)
      await pull(h.store, [seat(first, 1, 5)])
      await pull(h.store, [seat(second, 1, 6)])
      expect(await places(h)).toEqual({ a: 1 })
      expect(await parkedKeys(h.store)).toEqual(['seats ["b"]'])
      expect((await h.store.listParked(1))[0]?.record).toMatchObject({
        fields: { id: 'b', place: 1, label: 'x' },
      })
      expect(await dirtyKeys(h.store)).toEqual([])
      await pull(h.store, [seat('a', 2, 7)])
      expect(await places(h)).toEqual({ a: 2, b: 1 })
      expect(await parkedKeys(h.store)).toEqual([])
      await h.app.update('seats', { id: 'b' }, { label: 'y' })
      expect(await touch(h.store, 'seats', key('b'))).toMatchObject({
        base: first === 'b' ? 5 : 6,
        changed: ['label'],
      })
    })

    test('I2: two agreed rows in one publication, too', async () => {
      await using h = await openFresh(open)
      expect(await pull(h.store, [seat('b', 1, 5), seat('a', 1, 6)])).toMatchObject({ applied: 1, parked: 1 })
      expect(await places(h)).toEqual({ a: 1 })
      expect(await parkedKeys(h.store)).toEqual(['seats ["b"]'])
    })

    test('an acknowledged row gives way to a smaller key like any agreed one', async () => {
      await using h = await openFresh(open)
      await h.app.insert('seats', { id: 'm', place: 1, label: 'x' })
      await push(h.store, 4)
      await pull(h.store, [seat('a', 1, 5)])
      expect(await places(h)).toEqual({ a: 1 })
      expect(await h.store.listParked(1)).toMatchObject([
        { key: key('m'), record: { version: 4, fields: { id: 'm', place: 1 } } },
      ])
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('swapped values, a ring of values, and a value freed by a delete', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [
        seat('a', 1, 1),
        seat('b', 2, 2),
        seat('c', 3, 3),
        seat('d', 4, 4),
        seat('e', 5, 5),
      ])
      expect(await pull(h.store, [seat('a', 2, 6), seat('b', 1, 7)])).toMatchObject({ applied: 2, parked: 0 })
      expect(await places(h)).toEqual({ a: 2, b: 1, c: 3, d: 4, e: 5 })
      await pull(h.store, [seat('a', 1, 8), seat('b', 3, 9), seat('c', 2, 10)])
      expect(await places(h)).toEqual({ a: 1, b: 3, c: 2, d: 4, e: 5 })
      await pull(h.store, [seat('d', 5, 11), tombstone('seats', key('e'), 12)])
      expect(await places(h)).toEqual({ a: 1, b: 3, c: 2, d: 5 })
      expect(await parkedKeys(h.store)).toEqual([])
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('a swap with a row that has local changes', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('a', 1, 1), seat('b', 2, 2)])
      await h.app.update('seats', { id: 'b' }, { label: 'mine' })
      const read = await touch(h.store, 'seats', key('b'))
      const decision = { kind: 'keep', fields: { id: 'b', place: 1, label: 'mine' } } as const
      await merge(h.store, [{ read, decision, record: seat('b', 1, 4) }], { records: [seat('a', 2, 3)] })
      expect(await places(h)).toEqual({ a: 2, b: 1 })
      expect(await readAllDirty(h.store)).toMatchObject([{ key: key('b'), base: 4, changed: ['label'] }])
    })

    test('a chain of parked rows is freed at once', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('b', 1, 1), seat('c', 2, 2), seat('d', 3, 3)])
      await h.app.update('seats', { id: 'd' }, { place: 4 })
      await h.app.insert('seats', { id: 'x', place: 3, label: 'mine' })
      await push(h.store, 10)
      await h.app.update('seats', { id: 'x' }, { label: 'again' })
      // c wants the place of the dirty x, b wants the place that c then leaves.
      await pull(h.store, [seat('c', 3, 20), seat('b', 2, 21)])
      expect((await places(h))['x']).toBe(3)
      await h.app.update('seats', { id: 'x' }, { place: 9 })
      await push(h.store, 30)
      expect(await places(h)).toEqual({ b: 2, c: 3, d: 4, x: 9 })
      expect(await parkedKeys(h.store)).toEqual([])
    })

    test('I1: a parked record is not tried where its own key is dirty', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('k', 1, 1), seat('other', 2, 2)])
      await h.app.update('seats', { id: 'other' }, { place: 3 })
      await pull(h.store, [seat('k', 3, 5)])
      expect(await parkedKeys(h.store)).toEqual(['seats ["k"]'])
      await h.app.update('seats', { id: 'k' }, { label: 'mine' })
      await h.app.update('seats', { id: 'other' }, { place: 4 })
      await pull(h.store, [])
      expect(await parkedKeys(h.store)).toEqual(['seats ["k"]'])
      expect(await touch(h.store, 'seats', key('k'))).toMatchObject({
        base: 1,
        changed: ['label'],
        fields: { place: 1, label: 'mine' },
      })
    })

    test('I8: two kept rows that cannot both be as decided do not block each other', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('a', 1, 1), seat('b', 2, 2)])
      await h.app.update('seats', { id: 'a' }, { place: 3 })
      await h.app.update('seats', { id: 'b' }, { place: 4 })
      const [a, b] = [await touch(h.store, 'seats', key('a')), await touch(h.store, 'seats', key('b'))]
      // The cloud has the values swapped round, and the local value of b is to stand in the place that a is to take.
      await merge(h.store, [
        {
          read: a,
          decision: { kind: 'keep', fields: { id: 'a', place: 4, label: 'x' } },
          record: seat('a', 4, 5),
        },
        {
          read: b,
          decision: { kind: 'keep', fields: { id: 'b', place: 4, label: 'y' } },
          record: seat('b', 3, 6, 'y'),
        },
      ])
      expect(await places(h)).toEqual({ a: 3, b: 4 })
      expect(await parkedKeys(h.store)).toEqual(['seats ["a"]'])
      expect(await touch(h.store, 'seats', key('b'))).toMatchObject({ base: 6, changed: ['place'] })
      expect(await touch(h.store, 'seats', key('a'))).toMatchObject({ base: 1, dirty: true })
    })

    test('I2: an offered row that is kept and cannot stand is offered on, whole', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('k', 1, 8)])
      await h.store.rebase(cursor(5), 5, [])
      await h.app.insert('seats', { id: 'z', place: 2, label: 'mine' })
      const read = await touch(h.store, 'seats', key('k'))
      expect(read).toMatchObject({ was: 8 })
      const decision = { kind: 'keep', fields: { id: 'k', place: 2, label: 'x' } } as const
      await merge(h.store, [{ read, decision, record: seat('k', 2, 4, 'older') }])
      expect(await places(h)).toEqual({ k: 1, z: 2 })
      expect(await parkedKeys(h.store)).toEqual(['seats ["k"]'])
      // Its image is of the lost history: a part of the row, pushed over it, would claim the rest for agreed.
      expect(await touch(h.store, 'seats', key('k'))).toMatchObject({ was: 8, base: 5, at: read.at })
      await h.app.update('seats', { id: 'k' }, { label: 'y' })
      const { changed, was } = await touch(h.store, 'seats', key('k'))
      expect({ changed: [...changed].sort(), was }).toEqual({ changed: ['id', 'label', 'place'], was: 8 })
      const changes = await send(h.store)
      await acknowledge(h.store, changes, 9)
      expect(await dirtyKeys(h.store)).toEqual([])
      expect(await parkedKeys(h.store)).toEqual([])
    })

    test('I2: a kept row and a smaller key that want one value are both here', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('z', 1, 1)])
      await h.app.update('seats', { id: 'z' }, { place: 2 })
      const read = await touch(h.store, 'seats', key('z'))
      const decision = { kind: 'keep', fields: { id: 'z', place: 1, label: 'x' } } as const
      await merge(h.store, [{ read, decision, record: seat('z', 1, 5) }], { records: [seat('a', 1, 6)] })
      const standing = (await rowsOf(h, 'seats')).map((row) => key(row['id'] ?? null))
      const parked = (await h.store.listParked(10)).map((row) => row.key)
      expect([...standing, ...parked].sort()).toEqual([key('a'), key('z')])
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('a row that is kept with a value nobody can give it stays as it was', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('k', 1, 1)])
      await h.app.update('seats', { id: 'k' }, { label: 'mine' })
      await h.app.insert('seats', { id: 'z', place: 2, label: 'mine' })
      const read = await touch(h.store, 'seats', key('k'))
      const decision = { kind: 'keep', fields: { id: 'k', place: 2, label: 'mine' } } as const
      expect(await merge(h.store, [{ read, decision, record: seat('k', 2, 5) }])).toMatchObject({
        status: 'done',
        parked: 1,
      })
      expect(await places(h)).toEqual({ k: 1, z: 2 })
      expect(await touch(h.store, 'seats', key('k'))).toMatchObject({
        base: 1,
        dirty: true,
        changed: ['label'],
        at: read.at,
      })
    })
  })
}
