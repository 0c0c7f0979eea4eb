import type { Clock } from '../../src/kernel/clock.ts'
import { keyOf } from '../../src/kernel/keys.ts'
import { randomInt, seededRandom, type Random } from '../../src/kernel/random.ts'
import type { Encoded, Fields } from '../../src/kernel/values.ts'
import type { Store } from '../../src/engine/store.ts'
import type { SchemaTable } from '../../src/protocol/schema.ts'
import type { ContractStatements } from '../../src/testing/store-contract/harness.ts'
import { NOTES, SEATS, WORDS } from '../../src/testing/store-contract/tables.ts'
import { MemoryDatabase } from '../../src/stores/memory/database.ts'
import { openMemoryStore } from '../../src/stores/memory/store.ts'
import { betterSqlite3 } from '../../src/stores/sqlite/driver/better-sqlite3.ts'
import { applicationOn, createSql, readRows, temporaryFile } from '../../src/stores/sqlite/store/harness.ts'
import { attachFile, openSqliteStore } from '../../src/stores/sqlite/store/open.ts'

/** A unique column that is part of nothing else, and one in two columns. */
const PAIRS: SchemaTable = {
  name: 'pairs',
  columns: [
    { name: 'id', type: 'TEXT' },
    { name: 'a', type: 'INTEGER' },
    { name: 'b', type: 'INTEGER' },
    { name: 'n', type: 'TEXT', notNull: true },
  ],
  key: ['id'],
  unique: [
    { claim: 'a', terms: [{ column: 'a' }], index: 'pairs_a' },
    { claim: 'ab', terms: [{ column: 'b' }, { column: 'n' }], index: 'pairs_bn' },
  ],
  foreignKeys: [],
}
export const TABLES = [NOTES, PAIRS, SEATS, WORDS]

const clock: Clock = { now: () => 1, after: () => () => {} }

export interface Side extends AsyncDisposable {
  readonly store: Store
  readonly app: ContractStatements
  rows(table: string): readonly Fields[]
  reopen(): Promise<void>
}

export function openMemory(): Side {
  const database = new MemoryDatabase({ clock, tables: TABLES, foreignKeys: false })
  const random = seededRandom(1)
  const open = (): Store => openMemoryStore(database, { clock, random, space: 's', replica: 'a' })
  let store = open()
  return {
    get store() {
      return store
    },
    app: {
      insert: async (table, row) => void database.write((app) => app.insert(table, row)),
      update: async (table, where, set) => void database.write((app) => app.update(table, where, set)),
      remove: async (table, where) => void database.write((app) => app.remove(table, where)),
    },
    rows: (table) => database.rows(table),
    async reopen() {
      await store[Symbol.asyncDispose]()
      store = open()
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
    },
  }
}

export async function openSqlite(): Promise<Side> {
  const { file, remove } = temporaryFile()
  const connection = betterSqlite3.open(file, { create: true })
  for (const table of TABLES) connection.exec(createSql(table))
  const settings = { file, driver: betterSqlite3, clock, random: seededRandom(1), clockExpression: '1000' }
  await attachFile({ ...settings, space: 's', replica: 'a' })
  let store = openSqliteStore(settings)
  // The test is of what is written, not of when it reaches the disk.
  connection.exec('PRAGMA synchronous = OFF')
  return {
    get store() {
      return store
    },
    app: applicationOn(connection),
    rows: (table) => readRows(connection, table),
    async reopen() {
      await store[Symbol.asyncDispose]()
      store = openSqliteStore(settings)
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
      connection.close()
      remove()
    },
  }
}

export const KEYS = ['a', 'b', 'c', 'd', 'E']

export function randomRow(table: string, id: string, random: Random): Fields {
  const int = (below: number): number => randomInt(random, below)
  const maybe = (value: Encoded): Encoded => (int(4) === 0 ? null : value)
  switch (table) {
    case 'notes':
      return { id, title: `t${int(3)}`, body: int(3) === 0 ? 'long text '.repeat(1 + int(3)) : `b${int(3)}` }
    case 'pairs':
      return { id, a: maybe(int(5)), b: maybe(int(3)), n: `n${int(2)}` }
    case 'seats':
      return { id, place: maybe(int(5)), label: int(8) === 0 ? null : `l${int(2)}` }
    default:
      return { word: id, meaning: `m${int(3)}` }
  }
}

export const keyColumnOf = (table: string): string => (table === 'words' ? 'word' : 'id')
export const keyOfId = (table: string, id: string): string =>
  keyOf([id], [table === 'words' ? 'NOCASE' : 'BINARY'])
