import { chmodSync, existsSync } from 'node:fs'
import { dirname } from 'node:path'

import Database from 'better-sqlite3'

import { TidemarkError } from '../../kernel/errors.ts'
import { makePrivateFolder } from '../../machine/folders.ts'
import { writePrivateFile } from '../../machine/private-file.ts'
import { SqliteFailure } from '../../stores/sqlite/driver/failure.ts'
import { namingFile } from '../attach.ts'
import { migrate } from '../migrations.ts'
import { AGENT_TABLES, LEVEL_1, STEPS } from './schema.ts'

/**
 * Other programs write to the file, for a millisecond mostly: nobody waits for them in the event loop for longer than
 * this, in milliseconds. Handlers wait outside of it.
 */
const BUSY_MS = 3
/** Of the first look at the file, which may have to end what a killed program began. */
const OPEN_BUSY_MS = 5_000

/**
 * Opens, or makes, `agents.db` at its newest level; what another program dropped of indices and triggers is made again.
 * In WAL, so that readers and the writer don't wait for each other, and with every commit on the disk before it is
 * answered: the source of a record may be gone, and a file that fell behind what the cloud knows of it would be taken
 * for a restored one. Throws `newer_database`, `not_a_database`, `no_access`, `database_locked`, `disk_full`.
 */
export function openAgentsDatabase(file: string): Database.Database {
  makePrivateFolder(dirname(file))
  if (!existsSync(file)) writePrivateFile(file, '')
  chmodSync(file, 0o600)
  return namingFile(file, () => guarded(() => openFile(file)))
}

function openFile(file: string): Database.Database {
  const database = new Database(file, { timeout: OPEN_BUSY_MS })
  try {
    requireOwnTables(database, file)
    migrate(database, STEPS)
    if (countObjects(database) < EXPECTED.size) database.transaction(() => database.exec(LEVEL_1)).immediate()
    database.pragma('journal_mode = WAL')
    database.pragma('synchronous = FULL')
    database.pragma('foreign_keys = OFF')
    database.pragma('recursive_triggers = OFF')
    database.pragma(`busy_timeout = ${BUSY_MS}`)
    // Reads once: only then the file has its WAL.
    database.pragma('user_version')
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

const EXPECTED: ReadonlySet<string> = new Set(
  [...LEVEL_1.matchAll(/CREATE (?:TABLE|INDEX|TRIGGER) IF NOT EXISTS (\w+)/g)].map(([, name]) =>
    String(name),
  ),
)

const countObjects = (database: Database.Database): number =>
  database
    .prepare('SELECT name FROM sqlite_schema')
    .pluck()
    .all()
    .filter((name) => EXPECTED.has(String(name))).length

/** Throws `not_a_database` where a table that is there already is another program's. Nothing was written yet then. */
function requireOwnTables(database: Database.Database, file: string): void {
  for (const table of [...AGENT_TABLES, 'local_changes']) {
    const names = database.prepare('SELECT name FROM pragma_table_info(?)').pluck().all(table)
    if (names.length === 0 || columnsOf(table).every((column) => names.includes(column))) continue
    throw new TidemarkError(
      'not_a_database',
      `the table ${table} lacks columns: the file is another program's`,
      {
        details: { file, table },
      },
    )
  }
}

function columnsOf(table: string): readonly string[] {
  const body = new RegExp(`CREATE TABLE IF NOT EXISTS ${table} \\(\\n([^;]*)\\n\\);`).exec(LEVEL_1)?.[1] ?? ''
  return body.split('\n').map((line) => line.trim().split(' ')[0] ?? '')
}

/** Failures as ours, which name no value of a row. */
export function guarded<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof Database.SqliteError) throw new SqliteFailure(error.code, error.message)
    throw error
  }
}
