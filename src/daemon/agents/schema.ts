import type { Migration } from '../migrations.ts'

/** The tables of `agents.db` that are synced, as the space `agents`. */
export const AGENT_TABLES = [
  'sessions',
  'messages',
  'tool_calls',
  'approvals',
  'session_errors',
  'compactions',
  'projects',
  'notifications',
  'memories',
] as const
export type AgentTable = (typeof AGENT_TABLES)[number]

/** Milliseconds since 1970 in SQL that SQLite 3.40 has; `unixepoch('subsec')` came later. */
const NOW = "(CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER))"

/**
 * A time as lists are ordered by it. Any program, and any device, may have put anything into the column: what is no
 * number stands with what is not known, so that a place in the list is always a number and an id.
 */
export const timeOf = (column: string): string =>
  `CAST(CASE WHEN typeof(${column}) IN ('integer', 'real') THEN ${column} ELSE 0 END AS INTEGER)`

/**
 * One trigger per table and verb. Another program's write must never fail of them: there is no constraint in
 * `local_changes` that a value could violate, no function that an older SQLite lacks, and no conflict clause, which the
 * statement outside would override anyway. An id that changed is a delete and an insert. Under INSERT OR REPLACE the row
 * that goes sets off none unless `recursive_triggers` is on; that of the row that comes tells it.
 */
const triggersOf = (table: AgentTable): string => `
CREATE TRIGGER IF NOT EXISTS ${table}_inserted AFTER INSERT ON ${table} BEGIN
  INSERT INTO local_changes (table_name, row_id, verb, session_id)
    VALUES ('${table}', NEW.id, 'insert', ${sessionOf(table, 'NEW')});
END;
CREATE TRIGGER IF NOT EXISTS ${table}_updated AFTER UPDATE ON ${table} BEGIN
  INSERT INTO local_changes (table_name, row_id, verb, session_id)
    SELECT '${table}', OLD.id, 'delete', ${sessionOf(table, 'OLD')} WHERE OLD.id IS NOT NEW.id;
  INSERT INTO local_changes (table_name, row_id, verb, session_id)
    VALUES ('${table}', NEW.id, CASE WHEN OLD.id IS NEW.id THEN 'update' ELSE 'insert' END, ${sessionOf(table, 'NEW')});
END;
CREATE TRIGGER IF NOT EXISTS ${table}_deleted AFTER DELETE ON ${table} BEGIN
  INSERT INTO local_changes (table_name, row_id, verb, session_id)
    VALUES ('${table}', OLD.id, 'delete', ${sessionOf(table, 'OLD')});
END;`

/** Which session a row belongs to, told with its change: a row that is gone can't be asked any more. */
function sessionOf(table: AgentTable, row: 'NEW' | 'OLD'): string {
  if (table === 'projects') return 'NULL'
  return `${row}.${table === 'sessions' ? 'id' : 'session_id'}`
}

const indexOf = (name: string, table: string, terms: string, where = ''): string =>
  `CREATE INDEX IF NOT EXISTS ${name} ON ${table} (${terms})${where};`

const updated = `${timeOf('updated_at')}, id`
const created = `${timeOf('created_at')}, id`

/**
 * Tables of a clone are there already, so nothing is made twice. The key is apart from the rows: these hold long texts,
 * and with ids in no order a table WITHOUT ROWID took twice as long to fill and to list. No number of a row is kept
 * anywhere, since VACUUM gives them anew. No column but the id must be given: a row that lacks one is better than a
 * write that fails.
 */
const TABLES = `
CREATE TABLE IF NOT EXISTS sessions (
  id TEXT NOT NULL PRIMARY KEY,
  source TEXT,
  title TEXT,
  status TEXT,
  project_path TEXT,
  project_name TEXT,
  model TEXT,
  provider TEXT,
  prompt_tokens INTEGER,
  completion_tokens INTEGER,
  cache_read_tokens INTEGER,
  cache_write_tokens INTEGER,
  cost REAL,
  message_count INTEGER,
  tool_call_count INTEGER,
  permission_mode TEXT,
  parent_id TEXT,
  created_at INTEGER DEFAULT ${NOW},
  updated_at INTEGER DEFAULT ${NOW},
  ended_at INTEGER,
  archived_at INTEGER,
  error TEXT
);
CREATE TABLE IF NOT EXISTS messages (
  id TEXT NOT NULL PRIMARY KEY,
  session_id TEXT,
  parent_id TEXT,
  role TEXT,
  text TEXT,
  model TEXT,
  prompt_tokens INTEGER,
  completion_tokens INTEGER,
  duration_ms INTEGER,
  created_at INTEGER DEFAULT ${NOW},
  completed_at INTEGER,
  raw TEXT
);
CREATE TABLE IF NOT EXISTS tool_calls (
  id TEXT NOT NULL PRIMARY KEY,
  session_id TEXT,
  message_id TEXT,
  tool_name TEXT,
  input TEXT,
  output TEXT,
  file_path TEXT,
  success INTEGER,
  error TEXT,
  duration_ms INTEGER,
  created_at INTEGER DEFAULT ${NOW}
);
CREATE TABLE IF NOT EXISTS approvals (
  id TEXT NOT NULL PRIMARY KEY,
  session_id TEXT,
  tool_call_id TEXT,
  tool_name TEXT,
  tool_input TEXT,
  context TEXT,
  context_type TEXT,
  status TEXT,
  comment TEXT,
  updated_input TEXT,
  decided_by TEXT,
  created_at INTEGER DEFAULT ${NOW},
  expires_at INTEGER,
  decided_at INTEGER
);
CREATE TABLE IF NOT EXISTS session_errors (
  id TEXT NOT NULL PRIMARY KEY,
  session_id TEXT,
  message_id TEXT,
  kind TEXT,
  message TEXT,
  created_at INTEGER DEFAULT ${NOW}
);
CREATE TABLE IF NOT EXISTS compactions (
  id TEXT NOT NULL PRIMARY KEY,
  session_id TEXT,
  cause TEXT,
  summary TEXT,
  tokens_before INTEGER,
  tokens_after INTEGER,
  created_at INTEGER DEFAULT ${NOW}
);
CREATE TABLE IF NOT EXISTS projects (
  id TEXT NOT NULL PRIMARY KEY,
  path TEXT,
  name TEXT,
  created_at INTEGER DEFAULT ${NOW},
  updated_at INTEGER DEFAULT ${NOW}
);
CREATE TABLE IF NOT EXISTS notifications (
  id TEXT NOT NULL PRIMARY KEY,
  session_id TEXT,
  kind TEXT,
  title TEXT,
  body TEXT,
  created_at INTEGER DEFAULT ${NOW},
  read_at INTEGER
);
CREATE TABLE IF NOT EXISTS memories (
  id TEXT NOT NULL PRIMARY KEY,
  project_path TEXT,
  session_id TEXT,
  kind TEXT,
  title TEXT,
  body TEXT,
  created_at INTEGER DEFAULT ${NOW},
  updated_at INTEGER DEFAULT ${NOW}
);
-- What changed here, whoever wrote it. Not synced. A number is never given twice.
CREATE TABLE IF NOT EXISTS local_changes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  table_name TEXT,
  row_id TEXT,
  verb TEXT,
  session_id TEXT,
  at INTEGER DEFAULT ${NOW}
);`

/** Approvals of a status that the contract has no word for, and cancelled ones, which those are listed with. */
export const OTHER_STATUS = "(status IS NULL OR status NOT IN ('pending', 'approved', 'denied', 'expired'))"

/** One for each list of the contract and its filters; by time alone for `query`, and for who reads all in slices. */
const INDEXES = [
  indexOf('sessions_by_time', 'sessions', updated),
  indexOf('sessions_by_archived', 'sessions', `(archived_at IS NULL), ${updated}`),
  indexOf('sessions_by_source', 'sessions', `source, ${updated}`),
  indexOf('sessions_by_status', 'sessions', `status, ${updated}`),
  indexOf('sessions_by_project', 'sessions', `project_path, ${updated}`),
  indexOf('sessions_by_parent', 'sessions', `parent_id, ${updated}`, ' WHERE parent_id IS NOT NULL'),
  indexOf('messages_by_session', 'messages', `session_id, ${created}`),
  indexOf('messages_by_time', 'messages', 'created_at, id'),
  indexOf('tool_calls_by_session', 'tool_calls', `session_id, ${created}`),
  indexOf('tool_calls_by_time', 'tool_calls', 'created_at, id'),
  indexOf('approvals_by_time', 'approvals', created),
  indexOf('approvals_by_session', 'approvals', `session_id, ${created}`),
  indexOf('approvals_by_status', 'approvals', `status, ${created}`),
  indexOf('approvals_of_other_status', 'approvals', created, ` WHERE ${OTHER_STATUS}`),
  indexOf('session_errors_by_session', 'session_errors', `session_id, ${created}`),
  indexOf('compactions_by_session', 'compactions', `session_id, ${created}`),
  indexOf('projects_by_time', 'projects', updated),
  indexOf('notifications_by_time', 'notifications', created),
  indexOf('notifications_by_session', 'notifications', `session_id, ${created}`),
  indexOf('notifications_unread', 'notifications', created, ' WHERE read_at IS NULL'),
  indexOf('memories_by_time', 'memories', updated),
  indexOf('memories_by_project', 'memories', `project_path, ${updated}`),
]

/** All of it may be run again: `database.ts` does where another program dropped a part. */
export const LEVEL_1: Migration = [TABLES, ...INDEXES, ...AGENT_TABLES.map(triggersOf)].join('\n')

export const STEPS: readonly Migration[] = [LEVEL_1]
