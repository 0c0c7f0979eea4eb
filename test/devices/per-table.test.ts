import { expect, it } from 'vitest'

import type { EngineEvent } from '../../src/engine/engine.ts'
import { createWorld, type Device } from './two-devices.ts'

type Counted = Extract<EngineEvent, { readonly type: 'pushed' | 'applied' }>

/** What the device tells of its rows, from now on. */
function listen(device: Device): readonly Counted[] {
  const told: Counted[] = []
  device.engine.on((event) => {
    if (event.type === 'pushed' || event.type === 'applied') told.push(event)
  })
  return told
}

const sums = (told: readonly Counted[], type: Counted['type']) => {
  const sum: { [table: string]: number } = {}
  for (const event of told) {
    if (event.type !== type) continue
    const counts = Object.values(event.tables)
    expect(counts.reduce((all, count) => all + count, 0)).toBe(event.rows)
    for (const [table, count] of Object.entries(event.tables)) sum[table] = (sum[table] ?? 0) + count
  }
  return sum
}

it('rows that are sent, read first and read later are told by table', async () => {
  await using world = createWorld()
  const a = await world.device('a')
  const toldByA = listen(a)
  a.database.write((app) => {
    for (let id = 0; id < 3_000; id++) app.insert('notes', { id: `${id}`, title: `${id}`, body: '' })
    for (let id = 1; id <= 20; id++) app.insert('tasks', { id, text: '', note: null })
  })
  await a.sync()
  expect(sums(toldByA, 'pushed')).toEqual({ notes: 3_000, tasks: 20 })
  expect(sums(toldByA, 'applied')).toEqual({})

  // A first read, in chunks.
  const b = await world.device('b')
  const toldByB = listen(b)
  await b.sync()
  expect(sums(toldByB, 'applied')).toEqual({ notes: 3_000, tasks: 20 })
  expect(toldByB.length).toBeGreaterThan(1)

  a.database.write((app) => app.remove('notes', { id: '7' }))
  b.database.write((app) => app.insert('tasks', { id: 21, text: '', note: null }))
  await a.sync()
  await b.sync()
  expect(sums(toldByB, 'applied')).toEqual({ notes: 3_001, tasks: 20 })
  expect(sums(toldByB, 'pushed')).toEqual({ tasks: 1 })
})
