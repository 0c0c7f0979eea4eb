import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { systemClock, type Clock } from '../../../kernel/clock.ts'
import { seededRandom } from '../../../kernel/random.ts'
import type { Encoded, Fields } from '../../../kernel/values.ts'
import type { SchemaColumn, SchemaTable } from '../../../protocol/schema.ts'
import type {
  ContractStatements,
  OpenOptions,
  StoreHarness,
} from '../../../testing/store-contract/harness.ts'
import { quoteName, type Connection, type Driver } from '../driver/driver.ts'
import { newBounds, pushValue, Template, type Bounds } from './bind.ts'
import { decodeFields, selectList } from './decode.ts'
import { attachFile, openSqliteStore } from './open.ts'
import type { SqliteStore } from './store.ts'
import { readEncoding } from '../values.ts'

/** A path in the folder of temporary files, and how to take away what stands there. */
export function temporaryFile(): { readonly file: string; readonly remove: () => void } {
  const file = join(tmpdir(), `tidemark-${randomUUID()}.db`)
  return {
    file,
    remove: () => {
      for (const end of ['', '-wal', '-shm', '-journal']) rmSync(`${file}${end}`, { force: true })
    },
  }
}

/** The store's contract on a real file, with the application on a connection of its own. */
export function openOn(driver: Driver): (options: OpenOptions) => Promise<StoreHarness> {
  return async ({ tables, space, replica, rows }) => {
    const { file, remove } = temporaryFile()
    const connection = driver.open(file, { create: true })
    const app = applicationOn(connection)
    for (const table of tables) connection.exec(createSql(table))
    for (const [table, list] of Object.entries(rows)) for (const row of list) await app.insert(table, row)
    const settings = { file, driver, clock: systemClock, random: seededRandom(1) }
    await attachFile({ ...settings, space, replica })
    const opened: SqliteStore[] = []
    const open = (): SqliteStore => {
      const store = openSqliteStore(settings)
      opened.push(store)
      return store
    }
    let store = open()
    return {
      get store() {
        return store
      },
      app: {
        ...app,
        rows: async (table) => readRows(connection, table),
        async transaction(run) {
          connection.exec('BEGIN IMMEDIATE')
          try {
            await run(app)
            connection.exec('COMMIT')
          } catch (error) {
            connection.exec('ROLLBACK')
            throw error
          }
        },
        addTable: async (table) => connection.exec(createSql(table)),
        dropTable: async (table) => connection.exec(`DROP TABLE ${quoteName(table)}`),
        addColumn: async (table, column) =>
          connection.exec(`ALTER TABLE ${quoteName(table)} ADD COLUMN ${columnSql(column)}`),
      },
      async reopen() {
        await store[Symbol.asyncDispose]()
        store = open()
      },
      async crash() {
        store = open()
      },
      async [Symbol.asyncDispose]() {
        for (const one of opened) await one[Symbol.asyncDispose]()
        connection.close()
        remove()
      },
    }
  }
}

/** Statements of an application, with encoded values. */
export function applicationOn(connection: Connection): ContractStatements {
  const encoding = readEncoding(connection)
  const run = (fields: readonly Fields[], build: (place: (at: number) => string) => string): void => {
    const bounds = newBounds()
    for (const part of fields) for (const value of Object.values(part)) bind(bounds, value)
    new Template(connection, build).run(bounds)
  }
  const bind = (bounds: Bounds, value: Encoded): void => {
    if (!pushValue(bounds, value, encoding)) throw new TypeError('SQLite has no such value')
  }
  const terms = (fields: Fields, place: (at: number) => string, from: number, between: string): string =>
    Object.keys(fields)
      .map((name, at) => `${quoteName(name)} ${between} ${place(from + at)}`)
      .join(between === '=' ? ', ' : ' AND ')
  return {
    async insert(table, row) {
      const names = Object.keys(row)
      run(
        [row],
        (place) =>
          `INSERT INTO ${quoteName(table)} (${names.map(quoteName).join(', ')}) VALUES (${names.map((_, at) => place(at)).join(', ')})`,
      )
    },
    async update(table, where, set) {
      const count = Object.keys(set).length
      run(
        [set, where],
        (place) =>
          `UPDATE ${quoteName(table)} SET ${terms(set, place, 0, '=')} WHERE ${terms(where, place, count, 'IS')}`,
      )
    },
    async remove(table, where) {
      run([where], (place) => `DELETE FROM ${quoteName(table)} WHERE ${terms(where, place, 0, 'IS')}`)
    },
  }
}

/** Every row, encoded. */
export function readRows(connection: Connection, table: string): readonly Fields[] {
  const names = connection
    .prepare('SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0')
    .all(table)
    .map(([name]) => String(name))
  return connection
    .prepare(`SELECT ${selectList('', names, 'exact')} FROM ${quoteName(table)}`)
    .all()
    .map((row) => decodeFields(row, 0, names, 'exact', readEncoding(connection)) ?? {})
}

/** A table of the contract as SQL. */
export function createSql(table: SchemaTable): string {
  const columns = table.columns.map((column) => {
    const isAlias = table.rowidAlias === true && table.key[0] === column.name
    return `${columnSql(column)}${isAlias ? ' PRIMARY KEY' : ''}`
  })
  const key = table.rowidAlias === true ? [] : [`PRIMARY KEY (${table.key.map(quoteName).join(', ')})`]
  const foreign = table.foreignKeys.map(
    (reference) =>
      `FOREIGN KEY (${reference.columns.map(quoteName).join(', ')}) REFERENCES ${quoteName(reference.table)} (${reference.references.map(quoteName).join(', ')})${reference.onDelete === undefined ? '' : ` ON DELETE ${reference.onDelete}`}`,
  )
  const indexes = table.unique.map(
    ({ index, terms }) =>
      `;CREATE UNIQUE INDEX ${quoteName(index ?? '')} ON ${quoteName(table.name)} (${terms.map(({ column }) => quoteName(column ?? '')).join(', ')})`,
  )
  return `CREATE TABLE ${quoteName(table.name)} (${[...columns, ...key, ...foreign].join(', ')})${table.strict === true ? ' STRICT' : ''}${indexes.join('')}`
}

function columnSql(column: SchemaColumn): string {
  const collate = column.collation === undefined ? '' : ` COLLATE ${column.collation}`
  const fallback = column.default === undefined ? '' : ` DEFAULT (${column.default})`
  return `${quoteName(column.name)} ${column.type}${column.notNull === true ? ' NOT NULL' : ''}${collate}${fallback}`
}

export interface OpenFile extends AsyncDisposable {
  readonly file: string
  /** The application's connection. */
  readonly app: Connection
  readonly store: SqliteStore
  reopen(): Promise<void>
}

/** A file made by these statements, under sync, with the application's own connection beside the store's. */
export async function openFile(
  driver: Driver,
  sql: string,
  options: { readonly tables?: readonly string[]; readonly clock?: Clock } = {},
): Promise<OpenFile> {
  const { file, remove } = temporaryFile()
  const app = driver.open(file, { create: true })
  app.exec(sql)
  const settings = { file, driver, clock: options.clock ?? systemClock, random: seededRandom(7) }
  const { tables } = options
  await attachFile({
    ...settings,
    space: 'space',
    replica: 'replica-a',
    ...(tables === undefined ? {} : { tables }),
  })
  let store = openSqliteStore(settings)
  return {
    file,
    app,
    get store() {
      return store
    },
    async reopen() {
      await store[Symbol.asyncDispose]()
      store = openSqliteStore(settings)
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
      app.close()
      remove()
    },
  }
}

/** The answer of a query, integers as numbers. */
export const all = (app: Connection, sql: string): readonly (readonly unknown[])[] =>
  app
    .prepare(sql)
    .all()
    .map((row) => row.map((value) => (typeof value === 'bigint' ? Number(value) : value)))
