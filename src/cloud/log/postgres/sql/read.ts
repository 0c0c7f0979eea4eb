import { ABOUT, FIXED_PLANS, lookUp, RECORD_TEXT } from './common.ts'

const WRITER = lookUp('w.id', 'writers w', 'w.space = sp AND w.no = r.writer')

/**
 * One page of a pull, of one moment (STABLE; a VOLATILE function would give the head of a later one, I4): `about` with
 * `next`, `more` and what is known of the replica, and the records as JSON with commas between. A replica's own
 * writes above `high` were made by another copy of it, which the one that asks has not seen.
 */
export const PULL = `
CREATE FUNCTION tidemark.pull_1(sid text, rep text, since bigint, high bigint, lim int, bytes bigint, asked text[],
  OUT about text, OUT records text)
STABLE LANGUAGE plpgsql ${FIXED_PLANS} AS $$
DECLARE sp int; hd bigint; own int; nos int[]; last bigint; taken int; found int;
BEGIN
  SELECT s.no, s.head, w.no INTO sp, hd, own FROM tidemark.spaces s
    LEFT JOIN tidemark.writers w ON w.space = s.no AND w.id = rep WHERE s.id = sid;
  IF sp IS NULL THEN RETURN; END IF;
  IF asked IS NOT NULL THEN
    nos := ARRAY(SELECT t.no FROM unnest(asked) AS a(name)
      CROSS JOIN ${lookUp('t.no', 'tables t', 't.space = sp AND t.name = a.name')} t);
  END IF;
  SELECT string_agg(${RECORD_TEXT.replaceAll('tj', 'to_json(t.name)::text')}, ',' ORDER BY r.version), max(r.version), count(*),
      max(r.found)
    INTO records, last, taken, found
    FROM (SELECT p.*, row_number() OVER v AS place, count(*) OVER () AS found, sum(p.size) OVER v - p.size AS before
      FROM (SELECT r.*, coalesce(octet_length(r.fields), 0) AS size FROM tidemark.records r
        WHERE r.space = sp AND r.version > since AND r.version <= hd
          AND (own IS NULL OR r.writer <> own OR r.version > high) AND (nos IS NULL OR r.tbl = ANY(nos))
        ORDER BY r.version LIMIT lim + 1) p
      WINDOW v AS (ORDER BY p.version)) r
    CROSS JOIN ${lookUp('t.name', 'tables t', 't.space = sp AND t.no = r.tbl')} t
    CROSS JOIN ${WRITER} w
    WHERE r.place <= lim AND r.before < bytes;
  SELECT json_build_object(${ABOUT}, 'next', CASE WHEN found > taken THEN last ELSE s.head END, 'more', coalesce(found > taken, false),
      'acked', r.acked, 'seen', r.seen)::text
    INTO about FROM tidemark.spaces s LEFT JOIN tidemark.replicas r ON r.space = s.no AND r.id = rep WHERE s.no = sp;
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
