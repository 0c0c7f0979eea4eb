import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { openTestDatabase, type TestDatabase } from '../../../test/postgres/database.ts'
import { systemClock } from '../../kernel/clock.ts'
import { hlcFromMs } from '../../kernel/hlc.ts'
import { encodeBytes, encodeInt, encodeReal, encodeText, type Encoded } from '../../kernel/values.ts'
import type { SchemaTable } from '../../protocol/schema.ts'
import { put, Reader } from '../../testing/log-contract/harness.ts'
import type { Directory } from '../directory.ts'
import { openPostgresDirectory } from '../directory/postgres.ts'
import type { Log } from '../log/log.ts'
import { openPostgresLog } from '../log/postgres.ts'
import { migrate } from '../postgres/migrate.ts'
import { MIGRATIONS } from '../postgres/migrations.ts'
import { openDatabase, type Database } from '../postgres/pool.ts'
import { openPostgresStorage } from '../server/postgres-storage.ts'
import { quoteName } from './define.ts'
import { listViews, refreshViews } from './refresh.ts'

const column = (name: string, type: string) => ({ name, type })
const tableOf = (name: string, columns: readonly { name: string; type: string }[]): SchemaTable => ({
  name,
  columns: [...columns],
  key: [columns[0]?.name ?? ''],
  unique: [],
  foreignKeys: [],
})

let served: TestDatabase
let database: Database
let directory: Directory
let log: Log
beforeAll(async () => {
  served = await openTestDatabase()
  database = openDatabase(served)
  await migrate(database, MIGRATIONS, systemClock)
  directory = openPostgresDirectory({ database, clock: systemClock })
  log = openPostgresLog({ database, clock: systemClock })
})
afterAll(async () => {
  await log[Symbol.asyncDispose]()
  await directory[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
  await served[Symbol.asyncDispose]()
})

async function makeSpace(account: string, name: string, ...tables: readonly SchemaTable[]): Promise<string> {
  const id = await directory.ensureSpace(account, name)
  await log.ensureSpace(id)
  await log.putSchema(id, tables)
  return id
}

test('rows are read with plain SQL, typed, without those that are deleted', async () => {
  const columns = [column('id', 'INTEGER'), column('name', 'VARCHAR(20)'), column('score', 'REAL')]
  const id = await makeSpace('ann', 'notes', tableOf('t', [...columns, column('done', 'BOOLEAN')]))
  const writer = new Reader(log, 'writer', id)
  await writer.write(put('1', 0, { id: 1, name: "O'Hara", score: 1.5, done: 1 }))
  await writer.write(put('2', 0, { id: 2, name: null, score: { $real: '3' }, done: 0, extra: 'x' }))
  await writer.write({ ...put('3', 0, {}), op: 'delete' })
  expect(await refreshViews(database, id)).toEqual([{ schema: 'ann/notes', view: 't', state: 'made' }])
  expect(
    await database.query('SELECT id, name, score, done, _key, _version FROM "ann/notes".t ORDER BY id'),
  ).toEqual([
    { id: 1, name: "O'Hara", score: 1.5, done: true, _key: '["1"]', _version: 1 },
    { id: 2, name: null, score: 3, done: false, _key: '["2"]', _version: 2 },
  ])
  const [row] = await database.query<{ _fields: string; at: Date }>(
    'SELECT _fields, _changed_at AS at FROM "ann/notes".t WHERE id = 2',
  )
  expect(JSON.parse(row?._fields ?? '')).toEqual({
    id: 2,
    name: null,
    score: { $real: '3' },
    done: 0,
    extra: 'x',
  })
  expect(hlcFromMs(row?.at.getTime() ?? 0)).toBe(put('1', 0, {}).hlc)
  expect(await refreshViews(database, id)).toEqual([{ schema: 'ann/notes', view: 't', state: 'current' }])
})

describe('a value that does not fit its column is null there, never an error, and in _fields as it is', () => {
  const TYPES = ['INTEGER', 'TEXT', 'REAL', 'NUMERIC', 'BLOB', 'BOOLEAN', 'DATETIME', ''] as const
  const anything = fc.oneof(
    fc.constant<Encoded>(null),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(encodeInt),
    fc.integer().map((value): Encoded => value),
    fc.double().map(encodeReal),
    fc.constantFrom(-0, Infinity, -Infinity, NaN, 5e-324, 1.7976931348623157e308, 1e300).map(encodeReal),
    fc.string({ unit: 'binary' }).map(encodeText),
    fc.constantFrom('12', '1e999', '2026-01-01', '\0', '\ud800', "'; DROP TABLE t; --", '{').map(encodeText),
    fc.uint8Array({ maxLength: 20 }).map(encodeBytes),
    fc.constantFrom<Encoded>(
      true,
      false,
      [1, 'x'],
      { a: 1 },
      { $object: { $int: 'x' } },
      { $js: ['bigint', '7'] },
      {
        $date: '2026-01-29T14:30:00.000Z',
      },
    ),
  )

  test('for every kind of value in every kind of column', async () => {
    const columns = TYPES.map((type, at) => column(`c${at}`, type))
    const id = await makeSpace('any', 'values', tableOf('t', columns))
    await refreshViews(database, id)
    const writer = new Reader(log, 'writer', id)
    let key = 0
    await fc.assert(
      fc.asyncProperty(fc.array(anything, { minLength: 1, maxLength: 40 }), async (values) => {
        const first = key
        const rows = values.map((value) =>
          put(
            String(key++).padStart(9, '0'),
            0,
            Object.fromEntries(columns.map(({ name }) => [name, value])),
          ),
        )
        await writer.write(...rows)
        const found = await database.query<{ [column: string]: unknown }>(
          'SELECT * FROM "any/values".t WHERE _version > $1 ORDER BY _version',
          [first],
        )
        expect(found.map(({ _fields }) => JSON.parse(String(_fields)))).toEqual(
          rows.map(({ fields }) => fields),
        )
        for (const [at, row] of found.entries()) expectTyped(row, values[at] as Encoded)
      }),
      { numRuns: 40 },
    )
  })

  function expectTyped(row: { readonly [column: string]: unknown }, value: Encoded): void {
    const [integer, text, real, , bytes, , , any] = Object.values(row)
    if (typeof value === 'number') {
      expect(Number(integer)).toBe(Number.isInteger(value) ? value : 0)
      expect(real).toBe(value)
      expect(Number(text)).toBe(value)
      return
    }
    if (typeof value === 'string') {
      expect([integer, text, real, Buffer.from(bytes as Uint8Array).toString()]).toEqual([
        null,
        value,
        null,
        value,
      ])
      return
    }
    if (value === null) return expect([integer, text, real, bytes]).toEqual([null, null, null, null])
    expect(JSON.parse(String(any))).toEqual(value)
    if (typeof value !== 'object' || Array.isArray(value)) return
    const { $int, $real, $bytes } = value as { readonly [tag: string]: string }
    if ($int !== undefined) expect([String(text), BigInt(String(text))]).toEqual([$int, BigInt($int)])
    if ($real !== undefined) expect(Object.is(real, Number($real))).toBe(true)
    if ($bytes !== undefined) expect(Buffer.from(bytes as Uint8Array).toString('base64')).toBe($bytes)
  }
})

test('hostile, long and like names each get a view and columns of their own', async () => {
  const long = 'ä'.repeat(100)
  const names = ['a"b', "it's", '_key', `${long}1`, `${long}2`, 'constructor', '$1', 'A', 'a']
  const tables = ['x"; DROP SCHEMA tidemark CASCADE; --', `${long}x`, `${long}y`, 'Select'].map((name) =>
    tableOf(
      name,
      names.map((one) => column(one, 'TEXT')),
    ),
  )
  const id = await makeSpace('acc"ount', 's'.repeat(120), ...tables)
  const views = await refreshViews(database, id)
  expect(new Set(views.map(({ view }) => view)).size).toBe(4)
  const writer = new Reader(log, 'writer', id)
  const fields = Object.fromEntries(names.map((name) => [name, `value of ${name}`]))
  for (const { name } of tables) await writer.write(put('1', 0, fields, { table: name }))
  for (const { schema, view, state } of views) {
    expect(state).toBe('made')
    const [row] = await database.query<{ [name: string]: unknown }>(
      `SELECT * FROM ${quoteName(schema)}.${quoteName(view)}`,
    )
    expect(Object.values(row ?? {}).slice(0, names.length)).toEqual(Object.values(fields))
  }
})

test('a table that changes has its view changed, unless something was built on it', async () => {
  const id = await makeSpace('ann', 'changing', tableOf('t', [column('id', 'INTEGER')]))
  const wider = tableOf('t', [column('id', 'INTEGER'), column('more', 'TEXT')])
  await refreshViews(database, id)
  await log.putSchema(id, [wider])
  expect((await listViews(database, id)).map(({ state }) => state)).toEqual(['behind'])
  await database.query('CREATE VIEW public.mine AS SELECT id FROM "ann/changing".t')
  expect((await refreshViews(database, id)).map(({ state }) => state)).toEqual(['kept'])
  await database.query('DROP VIEW public.mine')
  // Two nodes at once: one makes it, the other finds it made.
  const both = await Promise.all([refreshViews(database, id), refreshViews(database, id)])
  expect(
    both
      .flat()
      .map(({ state }) => state)
      .toSorted(),
  ).toEqual(['changed', 'current'])
  expect(await database.query('SELECT more FROM "ann/changing".t')).toEqual([])
})

test('a node makes them when a schema rises, and goes on where it may not', async () => {
  const lines: string[] = []
  const logger = { debug() {}, info() {}, warn: (message: string) => void lines.push(message), error() {} }
  const role = `reader_${served.url.slice(-8)}`
  await using storage = await openPostgresStorage(served, { clock: systemClock, logger })
  const id = await storage.directory.ensureSpace('bob', 'kept')
  await storage.log.ensureSpace(id)
  await storage.log.putSchema(id, [tableOf('t', [column('id', 'INTEGER')])])
  for (let turns = 0; turns < 500 && (await listViews(database, id))[0]?.state !== 'current'; turns++)
    await new Promise((resolve) => setTimeout(resolve, 10))
  expect((await listViews(database, id)).map(({ state }) => state)).toEqual(['current'])

  // I12: whoever may read one space's views reads no other's, and no table of ours.
  await database.query(`CREATE ROLE ${role}`)
  try {
    await database.query(
      `GRANT USAGE ON SCHEMA "bob/kept" TO ${role}; GRANT SELECT ON "bob/kept".t TO ${role}`,
    )
    const asReader = (sql: string) =>
      database.transaction(async (connection) => {
        await connection.query(`SET LOCAL ROLE ${role}`)
        return connection.query(sql)
      })
    expect(await asReader('SELECT * FROM "bob/kept".t')).toEqual([])
    await expect(asReader('SELECT * FROM "ann/changing".t')).rejects.toMatchObject({
      code: 'database_refused',
    })
    await expect(asReader('SELECT * FROM tidemark.records')).rejects.toMatchObject({
      code: 'database_refused',
    })
  } finally {
    await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  }
  expect(lines).toEqual([])
})
