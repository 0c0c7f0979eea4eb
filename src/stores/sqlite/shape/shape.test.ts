import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

import { Check } from 'typebox/value'
import { describe, expect, it } from 'vitest'

import { SchemaTable } from '../../../protocol/schema.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import type { Connection, OpenOptions } from '../driver/driver.ts'
import { readShapes } from './read.ts'
import type { FileShapes, Shape } from './shape.ts'

const open = (sql: string, options: OpenOptions = {}): Connection => {
  const db = betterSqlite3.open(':memory:', options)
  db.exec(sql)
  return db
}

function read(sql: string, options: OpenOptions = {}): FileShapes {
  const db = open(sql, options)
  const shapes = readShapes(db)
  db.close()
  return shapes
}

function readOne(sql: string): Shape {
  const { shapes, refused } = read(sql)
  const [shape] = shapes.values()
  if (shape === undefined) throw new Error(JSON.stringify(refused))
  return shape
}

const reasons = (sql: string, options: OpenOptions = {}): { readonly [table: string]: string } =>
  Object.fromEntries(read(sql, options).refused.map(({ table, reason }) => [table, reason]))

describe('shape', () => {
  it('reads keys with their order and their own collations', () => {
    const shape = readOne(
      'CREATE TABLE b (x, y TEXT COLLATE RTRIM, PRIMARY KEY (y COLLATE NOCASE, x)) WITHOUT ROWID',
    )
    expect(shape.key).toEqual([
      { name: 'y', at: 1, collation: 'NOCASE', nullable: false },
      { name: 'x', at: 0, collation: 'BINARY', nullable: false },
    ])
    expect([shape.rowidAlias, shape.withoutRowid, shape.hiddenRowid]).toEqual([false, true, null])
  })

  it('tells a row number from a key that only looks like one', () => {
    const alias = (sql: string): boolean => readOne(sql).rowidAlias
    expect(alias('CREATE TABLE t (id INTEGER PRIMARY KEY)')).toBe(true)
    expect(alias('CREATE TABLE t (id INTEGER, PRIMARY KEY (id DESC))')).toBe(true)
    expect(alias('CREATE TABLE t (id INTEGER PRIMARY KEY DESC)')).toBe(false)
    expect(alias('CREATE TABLE t (id INT PRIMARY KEY)')).toBe(false)
    expect(alias('CREATE TABLE t (id INTEGER PRIMARY KEY) WITHOUT ROWID')).toBe(false)
    expect(readOne('CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)').autoincrement).toBe(true)
    expect(readOne('CREATE TABLE t (rowid, oid TEXT PRIMARY KEY)').hiddenRowid).toBe('_rowid_')
    expect(readOne('CREATE TABLE t (rowid, oid TEXT PRIMARY KEY, _ROWID_)').hiddenRowid).toBeNull()
  })

  it('reads what no PRAGMA tells, whatever stands between', () => {
    const shape = readOne(`CREATE TABLE "a""b" ( -- a comment, with a comma and a (
      [id] INTEGER /* and ) here */ PRIMARY KEY, "x,y" VARCHAR(10, 2) COLLATE "nocase" DEFAULT ('a,b)'),
      d DEFAULT -5, e DEFAULT abc, f DEFAULT CURRENT_TIMESTAMP, n DEFAULT NULL, \`t\` TEXT CHECK (length(t) > 1),
      g INT GENERATED ALWAYS AS (id * 2) STORED, h AS ([x,y] || 'COLLATE RTRIM'), CONSTRAINT "check" CHECK ("a""b".id > 0)
      CHECK (d <> 'CHECK (1)') )`)
    expect(shape.columns.map(({ name, type, collation }) => [name, type, collation])).toEqual([
      ['id', 'INTEGER', 'BINARY'],
      ['x,y', 'VARCHAR(10, 2)', 'NOCASE'],
      ['d', '', 'BINARY'],
      ['e', '', 'BINARY'],
      ['f', '', 'BINARY'],
      ['n', '', 'BINARY'],
      ['t', 'TEXT', 'BINARY'],
      ['g', 'INT', 'BINARY'],
      ['h', '', 'BINARY'],
    ])
    expect(shape.columns.map((column) => column.default).slice(1, 6)).toEqual([
      "'a,b)'",
      '- 5',
      "'abc'",
      'CURRENT_TIMESTAMP',
      null,
    ])
    expect(shape.columns.flatMap((column) => column.generated ?? [])).toEqual([
      { as: '"id" * 2', stored: true },
      { as: `"x,y" || 'COLLATE RTRIM'`, stored: false },
    ])
    expect(shape.checks).toEqual(['length ("t") > 1', '"id" > 0', `"d" <> 'CHECK (1)'`])
  })

  it('names claims by what they mean, not by what the index is called', () => {
    const one = readOne(
      'CREATE TABLE t (id INTEGER PRIMARY KEY, Mail TEXT, b, c UNIQUE COLLATE NOCASE); CREATE UNIQUE INDEX one ON t (LOWER(mail) DESC, b COLLATE nocase) WHERE t.b IS NOT NULL AND "c">\'x\'',
    )
    const two = readOne(
      'CREATE TABLE t (c TEXT COLLATE NOCASE, b INT, Mail, id INTEGER PRIMARY KEY); CREATE UNIQUE INDEX x1 ON t (c); CREATE UNIQUE INDEX x2 ON t (lower( /* the */ "MAIL"), [b] collate NOCASE) where B is not null and c > \'x\'',
    )
    const claims = (shape: Shape): string[] => shape.unique.map((index) => index.claim).sort()
    expect(claims(one)).toEqual(claims(two))
    expect(claims(one)).toEqual([
      `(lower ("Mail")), b COLLATE NOCASE WHERE "b" IS NOT NULL AND "c" > 'x'`,
      'c COLLATE NOCASE',
    ])
    const long = readOne(
      `CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE UNIQUE INDEX u ON t (a) WHERE a <> '${'x'.repeat(600)}'`,
    )
    expect(long.unique[0]?.claim).toMatch(/^sha256:[0-9a-f]{64}$/)
  })

  it('reads foreign keys in the order of the text, with what waits for the commit', () => {
    const shape =
      readOne(`CREATE TABLE t (id INTEGER PRIMARY KEY, a REFERENCES p ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
      b REFERENCES q (x) NOT DEFERRABLE INITIALLY DEFERRED, FOREIGN KEY (a, b) REFERENCES r (c, d) ON UPDATE SET NULL)`)
    expect(shape.table.foreignKeys).toEqual([
      { columns: ['a'], table: 'p', references: [], onDelete: 'CASCADE', deferred: true },
      { columns: ['b'], table: 'q', references: ['x'] },
      { columns: ['a', 'b'], table: 'r', references: ['c', 'd'], onUpdate: 'SET NULL' },
    ])
  })

  it('refuses by name and says why', () => {
    const found = reasons(`
      CREATE TABLE nokey (a); CREATE VIEW v AS SELECT 1; CREATE VIRTUAL TABLE ft USING fts5(body); CREATE TABLE ft_notes (id INTEGER PRIMARY KEY);
      CREATE TABLE knex_migrations (id INTEGER PRIMARY KEY); CREATE TABLE _prisma_migrations (id TEXT PRIMARY KEY);
      CREATE TABLE migrations (id INTEGER PRIMARY KEY, timestamp, name); CREATE TABLE MIGRATIONS_of_birds (id INTEGER PRIMARY KEY);
      CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE TABLE _tidemark_x (id INTEGER PRIMARY KEY); ANALYZE`)
    expect(Object.keys(found)).toEqual([
      '_prisma_migrations',
      'ft',
      'ft_config',
      'ft_content',
      'ft_data',
      'ft_docsize',
      'ft_idx',
      'knex_migrations',
      'migrations',
      'nokey',
      'v',
    ])
    expect(found['nokey']).toBe('it has no primary key')
    expect(found['ft_data']).toContain('virtual table ft')
    const plain = reasons('CREATE TABLE migrations (id INTEGER PRIMARY KEY, of, birds)')
    expect(plain).toEqual({})
  })

  it('refuses collations that other replicas may fold otherwise, and functions that are not there', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-shape-'))
    try {
      const file = join(folder, 'app.db')
      const options: object = { defensive: false }
      const app = new DatabaseSync(file, options)
      app.function('f', { deterministic: true }, (value) => value)
      app.exec(
        'CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE INDEX i ON t (f(a)); CREATE TABLE ok (id INTEGER PRIMARY KEY)',
      )
      app.exec('CREATE TABLE g (id INTEGER PRIMARY KEY, a AS (f(id)))')
      // SQLite refuses a collation that it does not have, and no driver here can define one.
      app.exec(`CREATE TABLE k (id TEXT COLLATE rtrim PRIMARY KEY);
        PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, 'rtrim', 'other') WHERE name = 'k'`)
      app.close()
      const setup = (database: unknown): void => {
        const library = database as {
          function(name: string, options: object, run: (value: unknown) => unknown): void
        }
        library.function('f', { deterministic: true }, (value) => value)
      }
      const without = betterSqlite3.open(file)
      expect(readShapes(without).refused).toEqual([
        { table: 'g', reason: expect.stringContaining('unknown function: f()') as string },
        { table: 'k', reason: expect.stringContaining('the collation OTHER') as string },
        { table: 't', reason: expect.stringContaining('unknown function: f()') as string },
      ])
      without.close()
      const withHook = betterSqlite3.open(file, { setup })
      expect([...readShapes(withHook).shapes.keys()]).toEqual(['g', 'ok', 't'])
      withHook.close()
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('knows the tables of a virtual table whose module is absent', () => {
    const db = open(
      'CREATE TABLE docs_chunks (id INTEGER PRIMARY KEY); CREATE TABLE docs (id INTEGER PRIMARY KEY); CREATE TABLE dox (id INTEGER PRIMARY KEY)',
    )
    // What a file looks like that was written where the module was there.
    const library = db.native as { unsafeMode(on: boolean): void }
    library.unsafeMode(true)
    db.exec(
      "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'CREATE VIRTUAL TABLE docs USING vec0(a)', rootpage = 0 WHERE name = 'docs'; PRAGMA writable_schema = RESET",
    )
    const { refused, shapes } = readShapes(db)
    expect(refused.map(({ table }) => table)).toEqual(['docs', 'docs_chunks'])
    expect([...shapes.keys()]).toEqual(['dox'])
    db.close()
  })

  it('hints at references that are not declared', () => {
    const { warnings } =
      read(`CREATE TABLE authors (id INTEGER PRIMARY KEY); CREATE TABLE category (id TEXT PRIMARY KEY);
      CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INT, authorId REFERENCES authors, category_id, book_id)`)
    expect(warnings.map(({ table, warning }) => `${table}: ${warning.split(' looks')[0]}`)).toEqual([
      'book: author_id',
      'book: book_id',
    ])
  })

  it('has one fingerprint for one schema, whatever the rows and triggers', () => {
    const sql = 'CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)'
    const { fingerprint } = read(sql)
    expect(
      read(`${sql}; INSERT INTO t VALUES (1, 1); CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END`)
        .fingerprint,
    ).toBe(fingerprint)
    expect(read(`${sql}; ALTER TABLE t ADD COLUMN b`).fingerprint).not.toBe(fingerprint)
    expect(read(`${sql}; CREATE UNIQUE INDEX u ON t (a COLLATE NOCASE)`).fingerprint).not.toBe(fingerprint)
  })

  it('gives the wire a schema that fits it, and collations as SQLite itself has them', () => {
    const db =
      open(`CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE DEFAULT 'x' COLLATE RTRIM, b COLLATE binary NOT NULL, c UNIQUE,
      UNIQUE (a, b), CHECK (a <> b)); CREATE INDEX i ON t (b DESC, lower(a)) WHERE c > 1; CREATE TABLE u (k TEXT PRIMARY KEY) STRICT, WITHOUT ROWID`)
    for (const shape of readShapes(db).shapes.values()) {
      expect(Check(SchemaTable, shape.table)).toBe(true)
      for (const column of shape.columns) {
        // The sorter's key names the collation.
        const plan = db
          .prepare(`EXPLAIN SELECT 1 FROM "${shape.name}" NOT INDEXED ORDER BY "${column.name}"`)
          .all()
        const sorter = plan.find((row) => row[1] === 'SorterOpen')?.[5]
        if (typeof sorter === 'string')
          expect(sorter).toBe(`k(1,${column.collation === 'BINARY' ? 'B' : column.collation})`)
      }
    }
    db.close()
  })
})
