import { describe, expect, it } from 'vitest'

import type { SchemaTable } from '../../../protocol/schema.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { createTables } from './ddl.ts'
import { readShapes } from './read.ts'

const SCHEMAS = [
  "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, name VARCHAR(20) NOT NULL DEFAULT 'it''s' COLLATE NOCASE UNIQUE, at TEXT DEFAULT CURRENT_TIMESTAMP)",
  'CREATE TABLE b (k TEXT COLLATE RTRIM, n INT, x, PRIMARY KEY (k, n)) WITHOUT ROWID',
  'CREATE TABLE c (id TEXT PRIMARY KEY NOT NULL, v ANY, r REAL, CHECK (r > 0 OR r IS NULL)) STRICT',
  `CREATE TABLE d (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a (id) ON DELETE CASCADE, n DECIMAL(10,2), total AS (n * 2) STORED, low AS (lower(a)) VIRTUAL);
   CREATE UNIQUE INDEX d_n ON d (n DESC) WHERE n IS NOT NULL; CREATE UNIQUE INDEX d_e ON d (lower(a) COLLATE NOCASE, n); CREATE INDEX d_i ON d (a, n DESC)`,
  'CREATE TABLE "odd ""name" ("a b" "strange type" PRIMARY KEY, "select" DOUBLE PRECISION, UNIQUE ("select", "a b" COLLATE NOCASE))',
  'CREATE TABLE p (id TEXT PRIMARY KEY, parent TEXT, FOREIGN KEY (parent) REFERENCES p (id) ON UPDATE CASCADE ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED)',
  'CREATE TABLE k (k TEXT, v TEXT, PRIMARY KEY (k COLLATE NOCASE))',
  'CREATE TABLE l (n INT, k TEXT COLLATE NOCASE, PRIMARY KEY (n, k COLLATE BINARY)) WITHOUT ROWID',
  // An old quirk: this key is no number of the row, so that it takes text and NULL.
  'CREATE TABLE q (id INTEGER PRIMARY KEY DESC, v)',
]

for (const driver of [betterSqlite3, nodeSqlite]) {
  const open = () => driver.open(':memory:', { create: true })
  const read = (connection: ReturnType<typeof open>) =>
    [...readShapes(connection).shapes.values()].map(({ table }) => table)

  describe(`tables from a schema (${driver.name})`, () => {
    it('are the tables that the schema was read from', () => {
      for (const sql of SCHEMAS) {
        const source = open()
        source.exec(sql)
        const told = read(source)
        expect(told).toHaveLength(1)
        const made = open()
        expect(createTables(made, told, open())).toEqual([])
        expect(read(made)).toEqual(told)
      }
    })

    it('compare keys as those that the schema was read from', () => {
      for (const sql of SCHEMAS) {
        const [source, made] = [open(), open()]
        source.exec(sql)
        createTables(made, read(source), open())
        const keys = (connection: ReturnType<typeof open>) =>
          [...readShapes(connection).shapes.values()].map(({ key }) => key)
        expect(keys(made)).toEqual(keys(source))
      }
    })

    it('hold one column, and are one table, where SQLite takes two names for one', () => {
      const table: SchemaTable = {
        name: 't',
        columns: [
          { name: 'id', type: 'TEXT' },
          { name: 'Name', type: 'TEXT' },
          { name: 'name', type: 'TEXT' },
        ],
        key: ['id'],
        unique: [
          { claim: 'Name', terms: [{ column: 'Name' }] },
          { claim: 'name', terms: [{ column: 'name' }] },
        ],
        indexes: [{ name: 'i', terms: [{ column: 'name' }] }],
        foreignKeys: [{ columns: ['name'], table: 't', references: [] }],
      }
      const connection = open()
      const notes = createTables(connection, [table, { ...table, name: 'T' }], open())
      expect(notes).toEqual([
        'T was left out; SQLite takes it for t.',
        'name was left out; SQLite takes it for Name.',
      ])
      const [made, ...others] = read(connection)
      expect(others).toEqual([])
      expect(made).toMatchObject({
        name: 't',
        columns: [{ name: 'id' }, { name: 'Name' }],
        unique: [{ claim: 'Name' }],
        foreignKeys: [],
      })
    })

    it('leave out what cannot stand here, and say so', () => {
      const table: SchemaTable = {
        name: 't',
        columns: [
          { name: 'id', type: 'TEXT' },
          { name: 'x', type: '', default: 'no_such_function()' },
          { name: 'g', type: '', generated: { as: 'also_none(x)', stored: true } },
        ],
        key: ['id'],
        unique: [{ claim: 'u', terms: [{ expression: 'nor_this(x)' }], index: 'u' }],
        foreignKeys: [],
        checks: ['missing(x) = 1', 'length(id) > 0'],
      }
      const connection = open()
      const notes = createTables(connection, [table], open())
      expect(notes.length).toBeGreaterThanOrEqual(3)
      expect(read(connection)).toMatchObject([
        {
          name: 't',
          columns: [{ name: 'id' }, { name: 'x' }, { name: 'g' }],
          unique: [],
          checks: ['length ("id") > 0'],
        },
      ])
    })

    it('never run anything but the making of tables', () => {
      const evil = [
        '1); DROP TABLE keep; --',
        '1) , y TEXT CHECK (1',
        '(SELECT 1); SELECT (1',
        '?1',
        '',
        '1 /* open',
        "'open",
      ]
      for (const text of evil) {
        const connection = open()
        connection.exec('CREATE TABLE keep (id INTEGER PRIMARY KEY)')
        const table: SchemaTable = {
          name: 't',
          columns: [
            { name: 'id', type: `TEXT); DROP TABLE keep; --` },
            { name: 'x', type: `TEXT CHECK (0)`, default: text },
          ],
          key: ['id'],
          unique: [{ claim: 'u', terms: [{ column: 'x' }], where: text, index: 'u' }],
          foreignKeys: [
            { columns: ['x'], table: 'keep', references: [], onDelete: 'CASCADE; DROP TABLE keep' },
          ],
          checks: [text],
        }
        createTables(connection, [table], open())
        const names = connection
          .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`)
          .all()
        expect(names).toEqual([['keep'], ['t']])
        expect(connection.prepare('SELECT name FROM pragma_table_info(?)').all('t')).toEqual([['id'], ['x']])
      }
    })
  })
}
