import { ABOUT, FIXED_PLANS, lookUp, RECORD_TEXT } from './common.ts'

/** The writer of the record `r`. */
const WRITER = lookUp('w.id', 'writers w', 'w.space = r.space AND w.no = r.writer')
const ASKED = `ARRAY(SELECT t.no FROM unnest(asked) AS a(name)
      CROSS JOIN ${lookUp('t.no', 'tables t', 't.space = s.no AND t.name = a.name')} t)`

/**
 * One page for each of some pulls, all of one moment (one statement, and STABLE: a VOLATILE function would give the head
 * of a later one, I4): its place, `about` with `next`, `more` and what is known of the replica, and the records as JSON
 * with commas between. A replica's own writes above `high` were made by another copy of it, which the one that asks has
 * not seen. `asked` names the tables of all of them; null: every one. No row where there is no such space.
 */
export const PULL = `
CREATE FUNCTION tidemark.pull_1(sids text[], reps text[], sinces bigint[], highs bigint[], lims int[], bytes bigint, asked text[])
RETURNS TABLE (place bigint, about text, records text) STABLE LANGUAGE plpgsql ${FIXED_PLANS} AS $$
BEGIN
  RETURN QUERY SELECT p.o, json_build_object(${ABOUT}, 'next', CASE WHEN x.found > x.taken THEN x.last ELSE s.head END,
      'more', coalesce(x.found > x.taken, false), 'acked', k.acked, 'seen', k.seen)::text, x.records
    FROM unnest(sids, reps, sinces, highs, lims) WITH ORDINALITY AS p(sid, rep, since, high, lim, o)
    CROSS JOIN ${lookUp('s.*, s.xmin', 'spaces s', 's.id = p.sid')} s
    LEFT JOIN ${lookUp('w.no', 'writers w', 'w.space = s.no AND w.id = p.rep')} own ON true
    LEFT JOIN ${lookUp('k.acked, k.seen', 'replicas k', 'k.space = s.no AND k.id = p.rep')} k ON true
    CROSS JOIN LATERAL (SELECT ${ASKED} AS nos OFFSET 0) n
    CROSS JOIN LATERAL (
      SELECT string_agg(${RECORD_TEXT.replaceAll('tj', 'to_json(t.name)::text')}, ',' ORDER BY r.version) AS records,
        max(r.version) AS last, count(*) AS taken, max(r.found) AS found
      FROM (SELECT q.*, row_number() OVER v AS place, count(*) OVER () AS found, sum(q.size) OVER v - q.size AS before
        FROM (SELECT r.*, coalesce(octet_length(r.fields), 0) AS size FROM tidemark.records r
          WHERE r.space = s.no AND r.version > p.since AND r.version <= s.head
            AND (own.no IS NULL OR r.writer <> own.no OR r.version > p.high) AND (asked IS NULL OR r.tbl = ANY(n.nos))
          ORDER BY r.version LIMIT p.lim + 1) q
        WINDOW v AS (ORDER BY q.version)) r
      CROSS JOIN ${lookUp('t.name', 'tables t', 't.space = r.space AND t.no = r.tbl')} t
      CROSS JOIN ${WRITER} w
      WHERE r.place <= p.lim AND r.before < bytes OFFSET 0) x;
END $$;
`

/**
 * The next live records in the order of tables and keys, each a line of JSON. The sizes are summed before a field is
 * read, so that a page of large rows needs no more memory than it may hold.
 */
export const HYDRATE = `
CREATE FUNCTION tidemark.hydrate_1(sid text, after_table text, after_key text, lim int, bytes bigint, asked text[],
  OUT about text, OUT lines text, OUT last_table text, OUT last_key text)
STABLE LANGUAGE plpgsql ${FIXED_PLANS} AS $$
DECLARE sp int; t record; page text; last text; taken int; weight bigint; tj text; room bigint := bytes; free int := lim;
BEGIN
  SELECT s.no, json_build_object(${ABOUT})::text INTO sp, about FROM tidemark.spaces s WHERE s.id = sid;
  IF sp IS NULL THEN RETURN; END IF;
  FOR t IN SELECT x.no, x.name FROM tidemark.tables x WHERE x.space = sp AND x.live > 0
    AND (after_table IS NULL OR x.name >= after_table) AND (asked IS NULL OR x.name = ANY(asked)) ORDER BY x.name
  LOOP
    tj := to_json(t.name)::text;
    SELECT string_agg(${RECORD_TEXT}, E'\\n' ORDER BY r.key), max(r.key), count(*), sum(r.size)
      INTO page, last, taken, weight
      FROM (SELECT p.*, sum(p.size) OVER (ORDER BY p.key) - p.size AS before
        FROM (SELECT r.*, octet_length(r.fields) AS size FROM tidemark.records r
          WHERE r.space = sp AND r.tbl = t.no AND r.key > CASE WHEN t.name = after_table THEN after_key ELSE '' END
            AND r.buried_at IS NULL ORDER BY r.key LIMIT free) p) r
      CROSS JOIN ${WRITER} w
      WHERE r.before < room;
    CONTINUE WHEN taken = 0;
    lines := CASE WHEN lines IS NULL THEN page ELSE lines || E'\\n' || page END;
    last_table := t.name; last_key := last;
    free := free - taken; room := room - weight;
    EXIT WHEN free <= 0 OR room <= 0;
  END LOOP;
END $$;
`
