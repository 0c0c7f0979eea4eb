import { describe, expect, test } from 'vitest'

import {
  acknowledge,
  cursor,
  key,
  merge,
  note,
  openFresh,
  pull,
  record,
  seat,
  send,
  tombstone,
  touch,
} from './cycle.ts'
import type { OpenStore } from './harness.ts'

const text = (id: string, version: number) =>
  record('notes', version, { id, title: String(version), body: '' })

/** What a publication says of the rows that it changed. */
export function appliedContract(open: OpenStore): void {
  describe('counts of what took effect', () => {
    test('are by table, without what was known, and without tables where nothing was done', async () => {
      await using h = await openFresh(open)
      const words = ['one', 'two', 'three'].map((word, at) => record('words', at + 3, { word, meaning: '' }))
      expect(await pull(h.store, [text('a', 1), ...words, text('b', 2)])).toMatchObject({
        applied: 5,
        tables: { notes: 2, words: 3 },
      })
      const again = [text('a', 1), tombstone('notes', key('b'), 6), text('c', 7), ...words]
      expect(await pull(h.store, again)).toHaveProperty('tables', { notes: 2 })
      expect(await pull(h.store, again)).toHaveProperty('tables', {})
      expect(await pull(h.store, [record('nowhere', 8, { id: 'a' })])).toHaveProperty('tables', {})
    })

    test('leave out what is parked, whatever it turned out, and count a row that is tried again in no table', async () => {
      await using h = await openFresh(open)
      // The one with the smaller key stands.
      const met = await pull(h.store, [seat('b', 1, 1), seat('a', 1, 2), seat('c', 3, 3), text('n', 4)])
      expect(met).toMatchObject({ applied: 3, parked: 1, tables: { seats: 2, notes: 1 } })
      await h.app.insert('seats', { id: 'mine', place: 9, label: 'x' })
      const blocked = await pull(h.store, [seat('z', 9, 5), text('m', 6)])
      expect(blocked).toMatchObject({ applied: 1, parked: 1 })
      expect(blocked).toHaveProperty('tables', { notes: 1 })
      const swapped = await pull(h.store, [seat('a', 3, 7), seat('c', 4, 8)])
      expect(swapped).toMatchObject({ applied: 2, tables: { seats: 2 } })
    })

    test('are those of the chunks of a hydrate too', async () => {
      await using h = await openFresh(open)
      await h.store.startHydrate({ cursor: cursor(10), tables: null, place: null, sweep: false })
      const many = Array.from({ length: 40 }, (_, at) => text(`n${at}`, 1))
      const seats = Array.from({ length: 40 }, (_, at) => seat(`s${at}`, at, 2))
      const place = { head: 10, table: 'seats', key: key('s9') }
      const first = await pull(h.store, [...many, ...seats], { place })
      expect(first).toMatchObject({ applied: 80, tables: { notes: 40, seats: 40 } })
      const next = await pull(h.store, [...many, text('new', 3), ...seats], { place })
      expect(next).toHaveProperty('tables', { notes: 1 })
    })

    test('hold what was decided, and the record in an answer, and not the rows that were acknowledged', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [text('a', 1), text('b', 2)])
      await h.app.update('notes', { id: 'a' }, { body: 'mine' })
      await h.app.update('notes', { id: 'b' }, { body: 'mine' })
      await h.app.insert('words', { word: 'mine', meaning: '' })
      const [a, b] = [await touch(h.store, 'notes', key('a')), await touch(h.store, 'notes', key('b'))]
      const decided = await merge(
        h.store,
        [
          { read: a, decision: { kind: 'take' }, record: text('a', 3) },
          { read: b, decision: { kind: 'hold' }, record: text('b', 4) },
        ],
        {
          notes: [note(a), note(b, { chosen: 'waits' })],
          records: [record('words', 5, { word: 'w', meaning: '' })],
        },
      )
      expect(decided).toMatchObject({ applied: 2, tables: { notes: 1, words: 1 } })
      const changes = await send(h.store)
      const rest = { records: [record('notes', 9, { id: 'c', title: '9', body: '' })] }
      const answered = await acknowledge(h.store, changes, 6, { rest })
      expect(answered).toHaveProperty('tables', { notes: 1 })
    })
  })
}
