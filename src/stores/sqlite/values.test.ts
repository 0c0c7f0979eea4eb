import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { encodingFault, type Encoded } from '../../kernel/values.ts'
import { betterSqlite3 } from './driver/better-sqlite3.ts'
import { type Connection, type Driver, type SqlValue } from './driver/driver.ts'
import { nodeSqlite } from './driver/node-sqlite.ts'
import { bindValue, encodeTextBytes, encodeValue, readEncoding, type TextEncoding } from './values.ts'

const RUNS = 300
const ENCODINGS: readonly TextEncoding[] = ['UTF-8', 'UTF-16le', 'UTF-16be']
const TYPES = ['', 'INTEGER', 'TEXT', 'BLOB', 'REAL', 'NUMERIC', 'ANY', 'VARCHAR(10)', 'DOUBLE', 'DATETIME']
const STRICT_TYPES = ['INT', 'INTEGER', 'TEXT', 'BLOB', 'REAL', 'ANY']

/** Any storage class; text also as bytes that no string can say. */
type Written = { readonly value: SqlValue; readonly text?: true }

const written: fc.Arbitrary<Written> = fc.oneof(
  fc.constant({ value: null }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => ({ value })),
  fc
    .constantFrom(0n, 1n, -1n, 2n ** 53n, -(2n ** 53n), 2n ** 53n + 1n, 2n ** 63n - 1n)
    .map((value) => ({ value })),
  fc.double({ noNaN: true }).map((value) => ({ value })),
  fc.constantFrom(0, -0, 1, 1e15, 2 ** 53, 1e300, Infinity, -Infinity, 0.1).map((value) => ({ value })),
  fc.string({ unit: 'binary' }).map((value) => ({ value })),
  fc
    .constantFrom('', 'a\0b', '\ufffd', '\ufeffbom', '😀', '12', '1e3', ' 7 ', '9007199254740993')
    .map((value) => ({ value })),
  fc.uint8Array({ maxLength: 12 }).map((value) => ({ value })),
  fc.uint8Array({ maxLength: 12 }).map((bytes): Written => ({ value: bytes, text: true })),
  fc
    .constantFrom(
      'ff',
      'eda080',
      'eda080edb080',
      '41ff42',
      'c080',
      'f4908080',
      '00d8',
      'd800',
      '00d84100',
      '00',
    )
    .map((hex): Written => ({ value: Buffer.from(hex, 'hex'), text: true })),
)

interface Column {
  readonly ddl: string
  readonly strict: boolean
}

const column: fc.Arbitrary<Column> = fc.oneof(
  fc
    .constantFrom(...TYPES)
    .map((type) => ({ ddl: `CREATE TABLE t (id INTEGER PRIMARY KEY, v ${type})`, strict: false })),
  fc
    .constantFrom(...STRICT_TYPES)
    .map((type) => ({ ddl: `CREATE TABLE t (id INTEGER PRIMARY KEY, v ${type}) STRICT`, strict: true })),
)

const place = (cast: boolean): string => (cast ? 'CAST(? AS TEXT)' : '?')

function open(driver: Driver, encoding: TextEncoding, ddl: string): Connection {
  const db = driver.open(':memory:')
  db.exec(`PRAGMA encoding = '${encoding}'`)
  db.exec(ddl)
  return db
}

/** The only truth there is: SQLite's own type and bytes. */
const truth = (db: Connection): unknown =>
  db.prepare("SELECT typeof(v), hex(v), CASE typeof(v) WHEN 'real' THEN printf('%!.26g', v) END FROM t").all()

function read(db: Connection): Encoded {
  const encoding = readEncoding(db)
  const value = db.value('SELECT v FROM t')
  const encoded = encodeValue(value, encoding)
  if (encoded !== undefined) return encoded
  return encodeTextBytes(db.value('SELECT CAST(v AS BLOB) FROM t') as Uint8Array, encoding)
}

function write(db: Connection, value: Encoded): boolean {
  const bound = bindValue(value, readEncoding(db))
  if (bound === null) return false
  db.prepare(`INSERT INTO t (id, v) VALUES (1, ${place(bound.cast)})`).run(bound.value)
  return true
}

function refuses(work: () => unknown): boolean {
  try {
    work()
    return false
  } catch {
    return true
  }
}

for (const driver of [betterSqlite3, nodeSqlite]) {
  describe(`values through ${driver.name}`, () => {
    it('I10: every storage class of every affinity comes back bit for bit', () => {
      fc.assert(
        fc.property(written, column, fc.constantFrom(...ENCODINGS), (row, column, encoding) => {
          const from = open(driver, encoding, column.ddl)
          const to = open(driver, encoding, column.ddl)
          const insert = from.prepare(`INSERT INTO t (v) VALUES (${place(row.text === true)})`)
          if (refuses(() => insert.run(row.value))) {
            expect(column.strict).toBe(true)
            return
          }
          const encoded = read(from)
          expect(encodingFault(encoded)).toBeNull()
          expect(write(to, encoded)).toBe(true)
          expect(truth(to)).toEqual(truth(from))
          expect(read(to)).toEqual(encoded)
          from.close()
          to.close()
        }),
        { numRuns: RUNS },
      )
    })

    it('I10: a file of another text encoding takes a value as it is or not at all', () => {
      fc.assert(
        fc.property(
          written,
          fc.constantFrom(...ENCODINGS),
          fc.constantFrom(...ENCODINGS),
          (row, one, other) => {
            const from = open(driver, one, 'CREATE TABLE t (id INTEGER PRIMARY KEY, v)')
            const to = open(driver, other, 'CREATE TABLE t (id INTEGER PRIMARY KEY, v)')
            from.prepare(`INSERT INTO t (v) VALUES (${place(row.text === true)})`).run(row.value)
            const encoded = read(from)
            if (write(to, encoded)) expect(read(to)).toEqual(encoded)
            from.close()
            to.close()
          },
        ),
        { numRuns: RUNS },
      )
    })

    it('I10: malformed text finds its row again as a key', () => {
      const ddl = 'CREATE TABLE t (v TEXT PRIMARY KEY)'
      const db = open(driver, 'UTF-8', ddl)
      db.exec("INSERT INTO t VALUES (CAST(x'41ff42' AS TEXT)), ('A\ufffdB')")
      const bound = bindValue({ $text: 'Qf9C' }, 'UTF-8')
      expect(bound?.cast).toBe(true)
      const found = db.prepare('SELECT hex(v) FROM t WHERE v = CAST(? AS TEXT)').all(bound?.value ?? null)
      expect(found).toEqual([['41FF42']])
      db.close()
    })
  })
}

it('I10: what SQLite cannot hold is told, not changed', () => {
  const odd: readonly Encoded[] = [
    true,
    [1],
    { a: 1 },
    { $date: '2026-01-29T14:30:00.000Z' },
    { $real: 'NaN' },
    { $object: { $a: 1 } },
  ]
  for (const value of odd) expect(bindValue(value, 'UTF-8')).toBeNull()
  expect(bindValue({ $text: '/w==' }, 'UTF-16le')).toBeNull()
})
