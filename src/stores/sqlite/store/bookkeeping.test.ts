import { describe, expect, test } from 'vitest'

import { dirtyKeys, pull, push, readAllDirty, record } from '../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import type { Driver } from '../driver/driver.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { openFile, temporaryFile } from './harness.ts'
import { Meta } from './meta.ts'
import { attachFile, inspectFile, openSqliteStore } from './open.ts'

/** As their tools make them. */
const MADE_BY_TOOLS: { readonly [table: string]: string } = {
  knex_migrations: 'id integer not null primary key autoincrement, name varchar(255), batch integer',
  knex_migrations_lock: '"index" integer not null primary key autoincrement, is_locked integer',
  kysely_migration: 'name varchar(255) not null primary key, timestamp varchar(255) not null',
  kysely_migration_lock: 'id varchar(255) not null primary key, is_locked integer default 0 not null',
  __drizzle_migrations: 'id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric',
  _prisma_migrations: 'id TEXT PRIMARY KEY NOT NULL, checksum TEXT NOT NULL, migration_name TEXT NOT NULL',
  SequelizeMeta: 'name VARCHAR(255) NOT NULL UNIQUE PRIMARY KEY',
  schema_migrations: 'version varchar(128) primary key',
  ar_internal_metadata: 'key varchar NOT NULL PRIMARY KEY, value varchar',
  __EFMigrationsHistory: 'MigrationId TEXT NOT NULL CONSTRAINT pk PRIMARY KEY, ProductVersion TEXT NOT NULL',
  goose_db_version: 'id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER',
  flyway_schema_history: 'installed_rank INT NOT NULL PRIMARY KEY, version VARCHAR(50), success BOOLEAN',
  alembic_version:
    'version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)',
  django_migrations: 'id integer NOT NULL PRIMARY KEY AUTOINCREMENT, app varchar(255), name varchar(255)',
  typeorm_metadata: 'type varchar NOT NULL PRIMARY KEY, value text',
}

const NAMES = Object.keys(MADE_BY_TOOLS).sort()
const ALL = Object.entries(MADE_BY_TOOLS)
  .map(([name, columns]) => `CREATE TABLE "${name}" (${columns});`)
  .join('\n')
const NOTES = 'CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT);'
const KNEX = `CREATE TABLE knex_migrations (${MADE_BY_TOOLS['knex_migrations']});`
const REASON = 'it records the migrations of this one file, and is synced only where it is named'

async function withFile(driver: Driver, sql: string, use: (file: string) => Promise<void>): Promise<void> {
  const { file, remove } = temporaryFile()
  const connection = driver.open(file, { create: true })
  connection.exec(sql)
  connection.close()
  await use(file).finally(remove)
}

const namesOf = (tables: readonly { readonly name: string }[]) => tables.map(({ name }) => name)

describe.each([betterSqlite3, nodeSqlite])('tables of migration tools ($name)', (driver) => {
  test('are left out, each with the reason, and the others are synced', async () => {
    await withFile(driver, NOTES + ALL, async (file) => {
      const plan = inspectFile({ file, driver })
      expect(plan.tables).toEqual(['notes'])
      expect(plan.refused).toEqual(NAMES.map((table) => ({ table, reason: REASON })))
      expect(await attachFile({ file, driver, space: 's' })).toMatchObject(plan)
    })
    await withFile(driver, ALL, async (file) => {
      await expect(attachFile({ file, driver, space: 's' })).rejects.toMatchObject({
        code: 'nothing_to_sync',
      })
    })
  })

  test('are left out when they come while the file is attached, or by another name', async () => {
    await using f = await openFile(driver, NOTES)
    f.app.exec(`${ALL} INSERT INTO knex_migrations (name, batch) VALUES ('one', 1);
      CREATE TABLE other (id INTEGER PRIMARY KEY); INSERT INTO other VALUES (1);`)
    expect(await dirtyKeys(f.store)).toEqual(['other [1]'])
    const { tables, refused } = await f.store.schema()
    expect(namesOf(tables)).toEqual(['notes', 'other'])
    expect(refused).toEqual(NAMES.map((table) => ({ table, reason: REASON })))
    await push(f.store, 1)
    f.app.exec('ALTER TABLE other RENAME TO d1_migrations')
    expect(namesOf((await f.store.schema()).tables)).toEqual(['notes'])
    expect(await readAllDirty(f.store)).toEqual([])
    expect(f.app.value('SELECT count(*) FROM d1_migrations')).toBe(1n)
    // Nothing of them is taken from elsewhere either.
    const others = record('knex_migrations', 5, { id: 1, name: 'theirs', batch: 1 })
    expect(await pull(f.store, [others])).toMatchObject({ applied: 0 })
    expect(f.app.value('SELECT name FROM knex_migrations')).toBe('one')
  })

  test('are synced where they are named, and attach warns of it', async () => {
    await withFile(driver, NOTES + ALL, async (file) => {
      const tables = ['notes', ...NAMES].sort()
      const plan = await attachFile({ file, driver, space: 's', tables })
      expect(plan.tables).toEqual(tables)
      expect(plan.refused).toEqual([])
      expect(plan.warnings.map(({ table }) => table)).toEqual(NAMES)
      const app = driver.open(file)
      app.exec("INSERT INTO knex_migrations (name, batch) VALUES ('one', 1)")
      app.close()
      {
        await using store = openSqliteStore({ file, driver })
        expect(await dirtyKeys(store)).toEqual(['knex_migrations [1]'])
        await push(store, 1)
        await pull(store, [record('knex_migrations', 2, { id: 2, name: 'theirs', batch: 1 })])
      }
      await using store = openSqliteStore({ file, driver })
      expect(namesOf((await store.schema()).tables)).toEqual(tables)
      expect(await readAllDirty(store)).toEqual([])
    })
  })

  test('can be synced beside all others, those of later too', async () => {
    await withFile(driver, NOTES + ALL, async (file) => {
      await attachFile({ file, driver, space: 's', bookkeeping: ['knex_migrations'] })
      const app = driver.open(file)
      app.exec(
        'CREATE TABLE other (id INTEGER PRIMARY KEY); CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY)',
      )
      app.close()
      await using store = openSqliteStore({ file, driver })
      expect(namesOf((await store.schema()).tables)).toEqual(['knex_migrations', 'notes', 'other'])
    })
  })

  test('a file that synced one goes on without it: no row goes here, and none is deleted elsewhere', async () => {
    await using f = await openFile(driver, NOTES + KNEX, { tables: ['notes', 'knex_migrations'] })
    f.app.exec("INSERT INTO knex_migrations (name, batch) VALUES ('one', 1), ('two', 1)")
    await push(f.store, 1)
    f.app.exec(
      "INSERT INTO knex_migrations (name, batch) VALUES ('three', 2); DELETE FROM knex_migrations WHERE id = 1",
    )
    // As a version had it that did not know the tool.
    new Meta(f.app).set('choice', { tables: null, exclude: [] })
    await f.reopen()
    const { tables, refused } = await f.store.schema()
    expect(namesOf(tables)).toEqual(['notes'])
    expect(refused).toEqual([{ table: 'knex_migrations', reason: REASON }])
    expect(await readAllDirty(f.store)).toEqual([])
    const named = f.app.prepare('SELECT name FROM knex_migrations ORDER BY id')
    expect(named.all()).toEqual([['two'], ['three']])
    f.app.exec(
      "INSERT INTO notes VALUES (1, 'x'); INSERT INTO knex_migrations (name, batch) VALUES ('four', 3)",
    )
    expect(await dirtyKeys(f.store)).toEqual(['notes [1]'])
    expect(
      f.app.value(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'knex_migrations'",
      ),
    ).toBe(0n)
    // Where it is named again, what differs is found: nothing that was done meanwhile is missed.
    new Meta(f.app).set('choice', { tables: ['notes', 'knex_migrations'], exclude: [] })
    await f.reopen()
    expect(await dirtyKeys(f.store)).toEqual([
      'knex_migrations [2]',
      'knex_migrations [3]',
      'knex_migrations [4]',
      'notes [1]',
    ])
  })
})
