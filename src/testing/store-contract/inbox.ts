import { describe, expect, test } from 'vitest'

import type { InboxDraft } from '../../engine/inbox.ts'
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
  seat,
  touch,
} from './cycle.ts'
import type { OpenStore, StoreHarness } from './harness.ts'

const theirs = record('notes', 7, { id: 'a', title: 'theirs', body: 'theirs' })

/** A row that is held: both sides changed its title, and nobody decided. */
async function openHeld(open: OpenStore): Promise<StoreHarness & { readonly entry: string }> {
  const h = await openFresh(open)
  await pull(h.store, [record('notes', 1, { id: 'a', title: '1', body: '1' })])
  await h.app.update('notes', { id: 'a' }, { title: 'mine' })
  const read = await touch(h.store, 'notes', key('a'))
  const notes = [note(read, { chosen: 'waits', remote: theirs, columns: ['title'] })]
  await merge(h.store, [{ read, decision: { kind: 'hold' }, record: theirs }], { notes })
  const [entry] = await h.store.listInbox({})
  return Object.defineProperty(h, 'entry', { value: entry?.id ?? '' }) as StoreHarness & {
    readonly entry: string
  }
}

const draft = (id: string, more: Partial<InboxDraft> = {}): InboxDraft =>
  note({ table: 'notes', key: key(id), fields: { id, title: 'lost' } }, more)

/** Entries of the inbox, and what settling one does to its row. */
export function inboxContract(open: OpenStore): void {
  describe('the inbox', () => {
    test('the same conflict, met again, is one note while that is open', async () => {
      await using h = await openFresh(open)
      const again = (notes: readonly InboxDraft[]) => pull(h.store, [], { notes })
      await again([draft('a'), draft('b')])
      await again([draft('a'), draft('a', { chosen: 'local' })])
      expect(await h.store.listInbox({ open: true })).toHaveLength(3)
      for (const { id } of await h.store.listInbox({ open: true }))
        await h.store.settleInbox(id, { status: 'dismissed', choice: 'none' })
      await again([draft('a')])
      expect(await h.store.listInbox({ open: true })).toHaveLength(1)
    })

    test('I7: keeps both values, through a restart', async () => {
      await using h = await openHeld(open)
      await h.reopen()
      expect(await h.store.readInbox(h.entry)).toMatchObject({
        id: h.entry,
        kind: 'field',
        table: 'notes',
        key: key('a'),
        columns: ['title'],
        local: { id: 'a', title: 'mine', body: '1' },
        remote: theirs,
        chosen: 'waits',
        by: 'contract',
        status: 'open',
      })
      expect((await h.store.readInbox(h.entry))?.at).toBeGreaterThan(0)
      expect(await h.store.readInbox('nobody')).toBeNull()
    })

    test('lists the newest first, the open ones, and no more than asked for', async () => {
      await using h = await openFresh(open)
      for (const id of ['a', 'b', 'c']) await pull(h.store, [], { notes: [draft(id)] })
      const all = await h.store.listInbox({})
      expect(all.map((entry) => entry.key)).toEqual(['c', 'b', 'a'].map((id) => key(id)))
      await h.store.settleInbox(all[1]?.id ?? '', { status: 'dismissed', choice: 'none' })
      expect((await h.store.listInbox({ open: true })).map((entry) => entry.key)).toEqual([
        key('c'),
        key('a'),
      ])
      expect((await h.store.listInbox({ open: false })).map((entry) => entry.status)).toEqual(['dismissed'])
      expect(await h.store.listInbox({ limit: 2 })).toHaveLength(2)
      expect(await h.store.listInbox({ open: true, limit: 1 })).toMatchObject([{ key: key('c') }])
      expect(await h.store.counts()).toMatchObject({ openConflicts: 2 })
    })

    test('a settled edit is one of the application: agreed first, then dirty', async () => {
      await using h = await openHeld(open)
      const edit = { table: 'notes', key: key('a'), fields: { id: 'a', title: 'mine', body: 'theirs' } }
      await h.store.settleInbox(h.entry, { status: 'resolved', choice: 'local', edit, agree: theirs })
      expect(await rowsOf(h, 'notes')).toEqual([edit.fields])
      expect(await readAllDirty(h.store)).toMatchObject([
        { key: key('a'), base: 7, agreed: 'live', changed: ['title'], held: false },
      ])
      expect(await h.store.readInbox(h.entry)).toMatchObject({ status: 'resolved' })
      expect(await h.store.counts()).toMatchObject({ held: 0, openConflicts: 0 })
    })

    test('settled for the other side: nothing is left to send', async () => {
      await using h = await openHeld(open)
      const edit = { table: 'notes', key: key('a'), fields: theirs.fields ?? {} }
      await h.store.settleInbox(h.entry, { status: 'resolved', choice: 'remote', edit, agree: theirs })
      expect(await rowsOf(h, 'notes')).toEqual([theirs.fields])
      expect(await dirtyKeys(h.store)).toEqual([])
      expect(await isTouched(h.store, 'notes', key('a'))).toBe(false)
    })

    test('I1: settled without an edit, the held change is dirty again with its time', async () => {
      await using h = await openHeld(open)
      const { at } = await touch(h.store, 'notes', key('a'))
      await h.store.settleInbox(h.entry, { status: 'dismissed', choice: 'none' })
      expect(await readAllDirty(h.store)).toMatchObject([{ key: key('a'), base: 1, changed: ['title'], at }])
    })

    test('a record that is older than what the row agreed on is not agreed on again', async () => {
      await using h = await openHeld(open)
      const held = await touch(h.store, 'notes', key('a'))
      const newer = record('notes', 9, { id: 'a', title: 'newest', body: 'newest' })
      await merge(h.store, [{ read: held, decision: { kind: 'take' }, record: newer }])
      const edit = { table: 'notes', key: key('a'), fields: { id: 'a', title: 'mine', body: 'newest' } }
      await h.store.settleInbox(h.entry, { status: 'resolved', choice: 'local', edit, agree: theirs })
      expect(await readAllDirty(h.store)).toMatchObject([{ base: 9, changed: ['title'] }])
    })

    test('I4: settled for a record after a newer one was met, the row asks for the newer one', async () => {
      await using h = await openHeld(open)
      const held = await touch(h.store, 'notes', key('a'))
      const newer = record('notes', 9, { id: 'a', title: 'newest', body: 'newest' })
      await merge(h.store, [{ read: held, decision: { kind: 'hold' }, record: newer }])
      const edit = { table: 'notes', key: key('a'), fields: theirs.fields ?? {} }
      await h.store.settleInbox(h.entry, { status: 'resolved', choice: 'remote', edit, agree: theirs })
      expect(await readAllDirty(h.store)).toMatchObject([
        { key: key('a'), base: 7, changed: [], dirty: true },
      ])
    })

    test('undone: the edit brings back what lost, a row that was deleted included', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [record('notes', 1, { id: 'b', title: '1', body: '' })], {
        notes: [draft('a'), draft('b')],
      })
      const entries = new Map((await h.store.listInbox({})).map((entry) => [entry.key, entry.id]))
      const fields = { id: 'a', title: 'lost', body: 'b' }
      await h.store.settleInbox(entries.get(key('a')) ?? '', {
        status: 'undone',
        choice: 'local',
        edit: { table: 'notes', key: key('a'), fields },
      })
      await h.store.settleInbox(entries.get(key('b')) ?? '', {
        status: 'undone',
        choice: 'local',
        edit: { table: 'notes', key: key('b'), fields: null },
      })
      expect(await rowsOf(h, 'notes')).toEqual([fields])
      expect(await dirtyKeys(h.store)).toEqual(['notes ["a"]', 'notes ["b"]'])
      expect(await h.store.listInbox({ open: false })).toMatchObject([
        { status: 'undone' },
        { status: 'undone' },
      ])
    })

    test('an edit may lack columns, and have others', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('a', 1, 1, 'kept')], { notes: [draft('x')] })
      const [entry] = await h.store.listInbox({})
      const settle = (fields: { readonly [column: string]: string | number }) =>
        h.store.settleInbox(entry?.id ?? '', {
          status: 'undone',
          choice: 'local',
          edit: { table: 'seats', key: key(String(fields['id'])), fields },
        })
      await settle({ id: 'a', place: 2, nowhere: 'x' })
      await settle({ id: 'b', place: 3 })
      expect(await rowsOf(h, 'seats')).toEqual([
        { id: 'a', place: 2, label: 'kept' },
        { id: 'b', place: 3, label: '-' },
      ])
    })

    test('an edit that a constraint refuses changes nothing', async () => {
      await using h = await openFresh(open)
      await pull(h.store, [seat('a', 1, 1)], { notes: [draft('x')] })
      const [entry] = await h.store.listInbox({})
      const settle = (fields: { readonly [column: string]: string | number | null }, table = 'seats') =>
        h.store.settleInbox(entry?.id ?? '', {
          status: 'undone',
          choice: 'local',
          edit: { table, key: key('b'), fields },
        })
      await expect(settle({ id: 'b', place: 1, label: 'x' })).rejects.toMatchObject({ code: 'unprocessable' })
      await expect(settle({ id: 'b', place: 2, label: null })).rejects.toMatchObject({
        code: 'unprocessable',
      })
      await expect(settle({ id: 'b' }, 'nowhere')).rejects.toMatchObject({ code: 'unprocessable' })
      expect(await rowsOf(h, 'seats')).toHaveLength(1)
      expect(await dirtyKeys(h.store)).toEqual([])
      expect(await h.store.listInbox({ open: true })).toHaveLength(1)
      await expect(
        h.store.settleInbox('nobody', { status: 'dismissed', choice: 'none' }),
      ).rejects.toMatchObject({ code: 'not_found' })
    })
  })
}
