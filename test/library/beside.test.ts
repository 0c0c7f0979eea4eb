import { readdirSync, readlinkSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

import Database from 'better-sqlite3'
import { expect, it } from 'vitest'

import { createSyncManager } from '../../src/library/create.ts'
import { RetryQueue } from '../../src/library/retry-queue.ts'
import { fileTag } from '../../src/machine/files.ts'
import { takeLock } from '../../src/machine/lock.ts'
import { createLibraryWorld } from './world.ts'

const NOTES = 'CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, title TEXT)'

/** Collects Tidemark's own connections, for the system keeps closed ones open while SQLite has a lock on the file. */
function collectConnections() {
  const connections: { readonly open: boolean }[] = []
  return {
    setup: (connection: unknown) => void connections.push(connection as { readonly open: boolean }),
    countOpen: () => connections.filter(({ open }) => open).length,
  }
}

/** How many files of this name the process has open. */
const countOpen = (file: string): number =>
  readdirSync('/proc/self/fd').filter((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`) === file
    } catch {
      return false
    }
  }).length

const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'none',
    (error: { readonly code?: unknown }) => error.code,
  )

it('prepares each connection as the application does, or a schema with functions of its own could not be read', async () => {
  await using world = await createLibraryWorld()
  const setup = (database: unknown) => {
    const it = database as Database.Database
    it.function('folded', { deterministic: true }, (text) => String(text).toLowerCase())
  }
  const database = world.better('a')
  setup(database)
  database.exec(
    `${NOTES}; CREATE UNIQUE INDEX by_title ON notes (folded(title)); INSERT INTO notes VALUES ('1', 'One')`,
  )
  const connections: unknown[] = []
  const manager = await world.manager('a', database, {
    setup: (connection) => {
      connections.push(connection)
      setup(connection)
    },
  })
  await manager.sync()
  expect(await manager.getSyncStats()).toMatchObject({ totalRecords: 1, pendingOperations: 0 })
  // The application's is one of them.
  expect(connections.length).toBeGreaterThanOrEqual(countOpen(world.path('a')) - 1)
  const unprepared = connections.filter((connection) => {
    const { open } = connection as Database.Database
    return open && codeOfSync(() => (connection as Database.Database).prepare('SELECT folded(1)')) !== 'none'
  })
  expect(unprepared).toEqual([])
})

function codeOfSync(work: () => unknown): string {
  try {
    work()
    return 'none'
  } catch {
    return 'threw'
  }
}

it('closes at once while the application is inside a transaction, and leaves nothing open', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(`${NOTES}; INSERT INTO notes VALUES ('1', 'one')`)
  const { setup, countOpen: countOurs } = collectConnections()
  const manager = await world.manager('a', database, { setup, waitMs: 600_000 })
  await manager.sync()
  expect(countOurs()).toBeGreaterThan(1)
  database.exec(`BEGIN IMMEDIATE; INSERT INTO notes VALUES ('2', 'two')`)
  const syncing = codeOf(manager.sync())
  const looking = codeOf(manager.getSyncStats())
  await new Promise((resolve) => setTimeout(resolve, 50))
  await manager.close()
  expect(await syncing).toBe('aborted')
  expect(['none', 'aborted']).toContain(await looking)
  expect(countOurs()).toBe(0)
  database.exec('COMMIT')
})

it('closes inside a transaction of Knex', async () => {
  await using world = await createLibraryWorld()
  const knex = world.knex('a')
  await knex.raw(NOTES)
  const { setup, countOpen: countOurs } = collectConnections()
  const manager = await world.manager('a', knex, { setup, waitMs: 600_000 })
  await manager.sync()
  await knex.transaction(async (transaction) => {
    await transaction('notes').insert({ id: '1', title: 'one' })
    const syncing = codeOf(manager.sync())
    await new Promise((resolve) => setTimeout(resolve, 50))
    await manager.close()
    expect(await syncing).toBe('aborted')
  })
  // The connection is given back.
  expect(await knex('notes').select()).toEqual([{ id: '1', title: 'one' }])
  expect(countOurs()).toBe(0)
})

it('says of a Knex that was destroyed that it is closed', async () => {
  await using world = await createLibraryWorld()
  const knex = world.knex('a')
  await knex.raw(NOTES)
  await knex.destroy()
  await expect(createSyncManager(knex, world.config('a'))).rejects.toMatchObject({
    code: 'unprocessable',
    message: 'The database is closed',
  })
})

it('a manager that begins inside a transaction of Knex says so, and not after a minute', async () => {
  await using world = await createLibraryWorld()
  const knex = world.knex('a')
  await knex.raw(NOTES)
  await knex.transaction(async () => {
    await expect(createSyncManager(knex, world.config('a', { waitMs: 50 }))).rejects.toMatchObject({
      code: 'database_locked',
      message: expect.stringContaining('inside a transaction'),
    })
  })
})

it('never writes into a transaction of the application that has only read so far', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(`${NOTES}; INSERT INTO notes VALUES ('0', '')`)
  const manager = await world.manager('a', database)
  await manager.sync()
  let running = true
  const application = (async () => {
    for (let n = 0; n < 200; n++) {
      database.exec('BEGIN')
      database.prepare('SELECT count(*) FROM notes').get()
      for (let turn = 0; turn < n % 5; turn++) await Promise.resolve()
      if (n % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
      // Refused with SQLITE_BUSY_SNAPSHOT when somebody else has written since.
      database.exec(`UPDATE notes SET title = title || '.'; COMMIT`)
      for (let turn = 0; turn < n % 7; turn++) await Promise.resolve()
      await new Promise((resolve) => setImmediate(resolve))
    }
    running = false
  })()
  const syncing = (async () => {
    while (running) await manager.sync()
  })()
  await Promise.all([application, syncing])
  expect(database.prepare('SELECT length(title) AS n FROM notes').get()).toEqual({ n: 200 })
})

it('writes nothing into a transaction that has only read, not even while it closes', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(`${NOTES}; INSERT INTO notes VALUES ('1', 'one')`)
  const asked = Promise.withResolvers<void>()
  let isHeld = false
  const manager = await world.manager('a', database, {
    fetch: (input, init) => {
      if (!isHeld) return fetch(input, init)
      asked.resolve()
      return new Promise(() => {})
    },
  })
  await manager.sync()
  isHeld = true
  const syncing = codeOf(manager.sync())
  await asked.promise
  database.exec('BEGIN')
  database.prepare('SELECT count(*) FROM notes').get()
  await manager.close()
  expect(await syncing).toBe('aborted')
  database.exec(`INSERT INTO notes VALUES ('2', 'two'); COMMIT`)
})

it('looks at a file that another process syncs, while its own sync is refused', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(`${NOTES}; INSERT INTO notes VALUES ('1', 'one')`)
  const first = await world.manager('a', database)
  await first.sync()
  await first.close()
  const lock = takeLock(world.path('a', 'tidemark/run'), fileTag(world.path('a')))
  const manager = await world.manager('a', database)
  const syncing = codeOf(manager.sync())
  const looks = await Promise.all(Array.from({ length: 5 }, () => manager.getSyncStats()))
  expect(looks.map(({ totalRecords }) => totalRecords)).toEqual([1, 1, 1, 1, 1])
  expect(await syncing).toBe('in_use')
  lock.release()
  await manager.sync()
})

it('of a path: looks and syncs at once; looks no more than it syncs where another library has the file', async () => {
  await using world = await createLibraryWorld()
  const file = world.path('a')
  const database = new Database(file)
  database.exec(`${NOTES}; INSERT INTO notes VALUES ('1', 'one')`)
  database.close()
  const manager = await world.manager('a', file)
  const [, stats] = await Promise.all([manager.sync(), manager.getSyncStats(), manager.sync()])
  expect(stats.syncHistory).toBeInstanceOf(Array)
  const looks = Promise.all([manager.getSyncStats(), new RetryQueue(file, world.config('a')).getStats()])
  await looks
  await manager.close()
  const again = await world.manager('a', file)
  expect(await Promise.all([again.getSyncStats(), codeOf(again.sync())])).toMatchObject([
    { totalRecords: 1 },
    'none',
  ])
  await again.close()
  expect(countOpen(file)).toBe(0)
  const theirs = new DatabaseSync(file)
  // Closing our connection would take the locks of theirs away.
  expect(await codeOf(new RetryQueue(file, world.config('a')).getStats())).toBe('in_use')
  expect(countOpen(file)).toBe(1)
  theirs.close()
})

it('a manager that could not be made keeps nothing of the file', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(NOTES)
  const { setup, countOpen: countOurs } = collectConnections()
  expect(await codeOf(createSyncManager(database, world.config('a', { endpoint: 'nonsense' })))).toBe(
    'config_invalid',
  )
  const manager = await world.manager('a', database, { setup })
  await manager.sync()
  await manager.close()
  expect(countOurs()).toBe(0)
  takeLock(world.path('a', 'tidemark/run'), fileTag(world.path('a'))).release()
})

it('works beside a class of the application’s that is derived from better-sqlite3', async () => {
  await using world = await createLibraryWorld()
  let made = 0
  class AppDatabase extends Database {
    constructor() {
      super(world.path('a'))
      made++
      this.exec(NOTES)
    }
  }
  const database = new AppDatabase()
  const manager = await world.manager('a', database)
  expect(await manager.sync()).toMatchObject({ recordsProcessed: 0 })
  expect(made).toBe(1)
  database.close()
})
