/** What the functions call is PostgreSQL's own, whatever others put on the caller's path. */
export const OWN_PATH = 'SET search_path = pg_catalog, pg_temp'

/**
 * Plans must not depend on statistics, which are those of an empty table when a node makes its first: each row is
 * looked up by its whole key, pages are read in the order of an index (a sort would read all that is left for each
 * page), and planning anew for each call would cost more than the call.
 */
export const FIXED_PLANS = `${OWN_PATH} SET plan_cache_mode = force_generic_plan
  SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET enable_sort = off SET enable_material = off`

/**
 * One row of a table `name` of ours, by its whole key, for each row beside it: the OFFSET leaves the planner no other
 * way. A plain join may read all that the space has, for each.
 */
export const lookUp = (columns: string, name: string, where: string, lock = ''): string =>
  `LATERAL (SELECT ${columns} FROM tidemark.${name} WHERE ${where} OFFSET 0 ${lock})`

/** Small things that the other functions call. All are inlined but the slow one. */
export const COMMON = `
-- One life of the server, and which database: files can only be put back under a server that starts. The database's oid
-- is the folder of its files; looked up in a table, it could not be inlined, and cost as much as a statement.
CREATE FUNCTION tidemark.boot_1() RETURNS text STABLE LANGUAGE sql AS $$
  SELECT extract(epoch FROM pg_postmaster_start_time())::text || ':'
    || split_part(pg_relation_filepath('pg_catalog.pg_class'::regclass), '/', -2) $$;

CREATE FUNCTION tidemark.claim_1(name text, value text) RETURNS bytea IMMUTABLE LANGUAGE sql AS $$
  SELECT sha256(convert_to(length(name) || ':' || name || value, 'UTF8')) $$;

-- A version that is given with the commit: U+0001 stands for the record's own, U+0002 k U+0002 for k before it.
CREATE FUNCTION tidemark.absolute_slow_1(marked text, own bigint) RETURNS text IMMUTABLE LANGUAGE plpgsql ${OWN_PATH} AS $$
DECLARE parts text[] := string_to_array(replace(marked, U&'\\0001', own::text), U&'\\0002');
BEGIN
  FOR i IN 1 .. cardinality(parts) / 2 LOOP parts[2 * i] := own - parts[2 * i]::bigint; END LOOP;
  RETURN array_to_string(parts, '');
END $$;
CREATE FUNCTION tidemark.absolute_1(marked text, own bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
  SELECT CASE WHEN strpos(marked, U&'\\0002') > 0 THEN tidemark.absolute_slow_1(marked, own)
    ELSE replace(marked, U&'\\0001', own::text) END $$;
`

/**
 * What every answer says of the space, as members of a JSON object; `s` is its row. `fresh`: the last write was of
 * this life of the database, by this very row; `wrote` tells one write of anything in the space from the next.
 */
export const ABOUT = `'epoch', s.epoch, 'generation', s.generation, 'head', s.head, 'floor', s.floor, 'schema', s.schema,
  'wrote', s.wrote::text, 'fresh', s.boot = tidemark.boot_1() AND s.xmin = s.wrote::xid`

/** The JSON text of a record `r` by writer `w`, put together from the pieces it is kept in; `tj`: its table's name as JSON. */
export const RECORD_TEXT = `'{"table":' || tj || ',"key":' || to_json(r.key)::text || ',"version":' || r.version
  || ',"hlc":' || r.hlc || ',"by":' || to_json(w.id)::text
  || CASE WHEN r.buried_at IS NOT NULL THEN ',"deleted":true}' ELSE ',"fields":' || r.fields
    || coalesce(',' || r.ages, '') || coalesce(',"sealed":' || to_json(r.sealed)::text, '') || '}' END`
