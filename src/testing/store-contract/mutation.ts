import { describe, expect, test } from 'vitest'

import {
  acknowledge,
  cursor,
  dirtyKeys,
  key,
  note,
  openFresh,
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

/** One push in flight, and what its answer makes of the rows. */
export function mutationContract(open: OpenStore): void {
  describe('a mutation', () => {
    test('I3: keeps its exact bytes through a restart', async () => {
      await using h = await openFresh(open)
      const mutation = { number: 1, force: true, parts: ['{"a": 1}', '{"b":"\\u00e9 é"}'] }
      await h.store.saveMutation(mutation)
      expect(await h.store.state()).toMatchObject({ mutation: 1, inFlight: mutation })
      await h.reopen()
      expect(await h.store.state()).toMatchObject({ mutation: 1, inFlight: mutation })
      await h.crash?.()
      expect(await h.store.state()).toMatchObject({ mutation: 1, inFlight: mutation })
    })

    test('I13: there is one, and its number is the next', async () => {
      await using h = await openFresh(open)
      await expect(h.store.saveMutation({ number: 2, force: false, parts: ['{}'] })).rejects.toMatchObject({
        code: 'invariant',
      })
      await h.store.saveMutation({ number: 1, force: false, parts: ['{}'] })
      await expect(h.store.saveMutation({ number: 2, force: false, parts: ['{}'] })).rejects.toMatchObject({
        code: 'invariant',
      })
      expect(await h.store.state()).toMatchObject({ mutation: 1, inFlight: { number: 1 } })
    })

    test('freed: its rows stay dirty, its number is used again', async () => {
      await using h = await openFresh(open)
      await h.app.insert('notes', { id: 'a', title: '1', body: '' })
      await send(h.store)
      await expect(h.store.freeMutation(7)).rejects.toMatchObject({ code: 'invariant' })
      await h.store.freeMutation(1)
      expect(await h.store.state()).toMatchObject({ mutation: 0, inFlight: null })
      expect(await dirtyKeys(h.store)).toEqual(['notes ["a"]'])
      await h.store.saveMutation({ number: 1, force: false, parts: ['{}'] })
    })

    test('I3: nothing is published past a mutation in flight', async () => {
      await using h = await openFresh(open)
      await h.app.insert('notes', { id: 'a', title: '1', body: '' })
      const changes = await send(h.store)
      expect(await pull(h.store, [record('notes', 3, { id: 'b', title: '1', body: '' })])).toEqual({
        status: 'stale',
      })
      const rows = changes.map((change) => ({ change, outcome: { kind: 'ok', version: 1 } as const }))
      const other = await h.store.publish({
        acknowledge: { mutation: 2, rows },
        records: [],
        merged: [],
        notes: [],
      })
      expect(other).toEqual({ status: 'stale' })
      expect(await rowsOf(h, 'notes')).toHaveLength(1)
      expect((await h.store.state()).inFlight).not.toBeNull()
      await acknowledge(h.store, changes, 1)
      const again = await h.store.publish({
        acknowledge: { mutation: 1, rows },
        records: [],
        merged: [],
        notes: [],
      })
      expect(again).toEqual({ status: 'stale' })
    })
  })

  describe('acknowledging', () => {
    test('ok: the image is what was pushed, at its version', async () => {
      await using h = await openFresh(open)
      await h.app.insert('notes', { id: 'a', title: '1', body: '2' })
      const changes = await send(h.store)
      expect(await acknowledge(h.store, changes, 9)).toMatchObject({
        status: 'done',
        applied: 0,
        parked: 0,
        notes: 0,
      })
      expect(await h.store.state()).toMatchObject({ mutation: 1, inFlight: null })
      expect(await dirtyKeys(h.store)).toEqual([])
      await h.app.update('notes', { id: 'a' }, { body: '3' })
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({
        base: 9,
        agreed: 'live',
        changed: ['body'],
      })
    })

    test('ok for an edit: the other columns stay agreed as they were', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '2' })])
      await h.app.update('notes', { id: 'a' }, { title: 'x' })
      await push(h.store, 5)
      await h.app.update('notes', { id: 'a' }, { body: '3' })
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ base: 5, changed: ['body'] })
      await h.app.update('notes', { id: 'a' }, { body: '2' })
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('ok for a delete: a tombstone is agreed', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '2' })])
      await h.app.remove('notes', { id: 'a' })
      await push(h.store, 5)
      expect(await dirtyKeys(h.store)).toEqual([])
      await h.app.insert('notes', { id: 'a', title: '1', body: '2' })
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ base: 5, agreed: 'deleted' })
    })

    test('I1: an edit made while in flight stays dirty', async () => {
      await using h = await openFresh(open)
      await h.app.insert('notes', { id: 'a', title: '1', body: '' })
      const changes = await send(h.store)
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      await acknowledge(h.store, changes, 9)
      expect(await readAllDirty(h.store)).toMatchObject([
        { key: key('a'), base: 9, changed: ['title'], fields: { title: '2' } },
      ])
    })

    test('I1: an edit taken back while in flight is sent', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })])
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      const changes = await send(h.store)
      await h.app.update('notes', { id: 'a' }, { title: '1' })
      // The engine looks at the row before it acknowledges.
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ dirty: true, changed: [] })
      await acknowledge(h.store, changes, 9)
      expect(await readAllDirty(h.store)).toMatchObject([
        { key: key('a'), base: 9, changed: ['title'], fields: { title: '1' } },
      ])
    })

    test('I1: a row deleted while its insert is in flight is deleted in the cloud', async () => {
      await using h = await openFresh(open)
      await h.app.insert('notes', { id: 'a', title: '1', body: '' })
      const changes = await send(h.store)
      await h.app.remove('notes', { id: 'a' })
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ dirty: true, fields: null })
      await acknowledge(h.store, changes, 9)
      expect(await readAllDirty(h.store)).toMatchObject([
        { key: key('a'), base: 9, agreed: 'live', fields: null },
      ])
    })

    test('I1: a row inserted again while its delete is in flight is revived', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })])
      await h.app.remove('notes', { id: 'a' })
      const changes = await send(h.store)
      await h.app.insert('notes', { id: 'a', title: '1', body: '' })
      await acknowledge(h.store, changes, 9)
      expect(await readAllDirty(h.store)).toMatchObject([
        { key: key('a'), base: 9, agreed: 'deleted', fields: { title: '1' } },
      ])
    })

    test('left: stays dirty as it is', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '' })])
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      const changes = await send(h.store)
      await acknowledge(h.store, changes, 9, { outcome: () => ({ kind: 'left' }) })
      expect(await readAllDirty(h.store)).toMatchObject([{ key: key('a'), base: 1, changed: ['title'] }])
      expect(await h.store.state()).toMatchObject({ mutation: 1, inFlight: null })
    })

    test('returned: the number is used again', async () => {
      await using h = await openFresh(open)
      await h.app.insert('notes', { id: 'a', title: '1', body: '' })
      const changes = await send(h.store)
      await acknowledge(h.store, changes, 9, { returned: true, outcome: () => ({ kind: 'left' }) })
      expect(await h.store.state()).toMatchObject({ mutation: 0, inFlight: null })
    })

    test('the current row of an accepted change is applied in the same transaction', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '1' })])
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      const changes = await send(h.store)
      const current = record('notes', 9, { id: 'a', title: '2', body: 'theirs' })
      const result = await acknowledge(h.store, changes, 9, { rest: { records: [current] } })
      expect(result).toMatchObject({ status: 'done', applied: 1 })
      expect(await rowsOf(h, 'notes')).toEqual([{ id: 'a', title: '2', body: 'theirs' }])
      expect(await dirtyKeys(h.store)).toEqual([])
      await h.app.update('notes', { id: 'a' }, { body: 'mine' })
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ base: 9, changed: ['body'] })
    })

    test('I1: the current row never covers an edit made while in flight', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '1' })])
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      const changes = await send(h.store)
      await h.app.update('notes', { id: 'a' }, { title: '3' })
      const current = record('notes', 9, { id: 'a', title: '2', body: 'theirs' })
      const rest = {
        records: [current],
        cursor: cursor(9),
        notes: [note(await touch(h.store, 'notes', key('a')))],
      }
      const result = await acknowledge(h.store, changes, 9, { rest })
      expect(result).toEqual({ status: 'moved', rows: [{ table: 'notes', key: key('a') }] })
      // Refused whole: not even the acknowledgement was done.
      expect(await h.store.state()).toMatchObject({ inFlight: { number: 1 }, cursor: null })
      expect(await touch(h.store, 'notes', key('a'))).toMatchObject({ base: 1 })
      expect(await h.store.listInbox({})).toEqual([])
    })

    test('a merge in the same transaction is compared with the row before the acknowledgement', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '1' })])
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      const changes = await send(h.store)
      await h.app.update('notes', { id: 'a' }, { title: '3' })
      const read = await touch(h.store, 'notes', key('a'))
      const current = record('notes', 9, { id: 'a', title: '2', body: 'theirs' })
      const decision = { kind: 'keep', fields: { id: 'a', title: '3', body: 'theirs' } } as const
      const result = await acknowledge(h.store, changes, 9, {
        rest: { merged: [{ read, decision, record: current }] },
      })
      expect(result).toMatchObject({ status: 'done' })
      expect(await readAllDirty(h.store)).toMatchObject([
        { base: 9, changed: ['title'], fields: decision.fields, at: read.at },
      ])
    })

    test('what was acknowledged is known when it comes as a record', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '1' })])
      await h.app.remove('notes', { id: 'a' })
      await push(h.store, 5)
      expect(await pull(h.store, [tombstone('notes', key('a'), 5)])).toMatchObject({
        status: 'done',
        applied: 0,
      })
      expect(await pull(h.store, [record('notes', 6, { id: 'a', title: 'back', body: '1' })])).toMatchObject({
        applied: 1,
      })
      expect(await rowsOf(h, 'notes')).toEqual([{ id: 'a', title: 'back', body: '1' }])
    })
  })
}
