import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'

import type Database from 'better-sqlite3'
import type { Knex } from 'knex'
import { expect, it } from 'vitest'

import { randomInt, seededRandom, type Random } from '../../src/kernel/random.ts'
import type { SyncDatabase } from '../../src/library/database/database.ts'
import type { SyncManager } from '../../src/library/manager.ts'
import { createLibraryWorld, type LibraryWorld } from './world.ts'

/** Triggers as applications have them: a time of change, a history, a counter that each device keeps for itself. */
const SCHEMA = `
  PRAGMA journal_mode = WAL;
  CREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT, changes INTEGER NOT NULL DEFAULT 0);
  CREATE TABLE history (id TEXT PRIMARY KEY, note TEXT, was TEXT, became TEXT);
  CREATE TABLE accounts (id TEXT PRIMARY KEY, balance INTEGER NOT NULL);
  CREATE TABLE counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL);
  INSERT INTO counters VALUES ('notes', 0);
  CREATE TRIGGER touch AFTER UPDATE OF title ON notes BEGIN
    UPDATE notes SET changes = changes + 1 WHERE id = NEW.id;
  END;
  CREATE TRIGGER keep AFTER UPDATE OF title ON notes BEGIN
    INSERT INTO history VALUES (lower(hex(randomblob(16))), NEW.id, OLD.title, NEW.title);
  END;
  CREATE TRIGGER count AFTER INSERT ON notes BEGIN
    UPDATE counters SET n = n + 1 WHERE name = 'notes';
  END;
`

/** Runs SQL inside one transaction that is open over awaits; thrown away when `work` throws. */
type Transact = (work: (run: (sql: string) => Promise<unknown[]>) => Promise<void>) => Promise<void>

interface Application {
  readonly database: SyncDatabase
  readonly transact: Transact
  /** How many transactions go on at the same time. */
  readonly writers: number
}

const LIBRARIES: {
  readonly [library: string]: (world: LibraryWorld, device: string, close: Disposable[]) => Application
} = {
  'better-sqlite3': (world, device) => openPlain(world.better(device)),
  'node:sqlite': (world, device, close) => {
    const database = new DatabaseSync(world.path(device))
    close.push({ [Symbol.dispose]: () => database.close() })
    return openPlain(database)
  },
  Knex: (world, device) => openPool(world.knex(device), 3),
  'Knex with a pool': (world, device) => openPool(world.knex(device, { min: 0, max: 3 }), 1),
}

function openPlain(database: Database.Database | DatabaseSync): Application {
  return {
    database,
    writers: 1,
    async transact(work) {
      database.exec('BEGIN')
      try {
        await work(async (sql) => database.prepare(sql).all())
        database.exec('COMMIT')
      } catch (error) {
        database.exec('ROLLBACK')
        throw error
      }
    },
  }
}

function openPool(knex: Knex, writers: number): Application {
  return {
    database: knex,
    writers,
    transact: (work) => knex.transaction((trx) => work(async (sql) => (await trx.raw(sql)) as unknown[])),
  }
}

class Undone extends Error {}

const ROUNDS = 12

/** Writes by transactions, some of which are undone; answers what was committed: title and changes by id. */
async function write(
  { transact }: Application,
  name: string,
  random: Random,
): Promise<ReadonlyMap<string, { readonly title: string; readonly changes: number }>> {
  const committed = new Map<string, { readonly title: string; readonly changes: number }>()
  for (let round = 0; round < ROUNDS; round++) {
    const pending = new Map(committed)
    const work = transact(async (run) => {
      // It has read first, and writes later: whoever wrote in between would break it.
      await run(`SELECT count(*) FROM notes`)
      await pause(randomInt(random, 8))
      const id = `${name}-${round}`
      await run(`INSERT INTO notes (id, title) VALUES ('${id}', 'new') RETURNING id`)
      pending.set(id, { title: 'new', changes: 0 })
      const other = `${name}-${randomInt(random, round + 1)}`
      const before = pending.get(other)
      if (before !== undefined) {
        const after = { title: `${before.title}.`, changes: before.changes + 1 }
        await run(`UPDATE notes SET title = '${after.title}' WHERE id = '${other}' RETURNING id`)
        pending.set(other, after)
      }
      await run(`UPDATE accounts SET balance = balance - 1 WHERE id = '${name}-from' RETURNING id`)
      await pause(randomInt(random, 5))
      await run(`UPDATE accounts SET balance = balance + 1 WHERE id = '${name}-to' RETURNING id`)
      if (round % 4 === 3) throw new Undone()
    })
    const isDone = await work.then(
      () => true,
      (error: unknown) => {
        if (error instanceof Undone) return false
        throw error
      },
    )
    if (isDone) for (const [id, row] of pending) committed.set(id, row)
    await pause(randomInt(random, 3))
  }
  return committed
}

/** Syncs in every way until it is told to stop; any failure is the test's. */
async function syncAllTheTime(manager: SyncManager, random: Random, signal: AbortSignal): Promise<void> {
  const ways = [
    () => manager.performSync(),
    () => manager.sync(['notes', 'history']),
    () => manager.seed(),
    () => manager.hydrate(),
    () => manager.sync(['accounts']),
    () => manager.sync(),
  ]
  while (!signal.aborted) {
    await ways[randomInt(random, ways.length)]?.()
    await pause(randomInt(random, 3))
  }
}

const readAll = async ({ transact }: Application, sql: string): Promise<unknown[]> => {
  let rows: unknown[] = []
  await transact(async (run) => {
    rows = await run(sql)
  })
  return rows
}

it.each(Object.keys(LIBRARIES))(
  'two applications write all the time, with triggers, while both sync: nothing is lost, doubled or refused (%s)',
  async (library) => {
    await using world = await createLibraryWorld()
    const close: Disposable[] = []
    await using _closing = {
      [Symbol.asyncDispose]: async () => close.forEach((one) => one[Symbol.dispose]()),
    }
    const open = LIBRARIES[library] ?? expect.unreachable()
    for (const device of ['a', 'b']) world.better(device).exec(SCHEMA).close()
    const applications = ['a', 'b'].map((device) => open(world, device, close))
    const managers: SyncManager[] = []
    for (const [at, { database }] of applications.entries()) {
      managers.push(await world.manager('ab'.charAt(at), database, { exclude: ['counters'] }))
    }
    const stopping = new AbortController()
    const syncs = managers.map((manager, at) => syncAllTheTime(manager, seededRandom(at), stopping.signal))
    const writes = applications.flatMap((application, at) =>
      Array.from({ length: application.writers }, async (_, writer) => {
        const name = `${'ab'.charAt(at)}${writer}`
        await application.transact(async (run) => {
          for (const side of ['from', 'to'])
            await run(`INSERT INTO accounts VALUES ('${name}-${side}', 100) RETURNING id`)
        })
        return write(application, name, seededRandom(at * 10 + writer))
      }),
    )
    const committed = await Promise.all(writes).finally(() => stopping.abort())
    await Promise.all(syncs)
    for (let round = 0; round < 2; round++) for (const manager of managers) await manager.sync()
    for (const manager of managers) expect(await manager.sync()).toMatchObject({ pushed: 0, received: 0 })

    const expected = committed
      .flatMap((rows) => [...rows].map(([id, row]) => ({ id, ...row })))
      .toSorted((x, y) => (x.id < y.id ? -1 : 1))
    const edits = expected.reduce((sum, { changes }) => sum + changes, 0)
    const [history] = await Promise.all(
      applications.map((one) => readAll(one, 'SELECT * FROM history ORDER BY id')),
    )
    expect(history).toHaveLength(edits)
    for (const application of applications) {
      expect(await readAll(application, 'SELECT * FROM notes ORDER BY id')).toEqual(expected)
      expect(await readAll(application, 'SELECT * FROM history ORDER BY id')).toEqual(history)
      expect(
        await readAll(
          application,
          `SELECT sum(balance) AS sum, count(*) AS n, min(balance) < 100 AS moved FROM accounts`,
        ),
      ).toEqual([{ sum: committed.length * 200, n: committed.length * 2, moved: 1 }])
      // The counter is each device's own; the trigger counts what came from elsewhere as well, once.
      expect(await readAll(application, 'SELECT n FROM counters')).toEqual([{ n: expected.length }])
    }
    for (const manager of managers) expect(await manager.getConflicts()).toEqual([])
  },
)

it('rows of node:sqlite that are read one by one over awaits, and changed on the way, are waited for', async () => {
  await using world = await createLibraryWorld()
  const database = new DatabaseSync(world.path('a'))
  await using _closing = { [Symbol.asyncDispose]: async () => database.close() }
  const knex = world.knex('b')
  const notes = 'CREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT)'
  database.exec(`${notes}; INSERT INTO notes VALUES ('1', 'one'), ('2', 'two'), ('3', 'three')`)
  await knex.raw(notes)
  const [here, there] = [await world.manager('a', database), await world.manager('b', knex)]
  await here.sync()
  await there.sync()
  await knex('notes').insert({ id: '4', title: 'four' })
  await there.sync()
  const sync = here.sync()
  const change = database.prepare(`UPDATE notes SET title = title || '!' WHERE id = ?`)
  for (const { id } of database.prepare('SELECT id FROM notes').iterate()) {
    await pause(10)
    // Refused from here to the end if the sync had written meanwhile.
    change.run(String(id))
  }
  expect(await sync).toMatchObject({ pushed: 3, received: 1 })
  await there.sync()
  expect(await knex('notes').orderBy('id').pluck('title')).toEqual(['one!', 'two!', 'three!', 'four'])
})

it('the first sync waits for rows that are being read of a file that is not in WAL', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(
    `CREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT); INSERT INTO notes VALUES ('1', 'one'), ('2', 'two')`,
  )
  const manager = await world.manager('a', database)
  const sync = manager.sync()
  let [rows, ticks] = [0, 0]
  const timer = setInterval(() => ticks++, 1)
  for (const _row of database.prepare('SELECT * FROM notes').iterate()) {
    await pause(60)
    rows++
  }
  clearInterval(timer)
  expect(rows).toBe(2)
  // The thread did not stand still, waiting in SQLite for a reader whom it kept from going on.
  expect(ticks).toBeGreaterThan(5)
  expect(await sync).toMatchObject({ pushed: 2 })
})
