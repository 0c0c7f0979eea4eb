import { rmSync } from 'node:fs'

import type Database from 'better-sqlite3'

import { TidemarkError } from '../../kernel/errors.ts'
import { placeOf } from '../../machine/files.ts'
import { openAgentsDatabase } from './database.ts'

/** Compiled statements that are kept: all that there are, unless somebody asks with ever other filters. */
const MAX_STATEMENTS = 200

/** `agents.db`, whichever file that is: it may be put back from a copy, or moved away, while the daemon runs. */
export interface AgentsFile extends Disposable {
  /** Of the file that stands at the path now; the one of before is closed where it is another one. */
  readonly database: Database.Database
  /** A statement that is compiled once. One text is asked for in one way only: as rows, arrays or single values. */
  prepare(sql: string): Database.Statement
}

interface Open {
  readonly database: Database.Database
  readonly place: string | null
  /** Which WAL it has. It stays the same one for as long as the file is open. */
  readonly wal: string | null
}

/** `onReplaced` is called once another file is open in the place of the one before. */
export function openAgentsFile(file: string, onReplaced: () => void = () => {}): AgentsFile {
  const statements = new Map<string, Database.Statement>()
  let open: Open | null = null
  let isReplaced = false
  let isDisposed = false
  const close = (): void => {
    statements.clear()
    open?.database.close()
    open = null
  }
  const current = (): Database.Database => {
    if (isDisposed) throw new TidemarkError('unavailable')
    if (open !== null && (open.database.inTransaction || open.place === placeOf(file))) return open.database
    if (open !== null) {
      isReplaced = true
      removeOldWal(file, open)
    }
    close()
    const database = openAgentsDatabase(file)
    open = { database, place: placeOf(file), wal: walOf(file) }
    if (isReplaced) {
      isReplaced = false
      onReplaced()
    }
    return database
  }
  current()
  return {
    get database() {
      return current()
    },
    prepare(sql) {
      const database = current()
      const known = statements.get(sql)
      if (known !== undefined) return known
      if (statements.size >= MAX_STATEMENTS) statements.clear()
      const statement = database.prepare(sql)
      statements.set(sql, statement)
      return statement
    },
    [Symbol.dispose]() {
      isDisposed = true
      close()
    },
  }
}

const walOf = (file: string): string | null => placeOf(`${file}-wal`)

/**
 * SQLite finds the WAL by name alone. That of the file of before would be read as a part of the file that was put in its
 * place, and ruin it. What it holds is written into its own file first, which may only have been moved away. A WAL that
 * came with the new file is another one, and stays.
 */
function removeOldWal(file: string, { database, wal }: Open): void {
  if (wal === null || walOf(file) !== wal) return
  try {
    database.pragma('wal_checkpoint(TRUNCATE)')
  } catch {
    // Of a file that is gone, or cannot be written.
  }
  for (const end of ['-wal', '-shm']) rmSync(file + end, { force: true })
}
