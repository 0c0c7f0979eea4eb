import { describe, expect, test } from 'vitest'

import {
  acknowledge,
  dirtyKeys,
  key,
  merge,
  openFresh,
  pull,
  readAllDirty,
  record,
  rowsOf,
  send,
  touch,
} from './cycle.ts'
import type { OpenStore, StoreHarness } from './harness.ts'

const refused = { kind: 'refused', code: 'unprocessable', message: 'the reason' } as const

/** A row agreed at version 1, whose edit the cloud refused for good. */
async function openRefused(open: OpenStore): Promise<StoreHarness & { readonly entry: string }> {
  const h = await openFresh(open)
  await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '1' })])
  await h.app.update('notes', { id: 'a' }, { title: 'refused' })
  await acknowledge(h.store, await send(h.store), 0, { outcome: () => refused })
  const [entry] = await h.store.listQuarantine(10)
  return Object.defineProperty(h, 'entry', { value: entry?.id ?? '' }) as StoreHarness & {
    readonly entry: string
  }
}

const theirs = record('notes', 7, { id: 'a', title: 'theirs', body: 'theirs' })

/** Changes that the cloud refused for good. */
export function quarantineContract(open: OpenStore): void {
  describe('the quarantine', () => {
    test('I9: keeps the reason, and the row out of the outbox until it changes again', async () => {
      await using h = await openRefused(open)
      expect(await dirtyKeys(h.store)).toEqual([])
      expect(await rowsOf(h, 'notes')).toMatchObject([{ title: 'refused' }])
      await h.reopen()
      const [entry, ...others] = await h.store.listQuarantine(10)
      expect(others).toEqual([])
      expect(entry).toMatchObject({
        id: h.entry,
        table: 'notes',
        key: key('a'),
        op: 'put',
        code: 'unprocessable',
        message: 'the reason',
      })
      expect(entry?.at).toBeGreaterThan(0)
      expect(await h.store.counts()).toMatchObject({ quarantined: 1, held: 0 })
      await h.app.update('notes', { id: 'a' }, { body: '2' })
      expect(await readAllDirty(h.store)).toMatchObject([{ key: key('a'), base: 1, held: false }])
    })

    test('a refused change that the application takes back is refused no longer', async () => {
      await using h = await openRefused(open)
      await h.app.update('notes', { id: 'a' }, { title: '1' })
      expect(await dirtyKeys(h.store)).toEqual([])
      expect(await h.store.listQuarantine(10)).toEqual([])
    })

    test('a row that can never be carried leaves nothing behind when it is deleted', async () => {
      await using h = await openFresh(open)
      const id = 'x'.repeat(2_000)
      await h.app.insert('notes', { id, title: '1', body: '' })
      expect(await dirtyKeys(h.store)).toEqual([])
      expect(await h.store.listQuarantine(10)).toHaveLength(1)
      await h.app.remove('notes', { id })
      expect(await dirtyKeys(h.store)).toEqual([])
      expect(await h.store.listQuarantine(10)).toEqual([])
      expect(await h.store.counts()).toMatchObject({ quarantined: 0, pending: {} })
    })

    test('I1: a row that changed while in flight stays dirty', async () => {
      await using h = await openFresh(open)
      await h.app.insert('notes', { id: 'a', title: '1', body: '' })
      const changes = await send(h.store)
      await h.app.update('notes', { id: 'a' }, { title: '2' })
      await acknowledge(h.store, changes, 0, { outcome: () => refused })
      expect(await dirtyKeys(h.store)).toEqual(['notes ["a"]'])
      expect(await h.store.listQuarantine(10)).toHaveLength(1)
    })

    test('I1: no record is applied over a refused change', async () => {
      await using h = await openRefused(open)
      expect(await pull(h.store, [theirs])).toEqual({
        status: 'moved',
        rows: [{ table: 'notes', key: key('a') }],
      })
      const read = await touch(h.store, 'notes', key('a'))
      expect(read).toMatchObject({ held: true, dirty: false, changed: ['title'] })
      expect(await merge(h.store, [{ read, decision: { kind: 'hold' }, record: theirs }])).toMatchObject({
        status: 'done',
      })
      expect(await rowsOf(h, 'notes')).toMatchObject([{ title: 'refused' }])
    })

    test('a refused insert and a refused delete wait like an edit', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'd', title: '1', body: '' })])
      await h.app.insert('notes', { id: 'i', title: '1', body: '' })
      await h.app.remove('notes', { id: 'd' })
      await acknowledge(h.store, await send(h.store), 0, { outcome: () => refused })
      expect(await dirtyKeys(h.store)).toEqual([])
      expect((await h.store.listQuarantine(10)).map(({ op }) => op).sort()).toEqual(['delete', 'put'])
      expect(await h.store.listQuarantine(1)).toHaveLength(1)
      expect(await pull(h.store, [record('notes', 2, { id: 'd', title: '2', body: '' })])).toMatchObject({
        status: 'moved',
      })
    })

    test('refused again: one entry for a row, with the newest reason', async () => {
      await using h = await openRefused(open)
      await h.app.update('notes', { id: 'a' }, { title: 'refused again' })
      const again = { ...refused, message: 'another reason' }
      await acknowledge(h.store, await send(h.store), 0, { outcome: () => again })
      expect(await h.store.listQuarantine(10)).toMatchObject([{ key: key('a'), message: 'another reason' }])
    })

    test('accepted later: the entry goes', async () => {
      await using h = await openRefused(open)
      await h.app.update('notes', { id: 'a' }, { title: 'fine' })
      await acknowledge(h.store, await send(h.store), 5)
      expect(await h.store.listQuarantine(10)).toEqual([])
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('retried: the row is dirty, the entry gone', async () => {
      await using h = await openRefused(open)
      expect(await h.store.retryQuarantine('nobody')).toBe(false)
      expect(await h.store.retryQuarantine(h.entry)).toBe(true)
      expect(await h.store.retryQuarantine(h.entry)).toBe(false)
      expect(await readAllDirty(h.store)).toMatchObject([{ key: key('a'), base: 1, changed: ['title'] }])
      expect(await h.store.listQuarantine(10)).toEqual([])
    })

    test('dropped: the row becomes the record, or goes', async () => {
      await using h = await openRefused(open)
      expect(await h.store.dropQuarantine('nobody', null)).toBe(false)
      await expect(h.store.dropQuarantine(h.entry, record('notes', 0, { id: 'a' }))).rejects.toMatchObject({
        code: 'invariant',
      })
      expect(await h.store.dropQuarantine(h.entry, theirs)).toBe(true)
      expect(await rowsOf(h, 'notes')).toEqual([theirs.fields])
      expect(await dirtyKeys(h.store)).toEqual([])
      expect(await h.store.listQuarantine(10)).toEqual([])
      await h.app.update('notes', { id: 'a' }, { title: 'again' })
      await acknowledge(h.store, await send(h.store), 0, { outcome: () => refused })
      const [entry] = await h.store.listQuarantine(10)
      expect(await h.store.dropQuarantine(entry?.id ?? '', null)).toBe(true)
      expect(await rowsOf(h, 'notes')).toEqual([])
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('I4: dropped for a record that is older than one it met: the answer to its push brings that again', async () => {
      await using h = await openRefused(open)
      const read = await touch(h.store, 'notes', key('a'))
      await merge(h.store, [{ read, decision: { kind: 'hold' }, record: theirs }])
      const older = record('notes', 6, { id: 'a', title: 'older', body: 'older' })
      expect(await h.store.dropQuarantine(h.entry, older)).toBe(true)
      expect(await rowsOf(h, 'notes')).toEqual([older.fields])
      expect(await readAllDirty(h.store)).toMatchObject([{ key: key('a'), base: 6, changed: [] }])
      // One that is not older is all there is to know.
      await using other = await openRefused(open)
      const held = await touch(other.store, 'notes', key('a'))
      await merge(other.store, [{ read: held, decision: { kind: 'hold' }, record: theirs }])
      expect(await other.store.dropQuarantine(other.entry, theirs)).toBe(true)
      expect(await readAllDirty(other.store)).toEqual([])
    })

    test('I1: dropping does not take a later change along', async () => {
      await using h = await openRefused(open)
      await h.app.update('notes', { id: 'a' }, { body: 'later' })
      expect(await h.store.dropQuarantine(h.entry, theirs)).toBe(true)
      expect(await rowsOf(h, 'notes')).toMatchObject([{ title: 'refused', body: 'later' }])
      expect(await dirtyKeys(h.store)).toEqual(['notes ["a"]'])
      expect(await h.store.listQuarantine(10)).toEqual([])
    })
  })
}
