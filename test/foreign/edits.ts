import type Database from 'better-sqlite3'

import type { Random } from '../../src/kernel/random.ts'

/** A table as an editor sees it: which columns may change without touching a key or a reference. */
export interface Editable {
  readonly name: string
  readonly key: readonly string[]
  readonly columns: readonly { readonly name: string; readonly isNumber: boolean }[]
}

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`

export function readEditables(db: Database.Database, tables: readonly string[]): readonly Editable[] {
  return tables.map((name) => {
    const info = db.prepare('SELECT name, type, pk FROM pragma_table_info(?)').raw().all(name) as [
      string,
      string,
      number,
    ][]
    const references = db.prepare('SELECT "from" FROM pragma_foreign_key_list(?)').pluck().all(name)
    const key = info.filter(([, , pk]) => pk > 0).sort(([, , a], [, , b]) => a - b)
    const columns = info
      .filter(([column, , pk]) => pk === 0 && !references.includes(column))
      .map(([column, type]) => ({ name: column, isNumber: /INT|REAL|FLOA|DOUB/i.test(type) }))
    return { name, key: key.map(([column]) => column), columns }
  })
}

/** Which rows an editor touches: two editors of different parity never touch the same one. */
export interface Editor {
  readonly db: Database.Database
  readonly random: Random
  readonly parity: 0 | 1
  /** Marks what it wrote. */
  readonly tag: string
}

export interface Edited {
  readonly updated: number
  readonly deleted: number
  readonly inserted: number
  /** Statements that the database's own rules refused. */
  readonly refused: number
}

/** So many random statements; each that the rules of the database refuse is counted and passed over. */
export function edit(editor: Editor, tables: readonly Editable[], statements: number): Edited {
  const done = { updated: 0, deleted: 0, inserted: 0, refused: 0 }
  const filled = tables.filter(({ name }) => countRows(editor.db, name) > 10)
  for (let at = 0; at < statements; at++) {
    const table = pick(editor.random, filled)
    const roll = editor.random.next()
    const kind = roll < 0.7 ? 'updated' : roll < 0.85 ? 'inserted' : 'deleted'
    try {
      done[kind] += statementOf(editor, table, kind)
    } catch (error) {
      if (!/constraint|RAISE|trigger/i.test(`${String(error)} ${(error as { code?: string }).code ?? ''}`))
        throw error
      done.refused++
    }
  }
  return done
}

/** Keys of the first rows of a table, in the order of the key. */
export function firstKeys(db: Database.Database, table: Editable, count: number): readonly unknown[][] {
  return db
    .prepare(`SELECT ${keyList(table)} FROM ${quote(table.name)} ORDER BY ${keyList(table)} LIMIT ?`)
    .raw()
    .safeIntegers()
    .all(count) as unknown[][]
}

/** One value of one row becomes another; answers how many rows there were. */
export function editOne(
  db: Database.Database,
  table: Editable,
  key: readonly unknown[],
  column: string,
  value: string,
): number {
  return db
    .prepare(`UPDATE ${quote(table.name)} SET ${quote(column)} = ? WHERE ${whereKey(table)}`)
    .run(value, ...key).changes
}

const whereKey = (table: Editable): string => table.key.map((name) => `${quote(name)} = ?`).join(' AND ')

function statementOf(
  { db, random, parity, tag }: Editor,
  table: Editable,
  kind: 'updated' | 'inserted' | 'deleted',
): number {
  const key = db
    .prepare(
      `SELECT ${keyList(table)} FROM ${quote(table.name)} WHERE ${table.key.map((name) => `${quote(name)} IS NOT NULL`).join(' AND ')} ORDER BY ${keyList(table)} LIMIT 1 OFFSET ?`,
    )
    .raw()
    .safeIntegers()
    .get(2 * Math.floor((random.next() * countRows(db, table.name)) / 2) + parity) as
    | readonly unknown[]
    | undefined
  if (key === undefined) return 0
  const where = whereKey(table)
  if (kind === 'deleted')
    return db.prepare(`DELETE FROM ${quote(table.name)} WHERE ${where}`).run(key).changes
  if (kind === 'inserted') return insertLike({ db, random, parity, tag }, table, where, key)
  if (table.columns.length === 0) return 0
  const { name, isNumber } = pick(random, table.columns)
  const value = isNumber ? Math.floor(random.next() * 1_000) : `${tag} ${Math.floor(random.next() * 1e9)}`
  return db.prepare(`UPDATE ${quote(table.name)} SET ${quote(name)} = ? WHERE ${where}`).run(value, ...key)
    .changes
}

/** A row like another one under a fresh key. */
function insertLike(
  { db, random, parity, tag }: Editor,
  table: Editable,
  where: string,
  key: readonly unknown[],
): number {
  const row = db
    .prepare(`SELECT * FROM ${quote(table.name)} WHERE ${where}`)
    .safeIntegers()
    .get(key) as { [column: string]: unknown } | undefined
  if (row === undefined) return 0
  const last = table.key.at(-1) ?? ''
  const fresh = 1_000_000 + 2 * Math.floor(random.next() * 1e9) + parity
  row[last] = typeof row[last] === 'bigint' ? BigInt(fresh) : `${tag}-${fresh}`
  const names = Object.keys(row)
  return db
    .prepare(
      `INSERT INTO ${quote(table.name)} (${names.map(quote).join(', ')}) VALUES (${names.map(() => '?').join(', ')})`,
    )
    .run(Object.values(row)).changes
}

const keyList = (table: Editable): string => table.key.map(quote).join(', ')
const countRows = (db: Database.Database, table: string): number =>
  Number(
    db
      .prepare(`SELECT count(*) FROM ${quote(table)}`)
      .pluck()
      .get(),
  )

function pick<T>(random: Random, from: readonly T[]): T {
  return from[Math.floor(random.next() * from.length)] as T
}
