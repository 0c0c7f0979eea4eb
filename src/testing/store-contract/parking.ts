import { describe, expect, test } from 'vitest'

import {
  acknowledge,
  dirtyKeys,
  key,
  merge,
  openFresh,
  parkedKeys,
  pull,
  record,
  rowsOf,
  seat,
  send,
  tombstone,
  touch,
} from './cycle.ts'
import type { OpenStore } from './harness.ts'

/** Records that the table refuses by itself: here, NULL in a column that takes none. */
export function parkingContract(open: OpenStore): void {
  describe('parking', () => {
    test('I9: what the table refuses is parked and stops nothing', async () => {
      await using h = await openFresh(open)
      const bad = record('seats', 5, { id: 'bad', place: 1, label: null })
      expect(await pull(h.store, [bad, seat('good', 2, 6)])).toMatchObject({
        status: 'done',
        applied: 1,
        parked: 1,
      })
      expect(await rowsOf(h, 'seats')).toMatchObject([{ id: 'good' }])
      const [parked] = await h.store.listParked(10)
      expect(parked).toMatchObject({ table: 'seats', key: key('bad'), record: bad })
      expect(parked?.reason).toMatch(/not null/i)
      expect(await dirtyKeys(h.store)).toEqual([])
      expect(await h.store.listParked(0)).toEqual([])
    })

    test('a newer record takes its place, or the place in the table', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('seats', 5, { id: 'bad', place: 1, label: null })])
      await pull(h.store, [record('seats', 6, { id: 'bad', place: 2, label: null })])
      expect(await h.store.listParked(10)).toMatchObject([{ record: { version: 6, fields: { place: 2 } } }])
      expect(await pull(h.store, [seat('bad', 3, 4)])).toMatchObject({ applied: 0 })
      await pull(h.store, [seat('bad', 3, 7)])
      expect(await rowsOf(h, 'seats')).toEqual([{ id: 'bad', place: 3, label: 'x' }])
      expect(await parkedKeys(h.store)).toEqual([])
      await pull(h.store, [record('seats', 8, { id: 'bad', place: 3, label: null })])
      await pull(h.store, [tombstone('seats', key('bad'), 9)])
      expect(await rowsOf(h, 'seats')).toEqual([])
      expect(await parkedKeys(h.store)).toEqual([])
    })

    test('I7: the row of before stays, and claims no knowledge of the record', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('k', 1, 3)])
      await pull(h.store, [record('seats', 5, { id: 'k', place: 9, label: null })])
      expect(await rowsOf(h, 'seats')).toEqual([{ id: 'k', place: 1, label: 'x' }])
      expect(await dirtyKeys(h.store)).toEqual([])
      await h.app.update('seats', { id: 'k' }, { place: 2 })
      expect(await touch(h.store, 'seats', key('k'))).toMatchObject({
        base: 3,
        agreed: 'live',
        changed: ['place'],
      })
    })

    test('I7: nor does an acknowledged row whose current row cannot stand', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('k', 1, 3)])
      await h.app.update('seats', { id: 'k' }, { place: 2 })
      const changes = await send(h.store)
      const current = record('seats', 7, { id: 'k', place: 2, label: null })
      expect(await acknowledge(h.store, changes, 7, { rest: { records: [current] } })).toMatchObject({
        applied: 0,
        parked: 1,
      })
      expect(await dirtyKeys(h.store)).toEqual([])
      expect(await parkedKeys(h.store)).toEqual(['seats ["k"]'])
      await h.app.update('seats', { id: 'k' }, { label: 'mine' })
      expect(await touch(h.store, 'seats', key('k'))).toMatchObject({ base: 3, changed: ['label'] })
    })

    test('an accepted push of the row frees its parked record', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('k', 1, 3)])
      await pull(h.store, [record('seats', 5, { id: 'k', place: 1, label: null })])
      await h.app.update('seats', { id: 'k' }, { label: 'mine' })
      const changes = await send(h.store)
      const current = seat('k', 1, 7, 'mine')
      await acknowledge(h.store, changes, 7, { rest: { records: [current] } })
      expect(await parkedKeys(h.store)).toEqual([])
      expect(await rowsOf(h, 'seats')).toEqual([current.fields])
    })

    test('a row whose key has a parked record gives way to any other', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('a', 1, 3)])
      await pull(h.store, [record('seats', 5, { id: 'a', place: 2, label: null })])
      expect(await pull(h.store, [seat('z', 1, 6)])).toMatchObject({ applied: 1, parked: 0 })
      expect(await rowsOf(h, 'seats')).toEqual([{ id: 'z', place: 1, label: 'x' }])
      expect(await parkedKeys(h.store)).toEqual(['seats ["a"]'])
      expect(await dirtyKeys(h.store)).toEqual([])
      await h.app.insert('seats', { id: 'a', place: 7, label: 'mine' })
      expect(await touch(h.store, 'seats', key('a'))).toMatchObject({ base: 0, agreed: 'none' })
    })

    test('a row that is taken but cannot stand leaves the table', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('k', 1, 3)])
      await h.app.update('seats', { id: 'k' }, { place: 2 })
      const read = await touch(h.store, 'seats', key('k'))
      const taken = record('seats', 5, { id: 'k', place: 1, label: null })
      expect(await merge(h.store, [{ read, decision: { kind: 'take' }, record: taken }])).toMatchObject({
        applied: 0,
        parked: 1,
      })
      expect(await rowsOf(h, 'seats')).toEqual([])
      expect(await parkedKeys(h.store)).toEqual(['seats ["k"]'])
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('images only: a parked record follows the cloud and is no edit', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [
        record('seats', 5, { id: 'a', place: 1, label: null }),
        record('seats', 6, { id: 'b', place: 2, label: null }),
      ])
      const newer = record('seats', 7, { id: 'a', place: 3, label: null })
      await pull(h.store, [newer, tombstone('seats', key('b'), 8)], { imagesOnly: true })
      expect(await h.store.listParked(10)).toMatchObject([{ key: key('a'), record: newer }])
      expect(await dirtyKeys(h.store)).toEqual([])
    })
  })
}
