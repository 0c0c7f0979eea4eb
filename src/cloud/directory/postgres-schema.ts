import { FIXED_PLANS } from '../log/postgres/sql/common.ts'

/**
 * The directory's tables. Names are in the order of their bytes. `no` counts up as things are made: an order for
 * lists, with holes.
 */
const TABLES = `
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

/**
 * What is asked with each request, and beside it. A plan that was made while a table had one page, and is kept by the
 * connection, would read the whole of it for each request once it has grown.
 */
const FUNCTIONS = `
-- Tokens by their hashes, in any order, each with the device that asks: its own, else the one shown.
CREATE FUNCTION tidemark.visitors_1(hashes bytea[], shown_devices text[]) RETURNS TABLE (
  place bigint, id text, account text, scopes text, spaces text, default_space text, device text, expires_at bigint,
  last_used_at bigint, revoked_at bigint, last_seen_at bigint, deregistered_at bigint
) STABLE LANGUAGE plpgsql ${FIXED_PLANS} AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT a.place, t.id, t.account, t.scopes, t.spaces, t.default_space, t.device, t.expires_at, t.last_used_at,
    t.revoked_at, d.last_seen_at, d.deregistered_at
  FROM unnest(hashes, shown_devices) WITH ORDINALITY AS a(hash, shown, place)
  CROSS JOIN LATERAL (SELECT * FROM tidemark.access_tokens t WHERE t.hash = a.hash OFFSET 0) t
  LEFT JOIN LATERAL (SELECT * FROM tidemark.devices d
    WHERE d.account = t.account AND d.id = coalesce(t.device, a.shown) OFFSET 0) d ON true;
END $$;

CREATE FUNCTION tidemark.find_space_1(owner text, called text) RETURNS text STABLE LANGUAGE plpgsql ${FIXED_PLANS} AS $$
BEGIN
  RETURN (SELECT s.id FROM tidemark.space_names s WHERE s.account = owner AND s.name = called);
END $$;

CREATE FUNCTION tidemark.device_1(owner text, device text) RETURNS TABLE (last_seen_at bigint, deregistered_at bigint)
STABLE LANGUAGE plpgsql ${FIXED_PLANS} AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT d.last_seen_at, d.deregistered_at FROM tidemark.devices d WHERE d.account = owner AND d.id = device;
END $$;

-- Visits. A row that somebody holds is left out, not waited for: it is noted with the next visit. An older time never
-- replaces a newer one, which another node may have written.
CREATE FUNCTION tidemark.tokens_seen_1(ids text[], times bigint[]) RETURNS void LANGUAGE plpgsql ${FIXED_PLANS} AS $$
BEGIN
  WITH free AS MATERIALIZED (
    SELECT t.id, v.at FROM unnest(ids, times) v(id, at) JOIN tidemark.access_tokens t ON t.id = v.id
    WHERE coalesce(t.last_used_at, 0) < v.at FOR NO KEY UPDATE OF t SKIP LOCKED
  )
  UPDATE tidemark.access_tokens t SET last_used_at = free.at FROM free WHERE t.id = free.id;
END $$;

CREATE FUNCTION tidemark.devices_seen_1(owners text[], ids text[], times bigint[]) RETURNS void LANGUAGE plpgsql ${FIXED_PLANS} AS $$
BEGIN
  WITH free AS MATERIALIZED (
    SELECT d.account, d.id, v.at FROM unnest(owners, ids, times) v(account, id, at)
    JOIN tidemark.devices d ON d.account = v.account AND d.id = v.id
    WHERE d.last_seen_at < v.at FOR NO KEY UPDATE OF d SKIP LOCKED
  )
  UPDATE tidemark.devices d SET last_seen_at = free.at FROM free WHERE d.account = free.account AND d.id = free.id;
END $$;
`

/** Level 1 of the directory; what a function's name ends with, see the log's. */
export const DIRECTORY_FIRST = TABLES + FUNCTIONS
