import type { Migration } from './migrate.ts'

/** Versions of one space: a trillion, 35 years at a thousand a second. The rest of a row id is the space's number. */
export const VERSION_BITS = 40
export const MAX_VERSION = 2 ** VERSION_BITS - 1

/**
 * The log's tables. A record's row id is its space and its version in one number, so that the records lie in the
 * order of versions: what is written goes to the end, and a pull reads on from where it was. Names of tables and
 * of writers stand once and are referred to by number.
 */
const FIRST = `
CREATE TABLE spaces (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  epoch TEXT NOT NULL,
  head INTEGER NOT NULL,
  floor INTEGER NOT NULL,
  schema INTEGER NOT NULL,
  schema_tables TEXT NOT NULL
) STRICT;

-- One for each start of the storage that used the space; the first has number 0.
CREATE TABLE generations (
  space INTEGER NOT NULL,
  number INTEGER NOT NULL,
  id TEXT NOT NULL,
  start INTEGER NOT NULL,
  PRIMARY KEY (space, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE tables (
  no INTEGER PRIMARY KEY,
  space INTEGER NOT NULL,
  name TEXT NOT NULL,
  live INTEGER NOT NULL,
  buried INTEGER NOT NULL,
  UNIQUE (space, name)
) STRICT;

CREATE TABLE writers (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE records (
  id INTEGER PRIMARY KEY,      -- space << ${VERSION_BITS} | version
  tbl INTEGER NOT NULL,
  key TEXT NOT NULL,
  writer INTEGER NOT NULL,
  hlc INTEGER NOT NULL,
  buried_at INTEGER,           -- milliseconds at which the cloud learned of the delete; null: a live row
  was INTEGER,
  sealed TEXT,
  claims TEXT,                 -- JSON of StandingClaims; null: none
  ages TEXT,                   -- "since" and "fieldVersions" as they stand in the record's JSON; null: neither
  fields TEXT                  -- JSON; null for a tombstone
) STRICT;
CREATE UNIQUE INDEX records_by_key ON records (tbl, key);
CREATE INDEX tombstones ON records (id) WHERE buried_at IS NOT NULL;

CREATE TABLE claims (
  tbl INTEGER NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  key TEXT NOT NULL,
  PRIMARY KEY (tbl, name, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE replicas (
  no INTEGER PRIMARY KEY,
  space INTEGER NOT NULL,
  id TEXT NOT NULL,
  mutation INTEGER NOT NULL,
  hashes TEXT NOT NULL,        -- JSON
  answer TEXT NOT NULL,        -- the kept answer of that mutation
  acked INTEGER,
  seen INTEGER NOT NULL,       -- milliseconds
  UNIQUE (space, id)
) STRICT;

CREATE TABLE staged (
  no INTEGER PRIMARY KEY,
  space INTEGER NOT NULL,
  replica TEXT NOT NULL,
  part INTEGER NOT NULL,
  of_parts INTEGER NOT NULL,
  hash TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  changes TEXT NOT NULL,       -- JSON
  UNIQUE (space, replica, part)
) STRICT;
`

/** Parts know their attempt. What is staged without one is sent again from its first part. */
const ATTEMPTS = `
DELETE FROM staged;
ALTER TABLE staged ADD COLUMN attempt TEXT NOT NULL DEFAULT '';
`

export const LOG_MIGRATIONS: readonly Migration[] = [
  { number: 1, readableFrom: 1, sql: FIRST },
  { number: 2, readableFrom: 2, sql: ATTEMPTS },
]
