/**
 * The log's tables. Tables and writers of a space stand once and are numbered within it, under its lock: numbered
 * for all spaces together, two spaces' pushes could wait for each other. Names, keys and values are in the order of
 * their bytes. Fields, ages and claims are text: what was sent comes back to the character.
 */
export const TABLES = `
CREATE TABLE tidemark.spaces (
  no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  epoch text NOT NULL,
  generation text NOT NULL,     -- id of the newest
  head bigint NOT NULL DEFAULT 0,
  floor bigint NOT NULL DEFAULT 0,
  schema int NOT NULL DEFAULT 0,
  schema_tables text NOT NULL DEFAULT '[]',
  -- Marks of the last write: which life of the server made it, and in which transaction. Where they are not those of
  -- the server and of the row itself, the database was started, restored or copied since: a generation begins.
  boot text NOT NULL,
  wrote xid8 NOT NULL
) WITH (fillfactor = 20);       -- each push writes it: room on the page keeps that cheap

-- One for each life of the database that used the space; the first has number 0.
CREATE TABLE tidemark.generations (
  space int NOT NULL,
  number int NOT NULL,
  id text NOT NULL,
  start bigint NOT NULL,
  PRIMARY KEY (space, number)
);

CREATE TABLE tidemark.tables (
  space int NOT NULL,
  no int NOT NULL,
  name text COLLATE "C" NOT NULL,
  live bigint NOT NULL DEFAULT 0,
  buried bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (space, no),
  UNIQUE (space, name)
) WITH (fillfactor = 50);

CREATE TABLE tidemark.writers (
  space int NOT NULL,
  no int NOT NULL,
  id text COLLATE "C" NOT NULL,
  PRIMARY KEY (space, no),
  UNIQUE (space, id)
);

CREATE TABLE tidemark.records (
  space int NOT NULL,
  tbl int NOT NULL,
  version bigint NOT NULL,
  hlc bigint NOT NULL,
  writer int NOT NULL,
  buried_at bigint,             -- milliseconds at which the cloud learned of the delete; null: a live row
  was bigint,
  key text COLLATE "C" NOT NULL,
  sealed text,
  claims text,                  -- JSON of StandingClaims; null: none
  ages text,                    -- "since" and "fieldVersions" as they stand in the record's JSON; null: neither
  fields text,                  -- JSON; null for a tombstone
  PRIMARY KEY (space, tbl, key)
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX records_by_version ON tidemark.records (space, version);
CREATE INDEX tombstones ON tidemark.records (space, version) WHERE buried_at IS NOT NULL;

-- By the hash of index and value: an index entry may be no longer than 2,700 bytes.
CREATE TABLE tidemark.claims (
  space int NOT NULL,
  tbl int NOT NULL,
  claim bytea NOT NULL,
  key text COLLATE "C" NOT NULL,
  PRIMARY KEY (space, tbl, claim)
);

CREATE TABLE tidemark.replicas (
  space int NOT NULL,
  id text COLLATE "C" NOT NULL,
  mutation bigint NOT NULL,
  hashes text NOT NULL,         -- JSON
  base bigint NOT NULL,         -- the head before that mutation: its kept answer counts from there
  answer text NOT NULL,
  acked bigint,
  seen bigint NOT NULL,         -- milliseconds
  PRIMARY KEY (space, id)
) WITH (fillfactor = 50);

CREATE TABLE tidemark.staged (
  space int NOT NULL,
  replica text COLLATE "C" NOT NULL,
  part int NOT NULL,
  of_parts int NOT NULL,
  attempt text NOT NULL,
  hash text NOT NULL,
  bytes bigint NOT NULL,
  changes text NOT NULL,        -- JSON
  PRIMARY KEY (space, replica, part)
);
`
