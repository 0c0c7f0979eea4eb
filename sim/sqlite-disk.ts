import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'

import type { InboxDraft, InboxEntry, QuarantineEntry } from '../src/engine/inbox.ts'
import { keyOf } from '../src/kernel/keys.ts'
import { encodeInt, encodeReal, type Encoded, type Fields } from '../src/kernel/values.ts'
import type { WireRecord } from '../src/protocol/records.ts'
import type { SchemaTable } from '../src/protocol/schema.ts'
import { markTable } from '../src/stores/sqlite/capture/names.ts'
import { betterSqlite3 } from '../src/stores/sqlite/driver/better-sqlite3.ts'
import type { Connection, Driver } from '../src/stores/sqlite/driver/driver.ts'
import type { MetaValues } from '../src/stores/sqlite/store/meta.ts'
import { stateTable } from '../src/stores/sqlite/store/names.ts'
import { attachFile, openSqliteStore } from '../src/stores/sqlite/store/open.ts'
import { StateFlag } from '../src/stores/sqlite/store/state-tables.ts'
import type { Application, Statement } from './application.ts'
import type { Disk, DiskOptions } from './disk.ts'
import type { Tables } from './model.ts'
import { rowKey, TABLE_NAMES, tablesOf } from './shape.ts'
import { rowId, type DiskView } from './view.ts'

/** Files live in memory where the system has such a folder: a simulation needs no durability. */
const FOLDER = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
/** The simulation's own clock inside the triggers. */
const CLOCK = 'sim_now()'

/** A real SQLite file with the application's own connection; each connection of the engine's is another one. */
export async function createSqliteDisk(options: DiskOptions): Promise<Disk> {
  const folder = mkdtempSync(join(FOLDER, 'tidemark-sim-'))
  const file = join(folder, 'file.db')
  const setup = (native: unknown): void => {
    const database = native as Database.Database
    database.function('sim_now', { deterministic: false }, () => BigInt(Math.floor(options.now())))
    database.pragma('synchronous = OFF')
  }
  const opened = new Set<Connection>()
  const driver: Driver = {
    ...betterSqlite3,
    open(path, how) {
      const connection = betterSqlite3.open(path, { ...how, setup })
      opened.add(connection)
      return connection
    },
  }
  const random = options.random
  const clockExpression = CLOCK
  if (options.from !== undefined) writeFileSync(file, options.from.content as Uint8Array)
  let app = openApplication(file, setup)
  if (options.from === undefined) {
    for (const table of tablesOf(options.variant)) app.exec(createSql(table))
    const clock = { now: options.now, after: () => () => {} }
    const { space, replica } = options
    await attachFile({ file, driver, clock, random, clockExpression, space, replica })
  }
  closeAll(opened)
  let viewer = openViewer(file)
  let seen: bigint | null = null
  let view: DiskView | null = null
  const look = (): DiskView => {
    const version = viewer.pragma('data_version', { simple: true }) as bigint
    if (view === null || version !== seen) view = readView(viewer)
    seen = version
    return view
  }
  return {
    application: createApplication(() => app),
    set full(full: boolean) {
      const engines = [...opened].map((one) => Reflect.get(one, 'native') as Database.Database)
      for (const connection of [app, ...engines].filter((one) => one.open)) {
        const pages = full ? Number(connection.pragma('page_count', { simple: true })) : 1_073_741_823
        connection.pragma(`max_page_count = ${pages}`)
      }
    },
    open: async (clock) => openSqliteStore({ file, driver, clock, random, clockExpression }),
    kill: () => closeAll(opened),
    image: () => ({ content: app.serialize(), view: look() }),
    async restore(image) {
      closeAll(opened)
      viewer.close()
      app.close()
      for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(file + suffix, { force: true })
      writeFileSync(file, image.content as Uint8Array)
      app = openApplication(file, setup)
      viewer = openViewer(file)
      view = null
    },
    view: look,
    destroy() {
      closeAll(opened)
      viewer.close()
      app.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function closeAll(opened: Set<Connection>): void {
  for (const connection of opened) {
    try {
      connection.close()
    } catch {
      // Closed by its own store already.
    }
  }
  opened.clear()
}

function openApplication(file: string, setup: (native: unknown) => void): Database.Database {
  const database = new Database(file)
  database.defaultSafeIntegers(true)
  setup(database)
  database.pragma('foreign_keys = ON')
  return database
}

function openViewer(file: string): Database.Database {
  const database = new Database(file, { readonly: true })
  database.defaultSafeIntegers(true)
  return database
}

const quote = (name: string): string => `"${name}"`

function createSql({ name, columns, key, rowidAlias, unique, foreignKeys }: SchemaTable): string {
  const parts = columns.map((column) => {
    const primary = rowidAlias === true && column.name === key[0] ? ' PRIMARY KEY' : ''
    return `${quote(column.name)} ${column.type}${primary}${column.notNull === true ? ' NOT NULL' : ''}`
  })
  if (rowidAlias !== true) parts.push(`PRIMARY KEY (${key.map(quote).join(', ')})`)
  for (const foreign of foreignKeys) {
    const action = foreign.onDelete === undefined ? '' : ` ON DELETE ${foreign.onDelete}`
    parts.push(
      `FOREIGN KEY (${foreign.columns.map(quote).join(', ')}) REFERENCES ${quote(foreign.table)}${action}`,
    )
  }
  const indexes = unique.map(({ index, terms }) => {
    const list = terms.map(({ column }) => quote(column ?? '')).join(', ')
    return `CREATE UNIQUE INDEX ${quote(index ?? '')} ON ${quote(name)} (${list});`
  })
  return `CREATE TABLE ${quote(name)} (${parts.join(', ')}); ${indexes.join(' ')}`
}

function createApplication(database: () => Database.Database): Application {
  return {
    write(statements) {
      const run = database().transaction(() => {
        for (const statement of statements) runStatement(database(), statement)
      })
      return allowed(() => run.immediate())
    },
    read: () => readTables(database()),
    addColumn: (table, column) =>
      allowed(() => database().exec(`ALTER TABLE ${quote(table)} ADD COLUMN ${quote(column)} TEXT`)),
    hasColumn: (table, column) => columnsOf(database(), table).includes(column),
  }
}

/** False when a constraint, or a full disk, refused it. */
function allowed(work: () => unknown): boolean {
  try {
    work()
    return true
  } catch (thrown) {
    if (thrown instanceof Database.SqliteError && /^SQLITE_(CONSTRAINT|FULL)/.test(thrown.code)) return false
    throw thrown
  }
}

function runStatement(database: Database.Database, statement: Statement): void {
  const run = (sql: string, values: readonly (Encoded | undefined)[]) =>
    database.prepare(sql).run(...values.map(toSql))
  const table = quote(statement.table)
  const terms = (fields: Fields, between: string) =>
    Object.keys(fields)
      .map((name) => `${quote(name)} = ?`)
      .join(between)
  switch (statement.op) {
    case 'delete':
      return void run(
        `DELETE FROM ${table} WHERE ${terms(statement.where, ' AND ')}`,
        Object.values(statement.where),
      )
    case 'update': {
      const sql = `UPDATE ${table} SET ${terms(statement.set, ', ')} WHERE ${terms(statement.where, ' AND ')}`
      return void run(sql, [...Object.values(statement.set), ...Object.values(statement.where)])
    }
    case 'insert':
    case 'replace': {
      const names = Object.keys(statement.row)
      const verb = statement.op === 'replace' ? 'INSERT OR REPLACE' : 'INSERT'
      const sql = `${verb} INTO ${table} (${names.map(quote).join(', ')}) VALUES (${names.map(() => '?').join(', ')})`
      return void run(sql, Object.values(statement.row))
    }
  }
}

function toSql(value: Encoded | undefined): string | bigint | number | null {
  if (value === undefined || value === null) return null
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : value
  if (typeof value === 'string') return value
  const text = (value as { readonly $int?: string }).$int
  if (text === undefined) throw new TypeError('a value that the simulation does not write')
  return BigInt(text)
}

function fromSql(value: unknown): Encoded {
  if (typeof value === 'bigint') return encodeInt(value)
  if (typeof value === 'number') return encodeReal(value)
  return typeof value === 'string' ? value : null
}

function columnsOf(database: Database.Database, table: string): readonly string[] {
  const rows = database.pragma(`table_info(${quote(table)})`) as { readonly name: string }[]
  return rows.map(({ name }) => name)
}

function readTables(database: Database.Database): Tables {
  const tables = new Map<string, ReadonlyMap<string, Fields>>()
  for (const table of TABLE_NAMES) {
    const rows = new Map<string, Fields>()
    for (const row of database.prepare(`SELECT * FROM ${quote(table)}`).all() as {
      [name: string]: unknown
    }[]) {
      const fields = Object.fromEntries(Object.entries(row).map(([name, value]) => [name, fromSql(value)]))
      rows.set(rowKey(table, fields), fields)
    }
    tables.set(table, rows)
  }
  return tables
}

type Row = { readonly [name: string]: unknown }

/** The key of a mark or a state: its columns are called k0, k1 and so on. */
function keyIn(row: Row): string {
  const names = Object.keys(row).filter((name) => /^k\d+$/.test(name))
  return keyOf(names.map((name) => fromSql(row[name])))
}

function readView(database: Database.Database): DiskView {
  const all = (sql: string): readonly Row[] => database.prepare(sql).all() as Row[]
  return database.transaction((): DiskView => {
    const values = new Map(
      all('SELECT name, value FROM _tidemark_meta').map(({ name, value }) => [
        name,
        JSON.parse(String(value)) as unknown,
      ]),
    )
    const meta = <K extends keyof MetaValues>(name: K, fallback: MetaValues[K]): MetaValues[K] =>
      (values.get(name) as MetaValues[K] | undefined) ?? fallback
    const names = new Map(
      all('SELECT number, name FROM _tidemark_tables').map(({ number, name }) => [
        Number(number),
        String(name),
      ]),
    )
    const place = ({ number, key }: Row): string => rowId(names.get(Number(number)) ?? '', String(key))
    const marked = new Set<string>()
    const agreed = new Map<string, { readonly version: number; readonly deleted: boolean }>()
    const hidden = new Map<string, Fields>()
    for (const [number, name] of names) {
      for (const row of all(`SELECT * FROM ${markTable(number)}`)) marked.add(rowId(name, keyIn(row)))
      for (const row of all(`SELECT * FROM ${stateTable(number)}`)) {
        if (typeof row['extra'] === 'string')
          hidden.set(rowId(name, keyIn(row)), JSON.parse(row['extra']) as Fields)
        const flags = Number(row['agreed'])
        if ((flags & (StateFlag.live | StateFlag.deleted)) === 0) continue
        agreed.set(rowId(name, keyIn(row)), {
          version: Number(row['version']),
          deleted: (flags & StateFlag.deleted) !== 0,
        })
      }
    }
    const held = new Set(all('SELECT number, key FROM _tidemark_waiting WHERE at IS NOT NULL').map(place))
    const parked = new Map(
      all('SELECT number, key, record FROM _tidemark_parked').map((row) => [
        place(row),
        JSON.parse(String(row['record'])) as WireRecord,
      ]),
    )
    const inbox = all('SELECT id, at, status, draft FROM _tidemark_inbox').map((row): InboxEntry => ({
      ...(JSON.parse(String(row['draft'])) as InboxDraft),
      id: String(row['id']),
      at: Number(row['at']),
      status: String(row['status']) as InboxEntry['status'],
    }))
    const quarantine = all('SELECT * FROM _tidemark_quarantine').map((row): QuarantineEntry => ({
      id: String(row['id']),
      table: names.get(Number(row['number'])) ?? '',
      key: String(row['key']),
      op: String(row['op']) as QuarantineEntry['op'],
      code: String(row['code']),
      message: String(row['message']),
      at: Number(row['at']),
    }))
    const unread = new Set<string>()
    for (const row of all('SELECT number, columns FROM _tidemark_dictionary')) {
      const name = names.get(Number(row['number'])) ?? ''
      const known = (JSON.parse(String(row['columns'])) as { readonly name: string }[]).map((one) => one.name)
      for (const column of columnsOf(database, name))
        if (!known.includes(column)) unread.add(`${name}\0${column}`)
    }
    const mutation = meta('mutation', { number: 0, inFlight: false, force: false })
    return {
      replica: meta('identity', { replica: '', space: '' }).replica,
      cursor: meta('cursor', null),
      generations: meta('generations', []),
      covered: meta('covered', []),
      hydrating: meta('hydrating', null),
      overwriting: meta('overwriting', null) !== null,
      mutation: mutation.number,
      // The parts are compressed; their values are in the rows as well, or were replaced by later ones.
      inFlight: mutation.inFlight ? { number: mutation.number, force: mutation.force, parts: [] } : null,
      tables: readTables(database),
      unread,
      marked,
      held,
      parked,
      agreed,
      hidden,
      inbox,
      quarantine,
    }
  })()
}
