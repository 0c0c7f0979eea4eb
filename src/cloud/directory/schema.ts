import type { Migration } from '../log/sqlite/migrate.ts'

const FIRST = `
CREATE TABLE access_tokens (
  id TEXT PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE,   -- SHA-256 of the secret, hex; the secret itself is nowhere
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  scopes TEXT NOT NULL,        -- joined by commas
  spaces TEXT,                 -- names as JSON; null: every space of the account
  default_space TEXT NOT NULL,
  device TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  last_used_at INTEGER,
  revoked_at INTEGER
) STRICT;

CREATE TABLE space_names (
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  PRIMARY KEY (account, name)
) STRICT;

CREATE TABLE devices (
  account TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  platform TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  deregistered_at INTEGER,
  PRIMARY KEY (account, id)
) STRICT;

CREATE TABLE audit (
  no INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  action TEXT NOT NULL,
  account TEXT NOT NULL,
  subject TEXT NOT NULL
) STRICT;
`

// An older program leaves it null, and reads nothing of it.
const AUDIT_ACTOR = `ALTER TABLE audit ADD COLUMN actor TEXT; -- who did it: a token's id, or "command line"`

/** The directory's tables, beside the log's in the same file. */
export const DIRECTORY_MIGRATIONS: readonly Migration[] = [
  { number: 1, sql: FIRST, readableFrom: 1 },
  { number: 2, sql: AUDIT_ACTOR, readableFrom: 1 },
]
