import { describe, expect, test } from 'vitest'

import type { Clock } from '../../kernel/clock.ts'
import { seededRandom } from '../../kernel/random.ts'
import type { Store } from '../../engine/store.ts'
import type { SchemaColumn, SchemaTable } from '../../protocol/schema.ts'
import { cursor, dirtyKeys, pull, record, send, touch } from '../../testing/store-contract/cycle.ts'
import { ConstraintError } from './constraint-error.ts'
import { MemoryDatabase } from './database.ts'
import { openMemoryStore } from './store.ts'

const column = (name: string, type: string, more: Partial<SchemaColumn> = {}): SchemaColumn => ({
  name,
  type,
  ...more,
})

const table = (
  name: string,
  columns: readonly SchemaColumn[],
  more: Partial<SchemaTable> = {},
): SchemaTable => ({
  name,
  columns: [...columns],
  key: ['id'],
  unique: [],
  foreignKeys: [],
  ...more,
})

const USERS = table(
  'users',
  [
    column('id', 'INTEGER'),
    column('mail', 'TEXT', { collation: 'NOCASE' }),
    column('name', 'TEXT', { notNull: true, default: "'none'" }),
  ],
  { rowidAlias: true, unique: [{ claim: 'mail', terms: [{ column: 'mail' }] }] },
)

const posts = (onDelete: string): SchemaTable =>
  table('posts', [column('id', 'TEXT'), column('user', 'INTEGER', { default: '9' })], {
    foreignKeys: [{ columns: ['user'], table: 'USERS', references: ['id'], onDelete, onUpdate: 'CASCADE' }],
  })

let now = 1_000
const clock: Clock = { now: () => now, after: () => () => {} }

const open = (...tables: readonly SchemaTable[]): MemoryDatabase => new MemoryDatabase({ clock, tables })
const openStore = (database: MemoryDatabase, step?: (name: string) => Promise<void>): Store =>
  openMemoryStore(database, {
    clock,
    random: seededRandom(3),
    replica: 'a',
    ...(step === undefined ? {} : { step }),
  })

const codeOf = (run: () => unknown): string | undefined => {
  try {
    run()
    return undefined
  } catch (thrown) {
    return thrown instanceof ConstraintError ? thrown.code : String(thrown)
  }
}

describe('constraints refuse as SQLite does, and leave nothing', () => {
  test('keys, unique values, NOT NULL, integer keys', () => {
    const database = open(USERS)
    database.write((app) => app.insert('users', { id: 1, mail: 'A@x' }))
    const insert = (row: { readonly [column: string]: string | number | null }) => () =>
      database.write((app) => app.insert('users', row))
    expect(codeOf(insert({ id: 1, mail: 'b@x' }))).toBe('SQLITE_CONSTRAINT_ROWID')
    expect(codeOf(insert({ id: 2, mail: 'a@X' }))).toBe('SQLITE_CONSTRAINT_UNIQUE')
    expect(codeOf(insert({ id: 2, mail: 'b@x', name: null }))).toBe('SQLITE_CONSTRAINT_NOTNULL')
    expect(codeOf(insert({ id: 'x', mail: 'b@x' }))).toBe('SQLITE_MISMATCH')
    expect(codeOf(insert({ id: 2, nobody: 1 }))).toContain('no such column')
    expect(database.rows('users')).toEqual([{ id: 1, mail: 'A@x', name: 'none' }])
    expect(database.write((app) => app.insert('users', { mail: null }))).toMatchObject({ id: 2 })
    expect(database.write((app) => app.insert('users', { mail: null }))).toMatchObject({ id: 3 })
    database.write((app) => app.remove('users', { id: 3 }))
    expect(database.write((app) => app.insert('users', { mail: null }))).toMatchObject({ id: 3 })
  })

  test('a statement that fails is taken back alone, a transaction that throws whole', () => {
    const database = open(USERS)
    database.write((app) => {
      app.insert('users', { id: 1, mail: 'a' })
      expect(codeOf(() => app.insert('users', { id: 2, mail: 'a' }))).toBe('SQLITE_CONSTRAINT_UNIQUE')
      app.insert('users', { id: 3, mail: 'c' })
    })
    expect(database.rows('users')).toHaveLength(2)
    expect(() =>
      database.write((app) => {
        app.remove('users', { id: 1 })
        app.insert('users', { id: 4, mail: 'a' })
        throw new Error('stop')
      }),
    ).toThrow('stop')
    expect(database.rows('users').map((row) => row['id'])).toEqual(expect.arrayContaining([1, 3]))
    expect(codeOf(() => database.write((app) => app.insert('users', { id: 4, mail: 'a' })))).toBe(
      'SQLITE_CONSTRAINT_UNIQUE',
    )
  })

  test('STRICT types', () => {
    const database = open(
      table('t', [column('id', 'TEXT'), column('n', 'INTEGER'), column('b', 'BLOB'), column('x', 'ANY')], {
        strict: true,
      }),
    )
    const insert = (row: { readonly [name: string]: string | number | { readonly $bytes: string } }) => () =>
      database.write((app) => app.insert('t', { id: 'a', ...row }))
    expect(codeOf(insert({ n: 'x' }))).toBe('SQLITE_CONSTRAINT_DATATYPE')
    expect(codeOf(insert({ b: 'x' }))).toBe('SQLITE_CONSTRAINT_DATATYPE')
    expect(codeOf(insert({ n: 1, b: { $bytes: '' }, x: 'x' }))).toBeUndefined()
  })

  test.each([
    ['CASCADE', undefined, []],
    ['SET NULL', undefined, [{ id: 'p', user: null }]],
    ['RESTRICT', 'SQLITE_CONSTRAINT_FOREIGNKEY', [{ id: 'p', user: 1 }]],
    ['NO ACTION', 'SQLITE_CONSTRAINT_FOREIGNKEY', [{ id: 'p', user: 1 }]],
    ['SET DEFAULT', 'SQLITE_CONSTRAINT_FOREIGNKEY', [{ id: 'p', user: 1 }]],
  ])('ON DELETE %s', (action, code, left) => {
    const database = open(USERS, posts(action))
    expect(codeOf(() => database.write((app) => app.insert('posts', { id: 'p', user: 1 })))).toBe(
      'SQLITE_CONSTRAINT_FOREIGNKEY',
    )
    database.write((app) => {
      app.insert('users', { id: 1 })
      app.insert('posts', { id: 'p', user: 1 })
    })
    expect(codeOf(() => database.write((app) => app.remove('users', { id: 1 })))).toBe(code)
    expect(database.rows('posts')).toEqual(left)
  })

  test('I1: what a cascade or a replacement does is marked like any write', async () => {
    const database = open(USERS, posts('CASCADE'))
    const store = openStore(database)
    const records = [
      record('users', 1, { id: 1, mail: 'a', name: 'x' }),
      record('users', 2, { id: 2, mail: 'b', name: 'x' }),
    ]
    await pull(store, [
      ...records,
      record('posts', 3, { id: 'p', user: 1 }),
      record('posts', 4, { id: 'q', user: 2 }),
    ])
    database.write((app) => app.update('users', { id: 1 }, { id: 5 }))
    expect(database.rows('posts')).toContainEqual({ id: 'p', user: 5 })
    database.write((app) => app.replace('users', { id: 7, mail: 'B' }))
    expect(database.rows('posts')).toEqual([{ id: 'p', user: 5 }])
    expect(await dirtyKeys(store)).toEqual([
      'posts ["p"]',
      'posts ["q"]',
      'users [1]',
      'users [2]',
      'users [5]',
      'users [7]',
    ])
  })

  test('a deferred reference is checked when the transaction ends', () => {
    const [foreignKey] = posts('CASCADE').foreignKeys
    const deferred = foreignKey === undefined ? [] : [{ ...foreignKey, deferred: true as const }]
    const database = open(USERS, { ...posts('CASCADE'), foreignKeys: deferred })
    database.write((app) => {
      app.insert('posts', { id: 'p', user: 1 })
      app.insert('users', { id: 1 })
    })
    expect(codeOf(() => database.write((app) => app.insert('posts', { id: 'q', user: 3 })))).toBe(
      'SQLITE_CONSTRAINT_FOREIGNKEY',
    )
    expect(database.rows('posts')).toHaveLength(1)
  })
})

describe('the file', () => {
  test('a snapshot is the file of that moment, with the engine’s state', async () => {
    const database = open(USERS)
    const store = openStore(database)
    await pull(store, [record('users', 1, { id: 1, mail: 'a', name: 'x' })], { cursor: cursor(1) })
    const snapshot = database.snapshot()
    database.write((app) => app.update('users', { id: 1 }, { name: 'y' }))
    await send(store)
    await store.saveCursor(cursor(9), [])
    const copy = new MemoryDatabase({ clock }, snapshot)
    expect(copy.rows('users')).toMatchObject([{ name: 'x' }])
    expect(await openStore(copy).state()).toMatchObject({ cursor: cursor(1), inFlight: null })
    expect(database.rows('users')).toMatchObject([{ name: 'y' }])
    database.restore(snapshot)
    expect(await store.state()).toMatchObject({ cursor: cursor(1), inFlight: null, mutation: 0 })
    expect(await dirtyKeys(store)).toEqual([])
    database.write((app) => app.update('users', { id: 1 }, { mail: 'b' }))
    expect(await touch(store, 'users', '[1]')).toMatchObject({ base: 1, changed: ['mail'] })
    // Neither what was restored nor the copy shares what is written now.
    expect(copy.rows('users')).toMatchObject([{ mail: 'a' }])
    expect(codeOf(() => database.write((app) => app.insert('users', { id: 3, mail: 'B' })))).toBe(
      'SQLITE_CONSTRAINT_UNIQUE',
    )
    expect(codeOf(() => copy.write((app) => app.insert('users', { id: 3, mail: 'B' })))).toBeUndefined()
  })

  test('marks have the clock’s time, and never less than was seen', async () => {
    const database = open(USERS)
    const store = openStore(database)
    now = 5_000
    database.write((app) => app.insert('users', { id: 1 }))
    expect(await touch(store, 'users', '[1]')).toMatchObject({ at: 5_000_000 })
    await pull(store, [record('users', 1, { id: 2, mail: 'a', name: 'x' }, { hlc: 7_000_001 })])
    now = 6_000
    database.write((app) => app.insert('users', { id: 3 }))
    expect(await touch(store, 'users', '[3]')).toMatchObject({ at: 7_000_001 })
  })

  test('a full disk refuses whoever writes, and nothing else', async () => {
    const database = open(USERS)
    const store = openStore(database)
    database.full = true
    expect(() => database.write((app) => app.insert('users', { id: 1 }))).toThrow('No room')
    await expect(pull(store, [record('users', 1, { id: 1, mail: 'a', name: 'x' })])).rejects.toMatchObject({
      code: 'disk_full',
    })
    expect(await store.state()).toMatchObject({ cursor: null })
    expect(database.rows('users')).toEqual([])
    database.full = false
    database.write((app) => app.insert('users', { id: 1 }))
    expect(await dirtyKeys(store)).toEqual(['users [1]'])
  })

  test('excluded tables are none of the store’s', async () => {
    const database = open(USERS, posts('CASCADE'))
    const store = openMemoryStore(database, { clock, random: seededRandom(1), exclude: ['posts'] })
    database.write((app) => {
      app.insert('users', { id: 1 })
      app.insert('posts', { id: 'p', user: 1 })
    })
    expect(await dirtyKeys(store)).toEqual(['users [1]'])
    expect((await store.schema()).tables.map(({ name }) => name)).toEqual(['users'])
  })
})

describe('a crash', () => {
  test('before the transaction leaves the state of before, after it that of after', async () => {
    const database = open(USERS)
    let dies = ''
    const dead = new Error('killed')
    const step = async (name: string): Promise<void> => {
      if (name === dies) throw dead
    }
    dies = 'publish'
    await expect(
      pull(openStore(database, step), [record('users', 1, { id: 1, mail: 'a', name: 'x' })]),
    ).rejects.toBe(dead)
    expect(database.rows('users')).toEqual([])
    dies = 'publish:done'
    await expect(
      pull(openStore(database, step), [record('users', 1, { id: 1, mail: 'a', name: 'x' })]),
    ).rejects.toBe(dead)
    expect(database.rows('users')).toHaveLength(1)
    expect(await dirtyKeys(openStore(database))).toEqual([])
  })

  test('a method that was cut off does nothing once the store is closed', async () => {
    const database = open(USERS)
    const gate = Promise.withResolvers<void>()
    const store = openStore(database, () => gate.promise)
    const publishing = pull(store, [record('users', 1, { id: 1, mail: 'a', name: 'x' })])
    await store[Symbol.asyncDispose]()
    gate.resolve()
    await expect(publishing).rejects.toMatchObject({ code: 'aborted' })
    expect(database.rows('users')).toEqual([])
  })
})
