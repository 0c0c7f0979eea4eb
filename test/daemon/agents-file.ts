import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'

import { createManualClock, type ManualClock } from '../../src/testing/manual-clock.ts'

const triggersOf = (table: string, session: string): string => `
  CREATE TRIGGER IF NOT EXISTS ${table}_inserted AFTER INSERT ON ${table} BEGIN
    INSERT INTO local_changes (table_name, row_id, verb, session_id) VALUES ('${table}', NEW.id, 'insert', NEW.${session});
  END;
  CREATE TRIGGER IF NOT EXISTS ${table}_updated AFTER UPDATE ON ${table} BEGIN
    INSERT INTO local_changes (table_name, row_id, verb, session_id)
      SELECT '${table}', OLD.id, 'delete', OLD.${session} WHERE OLD.id IS NOT NEW.id;
    INSERT INTO local_changes (table_name, row_id, verb, session_id)
      VALUES ('${table}', NEW.id, CASE WHEN OLD.id IS NEW.id THEN 'update' ELSE 'insert' END, NEW.${session});
  END;
  CREATE TRIGGER IF NOT EXISTS ${table}_deleted AFTER DELETE ON ${table} BEGIN
    INSERT INTO local_changes (table_name, row_id, verb, session_id) VALUES ('${table}', OLD.id, 'delete', OLD.${session});
  END;`

const NOW = "(CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER))"

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS sessions (id TEXT NOT NULL PRIMARY KEY, title TEXT, created_at INTEGER DEFAULT ${NOW});
  CREATE TABLE IF NOT EXISTS messages (id TEXT NOT NULL PRIMARY KEY, session_id TEXT, role TEXT, text TEXT, created_at INTEGER DEFAULT ${NOW});
  CREATE TABLE IF NOT EXISTS tool_calls (id TEXT NOT NULL PRIMARY KEY, session_id TEXT, tool_name TEXT, input TEXT, output TEXT, file_path TEXT, error TEXT, created_at INTEGER DEFAULT ${NOW});
  CREATE TABLE IF NOT EXISTS approvals (id TEXT NOT NULL PRIMARY KEY, session_id TEXT);
  CREATE TABLE IF NOT EXISTS notifications (id TEXT NOT NULL PRIMARY KEY, session_id TEXT, body TEXT);
  CREATE INDEX IF NOT EXISTS messages_by_time ON messages (created_at, id);
  CREATE INDEX IF NOT EXISTS tool_calls_by_time ON tool_calls (created_at, id);
  CREATE TABLE IF NOT EXISTS local_changes (seq INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT, row_id TEXT, verb TEXT, at INTEGER DEFAULT ${NOW}, session_id TEXT);
  ${triggersOf('sessions', 'id')}
  ${['messages', 'tool_calls', 'approvals', 'notifications'].map((table) => triggersOf(table, 'session_id')).join('')}
`

/** An agents.db in a folder of its own, as other programs write to it. */
export interface AgentsFile extends Disposable {
  readonly folder: string
  readonly file: string
  readonly clock: ManualClock
  /** The connection of another program. */
  readonly program: Database.Database
  /** One more connection, as the daemon opens it. */
  open(): Database.Database
}

export function makeAgentsFile(): AgentsFile {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-changes-'))
  const file = join(folder, 'agents.db')
  const opened: Database.Database[] = []
  const open = () => {
    const database = new Database(file, { timeout: 0 })
    opened.push(database)
    database.pragma('journal_mode = WAL')
    database.exec(SCHEMA)
    return database
  }
  return {
    folder,
    file,
    clock: createManualClock(1_000_000),
    program: open(),
    open,
    [Symbol.dispose]() {
      for (const database of opened) database.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Lets the turns of the event loop go by in which the readers work. */
export async function settle(turns = 50): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
}
