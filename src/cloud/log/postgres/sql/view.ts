import { ABOUT, FIXED_PLANS, lookUp } from './common.ts'

/**
 * All that decisions in some spaces can depend on, read without a lock and in one snapshot (STABLE): the spaces (null:
 * there is none), each replica's last mutation (with its kept answer where that is asked for again), the rows, the
 * holders of unique values. Replicas and tables name their space by its place (`vs`, `ns`), rows and values their
 * table. What is not there is left out; each begins with its place in the asked ones. Where the rows hold more than
 * `room` bytes together, only how many is told: no node could hold them.
 */
export const VIEW = `
CREATE FUNCTION tidemark.view_1(sids text[], vs int[], reps text[], numbers bigint[], ns int[], tn text[], rt int[], rk text[],
  ht int[], hn text[], hv text[], room bigint,
  OUT about text, OUT replicas text, OUT rows text, OUT touched bigint, OUT holders text)
STABLE LANGUAGE plpgsql ${FIXED_PLANS} AS $$
DECLARE sps int[]; tsp int[]; nos int[];
BEGIN
  SELECT array_agg(s.no ORDER BY a.o), json_agg(CASE WHEN s.no IS NOT NULL THEN
      json_build_object(${ABOUT}, 'schema_tables', CASE WHEN reps IS NULL THEN s.schema_tables END) END ORDER BY a.o)::text
    INTO sps, about FROM unnest(sids) WITH ORDINALITY AS a(id, o)
    LEFT JOIN ${lookUp('s.*, s.xmin', 'spaces s', 's.id = a.id')} s ON true;
  SELECT json_agg(json_build_array(a.o, r.mutation, r.hashes, r.base, CASE WHEN r.mutation = a.number THEN r.answer END))::text
    INTO replicas FROM unnest(vs, reps, numbers) WITH ORDINALITY AS a(s, id, number, o)
    CROSS JOIN ${lookUp('r.*', 'replicas r', 'r.space = sps[a.s] AND r.id = a.id')} r;
  IF rt IS NULL THEN RETURN; END IF;
  SELECT array_agg(sps[n.s] ORDER BY n.o), array_agg(t.no ORDER BY n.o)
    INTO tsp, nos FROM unnest(ns, tn) WITH ORDINALITY AS n(s, name, o)
    LEFT JOIN ${lookUp('t.no', 'tables t', 't.space = sps[n.s] AND t.name = n.name')} t ON true;
  SELECT string_agg(CASE WHEN r.weight <= room THEN '[' || r.o || ',' || r.version || ',' || r.hlc || ',' || to_json(r.by)::text
      || ',' || coalesce(r.buried_at::text, 'null') || ',' || coalesce(r.was::text, 'null')
      || ',' || coalesce(to_json(r.sealed)::text, 'null') || ',' || coalesce(r.claims, 'null')
      || ',' || coalesce('{' || r.ages || '}', 'null') || ',' || coalesce(r.fields, 'null') || ']' END, ','), max(r.weight)
    INTO rows, touched FROM (SELECT x.o, r.*, w.by, sum(coalesce(octet_length(r.fields), 0) + coalesce(octet_length(r.ages), 0)
        + coalesce(octet_length(r.claims), 0)) OVER () AS weight
      FROM unnest(rt, rk) WITH ORDINALITY AS x(t, k, o)
      CROSS JOIN ${lookUp('r.*', 'records r', 'r.space = tsp[x.t] AND r.tbl = nos[x.t] AND r.key = x.k')} r
      CROSS JOIN ${lookUp('w.id AS by', 'writers w', 'w.space = r.space AND w.no = r.writer')} w) r;
  IF ht IS NULL THEN RETURN; END IF;
  SELECT json_agg(c.key ORDER BY h.o)::text INTO holders FROM unnest(ht, hn, hv) WITH ORDINALITY AS h(t, n, v, o)
    LEFT JOIN ${lookUp('c.key', 'claims c', 'c.space = tsp[h.t] AND c.tbl = nos[h.t] AND c.claim = tidemark.claim_1(h.n, h.v)')} c
      ON true;
END $$;
`
