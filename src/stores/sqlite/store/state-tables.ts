import { keyColumn } from '../capture/names.ts'
import type { Connection } from '../driver/driver.ts'
import type { Shape } from '../shape/shape.ts'
import { createDictionaryTable } from './dictionary.ts'
import {
  INBOX_TABLE,
  META_TABLE,
  MUTATION_TABLE,
  PARKED_TABLE,
  QUARANTINE_TABLE,
  stateTable,
  tombstoneIndex,
  WAITING_TABLE,
} from './names.ts'

/** Bits of `agreed` in a state table. */
export const StateFlag = {
  live: 1,
  deleted: 2,
  /** The version is one this replica pushed itself: references in the row are its own (re-keying). */
  own: 4,
  /** Agreed live when a hydrate that sweeps began, and not shown by the cloud since. */
  unseen: 8,
} as const

/** The tables that every attached file has. */
export function createStateTables(connection: Connection): void {
  connection.exec(`
    CREATE TABLE ${META_TABLE} (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE ${MUTATION_TABLE} (part INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE ${PARKED_TABLE} (
      number INTEGER NOT NULL, key TEXT NOT NULL, record TEXT NOT NULL, reason TEXT NOT NULL,
      was INTEGER, lost INTEGER NOT NULL, rule TEXT, unseen INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (number, key)) WITHOUT ROWID;
    CREATE TABLE ${WAITING_TABLE} (
      number INTEGER NOT NULL, key TEXT NOT NULL, at INTEGER, met INTEGER NOT NULL, PRIMARY KEY (number, key)) WITHOUT ROWID;
    CREATE TABLE ${QUARANTINE_TABLE} (
      sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, number INTEGER NOT NULL, key TEXT NOT NULL, op TEXT NOT NULL,
      code TEXT NOT NULL, message TEXT NOT NULL, at INTEGER NOT NULL, UNIQUE (number, key));
    CREATE TABLE ${INBOX_TABLE} (
      sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, status TEXT NOT NULL, kind TEXT NOT NULL,
      draft TEXT NOT NULL, digest BLOB NOT NULL, lost INTEGER NOT NULL, choice TEXT);
    CREATE INDEX ${INBOX_TABLE}_status ON ${INBOX_TABLE} (status, kind);
    CREATE INDEX ${INBOX_TABLE}_digest ON ${INBOX_TABLE} (digest) WHERE status = 'open';
  `)
  createDictionaryTable(connection)
}

/** The state of one table, where there is none yet: the key columns have the key's own types and collations, as its marks have. */
export function createStateTable(connection: Connection, number: number, shape: Shape): void {
  const keys = shape.key.map((column, index) => {
    // The affinity is all that matters of a type; its own text may be anything.
    const affinity = shape.columns[column.at]?.affinity ?? 'BLOB'
    return `${keyColumn(index)} ${affinity} COLLATE ${column.collation} NOT NULL`
  })
  const primary = shape.key.map((_, index) => keyColumn(index)).join(', ')
  connection.exec(`
    CREATE TABLE IF NOT EXISTS ${stateTable(number)} (${keys.join(', ')},
      version INTEGER NOT NULL, agreed INTEGER NOT NULL, image BLOB, extra TEXT, was INTEGER,
      PRIMARY KEY (${primary})) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS ${tombstoneIndex(number)} ON ${stateTable(number)} (version) WHERE image IS NULL;
  `)
}

export function dropStateTable(connection: Connection, number: number): void {
  connection.exec(`DROP TABLE IF EXISTS ${stateTable(number)}`)
}
