import { existsSync, rmSync } from 'node:fs'

import Database from 'better-sqlite3'

import type { Logger } from '../../../kernel/logger.ts'
import { writePrivateFile } from '../../../machine/private-file.ts'
import { describeFailure } from '../failures.ts'

/** Another level is not brought up to this one: the file is made again. */
const LEVEL = 1

/**
 * `search.db`: nothing in it is needed (decision 0007). A document is a message or a tool call; its number says when it
 * was created, so that the newest come first by number alone.
 */
const SCHEMA = `
  CREATE TABLE documents (
    number INTEGER PRIMARY KEY, -- time and a place among those of the same time
    kind TEXT NOT NULL,
    id TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX documents_by_id ON documents (id, kind);
  -- Each has the documents from its lowest number to that of the next one, in an FTS5 table words_ID.
  CREATE TABLE shards (id INTEGER PRIMARY KEY AUTOINCREMENT, lowest INTEGER NOT NULL UNIQUE, documents INTEGER NOT NULL) STRICT;
  -- The last line of local_changes that is in the index.
  CREATE TABLE bookmark (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, mark TEXT NOT NULL) STRICT;
  -- What of the rows that were there already is not indexed yet: those before this place. No row: all are.
  -- 'time' has whatever the column of the source has.
  CREATE TABLE unread (kind TEXT PRIMARY KEY, begun INTEGER NOT NULL, time, id);
`

/** Opens the file, or makes it again where it is missing, of another level or damaged. */
export function openSearchFile(file: string, logger: Logger): Database.Database {
  try {
    if (existsSync(file)) {
      const database = connect(file)
      if (Number(database.pragma('user_version', { simple: true })) === LEVEL) return database
      database.close()
    }
  } catch (error) {
    if (!isDamaged(error)) throw error
    logger.warn('search.db is damaged and is made again', { ...describeFailure(error) })
  }
  removeSearchFile(file)
  writePrivateFile(file, '')
  const database = connect(file)
  database.transaction(() => {
    database.exec(SCHEMA)
    database.pragma(`user_version = ${LEVEL}`)
  })()
  return database
}

function connect(file: string): Database.Database {
  const database = new Database(file, { timeout: 1_000 })
  try {
    database.pragma('journal_mode = WAL')
    database.pragma('synchronous = NORMAL')
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

export function removeSearchFile(file: string): void {
  for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true })
}

/** Whether the file itself is at fault, and not its disk or its locks. */
export const isDamaged = (error: unknown): boolean => describeFailure(error).code === 'not_a_database'
