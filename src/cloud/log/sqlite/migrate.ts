import type Database from 'better-sqlite3'

import { TidemarkError } from '../../../kernel/errors.ts'

/** One step of a file's tables, from the one before it. Never changed once released. */
export interface Migration {
  /** Counts up from 1. */
  readonly number: number
  readonly sql: string
  /** The oldest number whose program still reads and writes the file rightly after this step. */
  readonly readableFrom: number
}

/**
 * Brings the tables of one part of the file up to date, in one transaction: a process that comes second finds
 * it done. Throws `needs_upgrade` when a newer program changed the file in a way that this one cannot read.
 */
export function migrate(database: Database.Database, part: string, migrations: readonly Migration[]): void {
  const newest = migrations.at(-1)?.number ?? 0
  if (readState(database, part).number === newest) return
  database.exec('BEGIN IMMEDIATE')
  try {
    database.exec(
      `CREATE TABLE IF NOT EXISTS migrations (
        part TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        readable_from INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID`,
    )
    const { number, readableFrom } = readState(database, part)
    checkReadable(part, readableFrom, newest)
    for (const migration of migrations) {
      if (migration.number <= number) continue
      database.exec(migration.sql)
      database
        .prepare('INSERT OR REPLACE INTO migrations (part, number, readable_from) VALUES (?, ?, ?)')
        .run(part, migration.number, migration.readableFrom)
    }
    database.exec('COMMIT')
  } finally {
    if (database.inTransaction) database.exec('ROLLBACK')
  }
}

/**
 * For who only looks: whether the tables of one part are there. Throws `needs_upgrade` as above. What older programs
 * left is read as it is.
 */
export function hasTables(
  database: Database.Database,
  part: string,
  migrations: readonly Migration[],
): boolean {
  const { number, readableFrom } = readState(database, part)
  checkReadable(part, readableFrom, migrations.at(-1)?.number ?? 0)
  return number > 0
}

function checkReadable(part: string, readableFrom: number, newest: number): void {
  if (readableFrom <= newest) return
  const details = { part, file: readableFrom, program: newest }
  throw new TidemarkError('needs_upgrade', 'a newer version of Tidemark has changed this file', { details })
}

function readState(
  database: Database.Database,
  part: string,
): { readonly number: number; readonly readableFrom: number } {
  const nothing = { number: 0, readableFrom: 0 }
  const exists = database
    .prepare(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'`)
    .get()
  if (exists === undefined) return nothing
  const read = database.prepare<[string], { number: number; readableFrom: number }>(
    'SELECT number, readable_from AS readableFrom FROM migrations WHERE part = ?',
  )
  return read.get(part) ?? nothing
}
