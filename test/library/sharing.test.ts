import { copyFileSync, renameSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

import { expect, it } from 'vitest'

import { createSyncManager } from '../../src/library/create.ts'
import { RetryQueue } from '../../src/library/retry-queue.ts'
import { createLibraryWorld } from './world.ts'

const NOTES = 'CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, title TEXT)'
const DIARY = 'CREATE TABLE IF NOT EXISTS diary (id TEXT PRIMARY KEY, text TEXT)'

it('goes on when the handle of another manager is closed or destroyed', async () => {
  await using world = await createLibraryWorld()
  const knex = world.knex('a')
  await knex.raw(NOTES)
  const first = await world.manager('a', knex)
  await first.sync()
  const database = world.better('a')
  const second = await world.manager('a', database)
  await knex('notes').insert({ id: '1', title: 'one' })
  await knex.destroy()
  expect(await second.sync()).toMatchObject({ pushed: 1 })
  await first.close()
  database.exec(`INSERT INTO notes VALUES ('2', 'two')`)
  expect(await second.sync()).toMatchObject({ pushed: 1 })
})

it('two managers on one Knex do not wait for each other', async () => {
  await using world = await createLibraryWorld()
  const knex = world.knex('a')
  await knex.raw(NOTES)
  const [first, second] = [await world.manager('a', knex), await world.manager('a', knex)]
  await knex('notes').insert({ id: '1', title: 'one' })
  const results = await Promise.all([
    first.sync(),
    second.sync(),
    new RetryQueue(knex, world.config('a')).getStats(),
  ])
  expect(results[0].pushed + results[1].pushed).toBe(1)
})

it('syncs the tables that the manager names, whoever looked at the file before', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(
    `${NOTES}; ${DIARY}; INSERT INTO notes VALUES ('1', 'one'); INSERT INTO diary VALUES ('d', 'secret')`,
  )
  const looking = await world.manager('a', database)
  expect(await looking.getSyncStats()).toMatchObject({ totalRecords: 0 })
  const choosing = await world.manager('a', database, { exclude: ['diary'] })
  expect((await choosing.sync()).tables).toEqual({ notes: { pushed: 1, received: 0, conflicts: 0 } })
  expect((await looking.sync()).pushed).toBe(0)
})

it('refuses another SQLite library on a file that is in use, and a transaction', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(NOTES)
  await world.manager('a', database)
  const other = new DatabaseSync(world.path('a'))
  await expect(createSyncManager(other, world.config('a'))).rejects.toThrow('neither sees the locks')
  other.close()
  const knex = world.knex('b')
  await knex.raw(NOTES)
  await knex.transaction(async (transaction) => {
    await expect(createSyncManager(transaction, world.config('b'))).rejects.toThrow('A transaction of Knex')
  })
})

it('notices that another file has taken the place of the one it had', async () => {
  await using world = await createLibraryWorld()
  const file = world.path('a')
  const database = world.better('a')
  database.exec(NOTES)
  const manager = await world.manager('a', database)
  database.exec(`INSERT INTO notes VALUES ('1', 'one')`)
  await manager.sync()
  database.close()
  copyFileSync(file, `${file}.copy`)
  const again = world.better('a')
  again.exec(`INSERT INTO notes VALUES ('2', 'two')`)
  await manager.sync()
  again.close()
  // A backup is put back, as the guide says: closed, and without the files of the old one.
  for (const end of ['-wal', '-shm']) rmSync(`${file}${end}`, { force: true })
  renameSync(`${file}.copy`, file)
  const restored = world.better('a')
  restored.exec(`INSERT INTO notes VALUES ('3', 'three')`)
  const second = await world.manager('a', restored)
  await second.sync()
  expect(restored.prepare('SELECT id FROM notes ORDER BY id').pluck().all()).toEqual(['1', '2', '3'])
  await manager.sync()
  const b = world.better('b')
  b.exec(NOTES)
  await (await world.manager('b', b)).sync()
  expect(b.prepare('SELECT id FROM notes ORDER BY id').pluck().all()).toEqual(['1', '2', '3'])
})
