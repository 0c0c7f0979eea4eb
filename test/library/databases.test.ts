import { cpSync, existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'

import Database from 'better-sqlite3'
import knexOf from 'knex'
import { expect, it } from 'vitest'

import { createSyncManager } from '../../src/library/create.ts'
import { createLibraryWorld } from './world.ts'

const require = createRequire(import.meta.url)
const NOTES = 'CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, title TEXT)'

const refusal = (work: Promise<unknown>) =>
  work.then(
    () => 'none',
    (error: unknown) => (error as { readonly code?: string }).code,
  )

it('refuses what has no file, or is closed, or no database at all', async () => {
  await using world = await createLibraryWorld()
  const closed = world.better('closed')
  closed.close()
  const inMemory = knexOf({
    client: 'better-sqlite3',
    connection: { filename: ':memory:' },
    useNullAsDefault: true,
  })
  try {
    for (const database of [
      new Database(':memory:'),
      new DatabaseSync(':memory:'),
      new Database(''),
      inMemory,
      closed,
      {} as Database.Database,
    ]) {
      expect(await refusal(createSyncManager(database, world.config('x')))).toBe('unprocessable')
    }
    expect(await refusal(createSyncManager(world.path('x', 'absent.db'), world.config('x')))).toBe(
      'file_not_found',
    )
    expect(await refusal(createSyncManager(world.path('x'), world.config('x')))).toBe('file_not_found')
  } finally {
    await inMemory.destroy()
  }
})

it('refuses a Knex whose connections are of a library that it does not share', async () => {
  await using world = await createLibraryWorld()
  const Client = require('knex/lib/dialects/sqlite3/index.js') as new (...parameters: never[]) => object
  class Other extends Client {
    _driver() {
      return {}
    }
    async acquireRawConnection() {
      return { run() {} }
    }
    async destroyRawConnection() {}
  }
  const knex = knexOf({
    client: Other as never,
    connection: { filename: world.path('a') },
    useNullAsDefault: true,
  })
  try {
    await expect(createSyncManager(knex, world.config('a'))).rejects.toThrow(/client better-sqlite3/)
  } finally {
    await knex.destroy()
  }
})

it('works with the application’s own copy of SQLite, whose locks another copy would not see', async () => {
  await using world = await createLibraryWorld()
  // Another copy of the package, as a project with two versions of it has.
  const source = dirname(require.resolve('better-sqlite3/package.json'))
  const copy = world.path('a', 'node_modules/better-sqlite3')
  for (const part of ['package.json', 'lib', 'prebuilds', 'build']) {
    if (existsSync(join(source, part))) cpSync(join(source, part), join(copy, part), { recursive: true })
  }
  const Copy = require(copy) as typeof Database
  expect(Copy).not.toBe(Database)
  using database = Object.assign(new Copy(world.path('a')), {
    [Symbol.dispose](this: Database.Database) {
      this.close()
    },
  })
  database.exec(NOTES)
  database.exec(`INSERT INTO notes VALUES ('1', 'one')`)
  const manager = await world.manager('a', database)
  await manager.sync()

  const other = new Copy(world.path('a'))
  other.exec(`BEGIN IMMEDIATE; INSERT INTO notes VALUES ('2', 'two')`)
  let done = false
  const sync = manager.sync().then((result) => {
    done = true
    return result
  })
  await pause(300)
  expect(done).toBe(false)
  other.exec('COMMIT')
  other.close()
  expect(await sync).toMatchObject({ pushed: 1 })
})

it('refuses a path of a file that this process has open already', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(NOTES)
  const manager = await world.manager('a', world.path('a'))
  await expect(manager.sync()).rejects.toMatchObject({ code: 'in_use' })
  database.close()
  expect(await manager.sync()).toMatchObject({ operation: 'sync' })
})
