/**
 * The directory's tables. Names are in the order of their bytes. `no` counts up as things are made: an order for
 * lists, with holes.
 */
export const DIRECTORY_FIRST = `
CREATE TABLE tidemark.access_tokens (
  no bigint GENERATED ALWAYS AS IDENTITY,
  id text COLLATE "C" PRIMARY KEY,
  hash bytea NOT NULL UNIQUE,   -- SHA-256 of the secret; the secret itself is nowhere
  account text COLLATE "C" NOT NULL,
  name text NOT NULL,
  scopes text NOT NULL,         -- joined by commas
  spaces text,                  -- names as JSON; null: every space of the account
  default_space text NOT NULL,
  device text COLLATE "C",
  created_at bigint NOT NULL,   -- milliseconds, as all times
  expires_at bigint,
  last_used_at bigint,
  revoked_at bigint
) WITH (fillfactor = 70);       -- visits are written: no index holds a time, so that each stays on its page
CREATE INDEX tokens_of_account ON tidemark.access_tokens (account, no);

CREATE TABLE tidemark.space_names (
  account text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL UNIQUE,
  PRIMARY KEY (account, name)
);

CREATE TABLE tidemark.devices (
  no bigint GENERATED ALWAYS AS IDENTITY,
  account text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  name text NOT NULL,
  platform text NOT NULL,
  created_at bigint NOT NULL,
  last_seen_at bigint NOT NULL,
  deregistered_at bigint,
  PRIMARY KEY (account, id)
) WITH (fillfactor = 70);

CREATE TABLE tidemark.audit (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at bigint NOT NULL,
  action text NOT NULL,
  account text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,
  actor text                    -- who did it: a token's id, or "command line"; null: not known
);
`
