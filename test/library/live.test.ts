import { expect, it, vi } from 'vitest'

import type { SyncManager } from '../../src/library/manager.ts'
import { createLibraryWorld } from './world.ts'

const NOTES = 'CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, title TEXT)'
const LIVE = { autoSyncEnabled: true, live: true }

const next = (manager: SyncManager, name: 'sync_completed' | 'sync_error') =>
  new Promise<unknown>((resolve) => {
    const listener = ({ data }: { readonly data: unknown }) => {
      manager.removeEventListener(name, listener)
      resolve(data)
    }
    manager.addEventListener(name, listener)
  })

it('what one device writes is on the other without being asked for', async () => {
  await using world = await createLibraryWorld()
  const [a, knex] = [world.better('a'), world.knex('b')]
  a.exec(NOTES)
  await knex.raw(NOTES)
  const [here, there] = [await world.manager('a', a, LIVE), await world.manager('b', knex, LIVE)]
  await Promise.all([next(here, 'sync_completed'), next(there, 'sync_completed')])
  for (let n = 1; n <= 3; n++) {
    const [sent, came] = [next(here, 'sync_completed'), next(there, 'sync_completed')]
    a.prepare('INSERT INTO notes VALUES (?, ?)').run(String(n), 'from a')
    expect(await sent).toMatchObject({
      operation: 'sync',
      result: { pushed: 1, tables: { notes: { pushed: 1 } } },
    })
    expect(await came).toMatchObject({ result: { received: 1 } })
    expect(await knex('notes').select('id')).toHaveLength(n)
  }
  const back = next(here, 'sync_completed')
  await knex.transaction(async (transaction) => {
    await transaction('notes').where({ id: '1' }).update({ title: 'from b' })
  })
  expect(await back).toMatchObject({ result: { received: 1, pushed: 0 } })
  expect(a.prepare(`SELECT title FROM notes WHERE id = '1'`).pluck().get()).toBe('from b')
  expect((await here.getSyncStats()).syncHistory.length).toBeGreaterThan(3)
})

it('an operation comes in between, and a stopped one is still', async () => {
  await using world = await createLibraryWorld()
  const [a, b] = [world.better('a'), world.better('b')]
  for (const database of [a, b]) database.exec(NOTES)
  const [here, there] = [await world.manager('a', a, LIVE), await world.manager('b', b)]
  await next(here, 'sync_completed')
  b.exec(`INSERT INTO notes VALUES ('1', 'one')`)
  const came = next(here, 'sync_completed')
  await there.sync()
  await came
  expect(await here.sync()).toMatchObject({ pushed: 0, received: 0 })
  here.stopAutoSync()
  await here.sync()
  const told = vi.fn()
  here.addEventListener('sync_started', told)
  a.exec(`INSERT INTO notes VALUES ('2', 'two')`)
  b.exec(`INSERT INTO notes VALUES ('3', 'three')`)
  await there.sync()
  expect(await there.sync()).toMatchObject({ received: 0 })
  expect(told).not.toHaveBeenCalled()
  here.updateConfig(LIVE)
  await next(here, 'sync_completed')
  expect(await there.sync()).toMatchObject({ received: 1 })
})

it('tells when the cloud is away, and goes on when it is there', async () => {
  await using world = await createLibraryWorld()
  const a = world.better('a')
  a.exec(NOTES)
  const manager = await world.manager('a', a, LIVE)
  await next(manager, 'sync_completed')
  const failed = next(manager, 'sync_error')
  await world.cloud.close()
  a.exec(`INSERT INTO notes VALUES ('1', 'one')`)
  expect(await failed).toMatchObject({ error: { message: expect.stringContaining('Not connected') } })
  await manager.close()
})

it('joins nothing between operations that an operation was refused to join', async () => {
  await using world = await createLibraryWorld()
  const [a, b] = [world.better('a'), world.better('b')]
  for (const [name, database] of Object.entries({ a, b }))
    database.exec(`${NOTES}; INSERT INTO notes VALUES ('${name}', 'own')`)
  await (await world.manager('a', a)).sync()
  const refusing = await world.manager('b', b, { ...LIVE, merge: false })
  expect(await next(refusing, 'sync_error')).toMatchObject({ error: { code: 'needs_merge' } })
  const told = vi.fn()
  refusing.addEventListener('sync_completed', told)
  b.exec(`UPDATE notes SET title = 'still own'`)
  // As long as many requests take: what was begun between would have asked by then.
  for (let round = 0; round < 100; round++)
    expect((await world.cloud.ask('GET', '/sync/status?space=default')).json).toMatchObject({ records: 1 })
  await expect(refusing.sync()).rejects.toMatchObject({ code: 'needs_merge' })
  expect(told).not.toHaveBeenCalled()
  expect(b.prepare('SELECT id FROM notes').pluck().all()).toEqual(['b'])
})
