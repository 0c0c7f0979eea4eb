import { expect, it } from 'vitest'

import { undoEntry, resolveEntry } from '../../src/engine/conflicts.ts'
import { manual } from '../../src/engine/resolvers.ts'
import { createWorld, type Device } from './two-devices.ts'

const sorted = (device: Device, table: string) =>
  [...device.database.rows(table)].sort((a, b) =>
    JSON.stringify(a['id']) < JSON.stringify(b['id']) ? -1 : 1,
  )

const equal = (one: Device, other: Device) => {
  for (const table of ['notes', 'tasks']) expect(sorted(one, table)).toEqual(sorted(other, table))
}

it('I2: two devices exchange inserts, edits and deletes', async () => {
  await using world = createWorld()
  const a = await world.device('a')
  const b = await world.device('b')
  a.database.write((app) => {
    app.insert('notes', { id: 'n1', title: 'one', body: 'x' })
    app.insert('notes', { id: 'n2', title: 'two', body: 'y' })
  })
  await a.sync()
  await b.sync()
  equal(a, b)
  a.database.write((app) => app.update('notes', { id: 'n1' }, { title: 'uno' }))
  b.database.write((app) => app.update('notes', { id: 'n1' }, { body: 'z' }))
  b.database.write((app) => app.remove('notes', { id: 'n2' }))
  await a.sync()
  await b.sync()
  await a.sync()
  equal(a, b)
  expect(sorted(a, 'notes')).toEqual([{ id: 'n1', title: 'uno', body: 'z' }])
  expect((await a.engine.status()).state).toBe('synced')
})

it('I7: a field that both changed keeps the loser in the inbox, and undo brings it back everywhere', async () => {
  await using world = createWorld()
  const a = await world.device('a')
  const b = await world.device('b')
  a.database.write((app) => app.insert('notes', { id: 'n', title: 't', body: 'base' }))
  await a.sync()
  await b.sync()
  a.database.write((app) => app.update('notes', { id: 'n' }, { body: 'from a' }))
  await new Promise((resolve) => setTimeout(resolve, 5))
  b.database.write((app) => app.update('notes', { id: 'n' }, { body: 'from b' }))
  await a.sync()
  await b.sync()
  await a.sync()
  equal(a, b)
  expect(sorted(a, 'notes')[0]?.['body']).toBe('from b')
  const [entry] = await b.store.listInbox({ open: true })
  expect(entry).toMatchObject({ kind: 'field', columns: ['body'], chosen: 'local' })
  expect(entry?.remote?.fields?.['body']).toBe('from a')
  await undoEntry(b.store, entry?.id ?? '')
  await b.sync()
  await a.sync()
  equal(a, b)
  expect(sorted(a, 'notes')[0]?.['body']).toBe('from a')
})

it('moves an integer key that two devices chose', async () => {
  await using world = createWorld()
  const a = await world.device('a')
  const b = await world.device('b')
  a.database.write((app) => app.insert('tasks', { id: 1, text: 'a', note: null }))
  b.database.write((app) => app.insert('tasks', { id: 1, text: 'b', note: null }))
  await a.sync()
  await b.sync()
  await a.sync()
  equal(a, b)
  expect(
    sorted(a, 'tasks')
      .map((row) => JSON.stringify(row['text']))
      .sort((x, y) => (x < y ? -1 : 1)),
  ).toEqual(['"a"', '"b"'])
  expect(await b.store.listInbox({ open: true })).toMatchObject([{ kind: 'rekeyed', chosen: 'both' }])
})

it('gives a unique value to the first, and the other to the inbox', async () => {
  await using world = createWorld()
  const a = await world.device('a')
  const b = await world.device('b')
  a.database.write((app) => app.insert('notes', { id: 'a', title: 'same', body: 'a' }))
  b.database.write((app) => app.insert('notes', { id: 'b', title: 'same', body: 'b' }))
  await a.sync()
  await b.sync()
  await b.sync()
  await a.sync()
  equal(a, b)
  expect(sorted(a, 'notes')).toEqual([{ id: 'a', title: 'same', body: 'a' }])
  expect(await b.store.listInbox({ open: true })).toMatchObject([
    { kind: 'unique', local: { id: 'b', title: 'same' } },
  ])
  expect(await b.store.listParked(10)).toEqual([])
})

it('I9: a manual conflict waits, the rest goes on, and a decision reaches everyone', async () => {
  await using world = createWorld()
  const a = await world.device('a')
  const b = await world.device('b', { resolver: manual })
  a.database.write((app) => {
    app.insert('notes', { id: 'n', title: 't', body: 'base' })
    app.insert('notes', { id: 'm', title: 'm', body: 'm' })
  })
  await a.sync()
  await b.sync()
  a.database.write((app) => app.update('notes', { id: 'n' }, { body: 'from a' }))
  b.database.write((app) => {
    app.update('notes', { id: 'n' }, { body: 'from b' })
    app.update('notes', { id: 'm' }, { body: 'm of b' })
  })
  await a.sync()
  await b.sync()
  await a.sync()
  expect(sorted(a, 'notes').map((row) => row['body'])).toEqual(['m of b', 'from a'])
  expect(sorted(b, 'notes').map((row) => row['body'])).toEqual(['m of b', 'from b'])
  const [entry] = await b.store.listInbox({ open: true })
  expect(entry).toMatchObject({ chosen: 'waits', columns: ['body'] })
  await resolveEntry(b.store, entry?.id ?? '', 'local')
  await b.sync()
  await a.sync()
  equal(a, b)
  expect(sorted(a, 'notes').map((row) => row['body'])).toEqual(['m of b', 'from b'])
})

it('I3: an answer that was lost has no second effect', async () => {
  await using world = createWorld()
  const a = await world.device('a')
  const b = await world.device('b')
  await a.sync()
  a.database.write((app) => app.insert('tasks', { id: 1, text: 'once', note: null }))
  world.loseNextPushAnswer('a')
  await expect(a.sync()).rejects.toMatchObject({ code: 'network' })
  expect((await a.engine.status()).state).toBe('offline')
  expect((await a.store.state()).inFlight).not.toBeNull()
  await a.sync()
  await b.sync()
  equal(a, b)
  expect(sorted(b, 'tasks')).toHaveLength(1)
})

it('I8: whoever asks while a cycle is under way learns of its failure, not of the one after the back-off', async () => {
  await using world = createWorld()
  const a = await world.device('a')
  await a.sync()
  world.cut('a')
  a.engine.wake()
  await expect(a.sync()).rejects.toMatchObject({ code: 'network' })
  expect((await a.engine.status()).failures).toBe(1)
  world.mend('a')
  await a.sync()
  expect((await a.engine.status()).state).toBe('synced')
})

it('a device that listens sends a local write without asking first, and goes on listening', async () => {
  await using world = createWorld()
  const a = await world.device('a', { listen: true })
  const b = await world.device('b', { listen: true })
  await a.sync()
  await b.sync()
  const applied = (device: Device) =>
    new Promise<void>((resolve) => device.engine.on(({ type }) => type === 'applied' && resolve()))
  const pushed = new Promise<void>((resolve) => a.engine.on(({ type }) => type === 'pushed' && resolve()))
  const before = world.requests('a').length
  const arrivesAtB = applied(b)
  a.database.write((app) => app.insert('notes', { id: 'n', title: 't', body: 'from a' }))
  await Promise.all([pushed, arrivesAtB])
  expect(world.requests('a').slice(before)[0]).toBe('push')
  equal(a, b)
  const arrivesAtA = applied(a)
  b.database.write((app) => app.update('notes', { id: 'n' }, { body: 'from b' }))
  await arrivesAtA
  equal(a, b)
})

it('I1: rows that are written while they were read ahead of a bulk push are sent as they are now', async () => {
  await using world = createWorld()
  const a = await world.device('a')
  const b = await world.device('b')
  const ids = Array.from({ length: 20_500 }, (_, at) => at + 1)
  a.database.write((app) => {
    for (const id of ids) app.insert('tasks', { id, text: 't', note: null })
  })
  const requests: string[] = []
  a.engine.on((event) => {
    if (event.type !== 'pushed' || requests.length === 6) return
    requests.push(String(event.rows))
    // Rows sent already, on their way, read ahead and not read yet.
    const edit = `edit ${requests.length}`
    a.database.write((app) => {
      for (let id = 1; id <= ids.length; id += 97) app.update('tasks', { id }, { text: edit })
      app.remove('tasks', { id: 20_000 + requests.length })
    })
  })
  await a.sync()
  await a.sync()
  await b.sync()
  equal(a, b)
  expect(requests.length).toBeGreaterThan(3)
  expect(sorted(b, 'tasks')).toHaveLength(ids.length - requests.length)
})

it('delete against edit: the edit wins, whichever side syncs first', async () => {
  for (const first of ['deleter', 'editor'] as const) {
    await using world = createWorld()
    const a = await world.device('a')
    const b = await world.device('b')
    a.database.write((app) => app.insert('notes', { id: 'n', title: 't', body: 'base' }))
    await a.sync()
    await b.sync()
    a.database.write((app) => app.remove('notes', { id: 'n' }))
    b.database.write((app) => app.update('notes', { id: 'n' }, { body: 'edited' }))
    const order = first === 'deleter' ? [a, b, a] : [b, a, b]
    for (const device of order) await device.sync()
    equal(a, b)
    expect(sorted(a, 'notes')).toEqual([{ id: 'n', title: 't', body: 'edited' }])
  }
})

it('16 devices on the same rows converge in bounded rounds', async () => {
  await using world = createWorld()
  const devices: Device[] = []
  for (let at = 0; at < 16; at++) devices.push(await world.device(`d${at}`))
  const [seed] = devices as [Device, ...Device[]]
  seed.database.write((app) => {
    for (let row = 0; row < 10; row++) app.insert('notes', { id: `n${row}`, title: `t${row}`, body: '' })
  })
  for (const device of [seed, ...devices]) await device.sync()
  for (const [at, device] of devices.entries()) {
    device.database.write((app) => {
      for (let row = 0; row < 10; row++) app.update('notes', { id: `n${row}` }, { body: `${at}` })
    })
  }
  await Promise.all(devices.map((device) => device.sync()))
  await Promise.all(devices.map((device) => device.sync()))
  for (const device of devices) equal(seed, device)
})

it('I1: settling a conflict leaves edits of other columns alone', async () => {
  await using world = createWorld()
  const a = await world.device('a')
  const b = await world.device('b', { resolver: manual })
  a.database.write((app) => app.insert('notes', { id: 'n', title: 't', body: 'base' }))
  await a.sync()
  await b.sync()
  a.database.write((app) => app.update('notes', { id: 'n' }, { body: 'from a' }))
  b.database.write((app) => app.update('notes', { id: 'n' }, { body: 'from b' }))
  await a.sync()
  await b.sync()
  const [entry] = await b.store.listInbox({ open: true })
  b.database.write((app) => app.update('notes', { id: 'n' }, { title: 'written since' }))
  await resolveEntry(b.store, entry?.id ?? '', 'remote')
  expect(sorted(b, 'notes')).toEqual([{ id: 'n', title: 'written since', body: 'from a' }])
  await b.sync()
  await a.sync()
  equal(a, b)
})
