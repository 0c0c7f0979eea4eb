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

export function openAgentsFile(file: string): AgentsFile {
  const statements = new Map<string, Database.Statement>()
  let open: { readonly database: Database.Database; readonly place: string | null } | null = null
  let isDisposed = false
  const close = (): void => {
    statements.clear()
    open?.database.close()
    open = null
  }
  const current = (): Database.Database => {
    if (isDisposed) throw new TidemarkError('unavailable')
    if (open !== null && (open.database.inTransaction || open.place === placeOf(file))) return open.database
    close()
    const database = openAgentsDatabase(file)
    open = { database, place: placeOf(file) }
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
