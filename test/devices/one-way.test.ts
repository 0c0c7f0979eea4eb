import { expect, it } from 'vitest'

import type { EngineOptions } from '../../src/engine/options.ts'
import { createWorld, type Device } from './two-devices.ts'

const ids = (device: Device, table: string) =>
  device.database
    .rows(table)
    .map(({ id }) => id)
    .sort()

/** Rows of both devices in both tables; nothing was exchanged yet. */
async function twoWithRows(options: Partial<EngineOptions> = {}) {
  const world = createWorld()
  const a = await world.device('a')
  const b = await world.device('b', options)
  for (const [name, device] of Object.entries({ a, b })) {
    device.database.write((app) => {
      app.insert('notes', { id: `note-${name}`, title: name, body: '' })
      app.insert('tasks', { id: name === 'a' ? 1 : 2, text: name, note: null })
    })
  }
  await a.sync()
  return { world, a, b }
}

it('I1: a replica that only sends reads nothing, and everything once it reads', async () => {
  const { world, a, b } = await twoWithRows({ way: 'up' })
  await using _world = world
  await b.sync()
  expect(ids(b, 'notes')).toEqual(['note-b'])
  expect((await b.store.counts()).pending).toEqual({})
  await a.sync()
  expect(ids(a, 'notes')).toEqual(['note-a', 'note-b'])
  await b.engine.stop()
  const whole = await world.again('b')
  await whole.sync()
  expect(ids(whole, 'notes')).toEqual(['note-a', 'note-b'])
  expect(ids(whole, 'tasks')).toEqual([1, 2])
})

it('I7: a conflict of a replica that only sends is merged with the row it met', async () => {
  const { world, a, b } = await twoWithRows({ way: 'up' })
  await using _world = world
  b.database.write((app) => app.insert('notes', { id: 'note-a', title: 'other', body: 'mine' }))
  await b.sync()
  expect((await b.store.counts()).pending).toEqual({})
  expect(await b.store.listInbox({ open: true })).toMatchObject([{ kind: 'insert', key: '["note-a"]' }])
  await a.sync()
  const [one, other] = [a, b].map((device) => device.database.rows('notes').find(({ id }) => id === 'note-a'))
  expect(one).toEqual(other)
})

it('a replica that only reads sends nothing, and keeps what it has to send', async () => {
  const { world, a, b } = await twoWithRows({ way: 'down' })
  await using _world = world
  await b.sync()
  expect(ids(b, 'notes')).toEqual(['note-a', 'note-b'])
  expect((await b.store.counts()).pending).toEqual({ notes: 1, tasks: 1 })
  expect(world.requests('b')).not.toContain('push')
  await a.sync()
  expect(ids(a, 'notes')).toEqual(['note-a'])
})

it('I4: some tables are exchanged, and nothing of the others is missed later', async () => {
  const { world, a, b } = await twoWithRows({ tables: ['notes'] })
  await using _world = world
  await b.sync()
  expect(ids(b, 'notes')).toEqual(['note-a', 'note-b'])
  expect(ids(b, 'tasks')).toEqual([2])
  expect((await b.store.counts()).pending).toEqual({ tasks: 1 })
  a.database.write((app) => {
    app.insert('tasks', { id: 3, text: 'later', note: null })
    app.insert('notes', { id: 'note-c', title: 'c', body: '' })
  })
  await a.sync()
  await b.sync()
  expect(ids(b, 'notes')).toEqual(['note-a', 'note-b', 'note-c'])
  await b.engine.stop()
  const whole = await world.again('b')
  await whole.sync()
  await a.sync()
  expect(ids(whole, 'tasks')).toEqual([1, 2, 3])
  expect(ids(a, 'tasks')).toEqual([1, 2, 3])
})

it('I4: after a whole sync, a set of tables has its own place, and the whole goes on from the old one', async () => {
  await using world = createWorld()
  const a = await world.device('a')
  const b = await world.device('b')
  await a.sync()
  await b.sync()
  const before = (await b.store.state()).cursor?.version
  await b.engine.stop()
  a.database.write((app) => {
    app.insert('notes', { id: 'n', title: 'n', body: '' })
    app.insert('tasks', { id: 9, text: 't', note: null })
  })
  await a.sync()
  const narrow = await world.again('b', { tables: ['notes'] })
  await narrow.sync()
  const state = await narrow.store.state()
  expect(state.cursor?.version).toBe(before)
  expect(state.asides).toMatchObject([{ tables: ['notes'], cursor: { version: 2 } }])
  expect(ids(narrow, 'tasks')).toEqual([])
  await narrow.engine.stop()
  const whole = await world.again('b')
  await whole.sync()
  expect(ids(whole, 'tasks')).toEqual([9])
  expect((await whole.store.state()).cursor?.version).toBe(2)
})
