import { chmodSync, existsSync } from 'node:fs'
import { join } from 'node:path'

import Database from 'better-sqlite3'

import { makePrivateFolder, type Folders } from '../machine/folders.ts'
import { writePrivateFile } from '../machine/private-file.ts'
import { guarded } from './agents/database.ts'
import { namingFile } from './attach.ts'
import { migrate } from './migrations.ts'

/** `daemon.db` (decision 0007): what never leaves this machine and what sync can't write. */
const STEPS = [
  `
  CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    session_id TEXT,
    tool_call_id TEXT,
    tool_name TEXT NOT NULL,
    tool_input TEXT,            -- JSON; NULL: none was given
    context TEXT,
    context_type TEXT,
    context_size INTEGER,       -- bytes of UTF-8
    request_hash TEXT NOT NULL, -- of what was asked: a repeat is known by it
    status TEXT NOT NULL CHECK (status IN ('pending', 'approved', 'denied', 'expired', 'cancelled')),
    comment TEXT,
    updated_input TEXT,         -- JSON
    decided_by TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    decided_at INTEGER,
    copied INTEGER NOT NULL DEFAULT 0 -- 1: the copy in agents.db is as this row
  ) STRICT;
  CREATE INDEX approvals_by_time ON approvals (created_at DESC, id DESC);
  CREATE INDEX approvals_by_session ON approvals (session_id, created_at DESC, id DESC);
  CREATE INDEX approvals_by_status ON approvals (status, created_at DESC, id DESC);
  CREATE INDEX approvals_pending ON approvals (expires_at) WHERE status = 'pending';
  CREATE INDEX approvals_context ON approvals (decided_at) WHERE context IS NOT NULL AND status <> 'pending';
  CREATE INDEX approvals_uncopied ON approvals (created_at) WHERE copied = 0;

  CREATE TABLE rules (
    id TEXT PRIMARY KEY,
    action TEXT NOT NULL CHECK (action IN ('allow', 'deny', 'ask')),
    tool_name TEXT NOT NULL,
    command TEXT,
    command_prefix TEXT,
    path TEXT,
    note TEXT,
    created_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    approval_id TEXT,
    rule_id TEXT,
    by TEXT NOT NULL
  ) STRICT;

  CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice, also after the newest ones were deleted
    type TEXT NOT NULL,
    record_id TEXT NOT NULL,
    session_id TEXT,
    at INTEGER NOT NULL
  ) STRICT;

  -- How far each reader of local_changes is: the last line it has passed, what shows that it is the same line still
  -- (a copy may have been put in the file's place), and its own JSON.
  CREATE TABLE readers (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, mark TEXT NOT NULL, state TEXT) STRICT;
  `,
  `
  -- The one-way upload: to which endpoint, how far it is (JSON; NULL: all rows are to be sent), and when that last took
  -- something.
  CREATE TABLE batch (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    endpoint TEXT NOT NULL,
    state TEXT,
    last_sync_at INTEGER,
    resets INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  -- Records that the endpoint refused, with its HTTP status.
  CREATE TABLE batch_refused (
    table_name TEXT NOT NULL,
    row_id TEXT NOT NULL,
    status INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (table_name, row_id)
  ) STRICT, WITHOUT ROWID;
  -- What an endpoint was found to speak.
  CREATE TABLE endpoints (endpoint TEXT PRIMARY KEY, protocol TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
]

/**
 * Opens, or makes, the daemon's own database. Durable: what a commit answered survives a power cut. Throws
 * `not_a_database`, `newer_database`, `no_access`, `database_locked`, `disk_full`.
 */
export function openPrivateDatabase(folders: Folders): Database.Database {
  const file = join(makePrivateFolder(folders.data), 'daemon.db')
  if (!existsSync(file)) writePrivateFile(file, '')
  chmodSync(file, 0o600)
  return namingFile(file, () => guarded(() => openFile(file)))
}

function openFile(file: string): Database.Database {
  const database = new Database(file, { timeout: 5_000 })
  try {
    database.pragma('journal_mode = WAL')
    database.pragma('synchronous = FULL')
    migrate(database, STEPS)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}
