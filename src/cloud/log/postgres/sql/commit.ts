import { FIXED_PLANS, lookUp } from './common.ts'

const FRESH = 's.boot = tidemark.boot_1() AND s.xmin = s.wrote::xid AS fresh'
const LOCKED = lookUp(
  `s.no, s.head, s.floor, s.generation, s.wrote, ${FRESH}`,
  'spaces s',
  's.id = a.id',
  'FOR UPDATE',
)

/** What is asked of each space, in the order they are asked in. */
const lockSpaces = (locked: string): string => `
    SELECT array_agg(CASE WHEN s.fresh AND s.generation = a.gen AND s.floor = a.floor THEN s.no END ORDER BY a.o),
        array_agg(s.head ORDER BY a.o), array_agg(s.wrote <> a.wrote ORDER BY a.o)
      INTO sps, hds, stale FROM unnest(sids, gens, wrotes, floors) WITH ORDINALITY AS a(id, gen, wrote, floor, o)
      LEFT JOIN ${locked} s ON true;`

const FIND_TABLES = `
    SELECT array_agg(sps[n.s] ORDER BY n.o), array_agg(hds[n.s] ORDER BY n.o), array_agg(t.no ORDER BY n.o)
      INTO tsp, thd, nos FROM unnest(ns, tn) WITH ORDINALITY AS n(s, name, o)
      LEFT JOIN ${lookUp('t.no', 'tables t', 't.space = sps[n.s] AND t.name = n.name')} t ON true;`
const FIND_WRITERS = `
    SELECT array_agg(w.no ORDER BY n.o) INTO wnos FROM unnest(us, un) WITH ORDINALITY AS n(s, id, o)
      LEFT JOIN ${lookUp('w.no', 'writers w', 'w.space = sps[n.s] AND w.id = n.id')} w ON true;`

/**
 * Writes what was decided on views of some spaces, of each whose view still holds. Takes the spaces' locks, and with
 * them the order of versions (I4); every statement after that has a snapshot of its own, taken under the locks. Answers
 * for each space the head that its versions count from, or null, with nothing done in it, when anything that was read
 * has moved, or when the database has begun another life: versions may then never continue the old generation (I11).
 *
 * `waits` is for a space alone. Without it a space that somebody holds is left out, and answered −1: no space waits
 * for another, and who holds one lock never waits for a second.
 *
 * Tables, writers and mutations name their space by its place (`ns`, `us`, `ms`), rows and claims their table. A
 * space that has moved has no number from then on, and so nothing of it is written. `cl` and `cb` say by how many
 * the live rows and tombstones of a table grow; null: it is only read. No EXCEPTION block may stand around these
 * statements: the rows of `spaces` would get another xmin.
 */
export const COMMIT = `
CREATE FUNCTION tidemark.commit_1(waits boolean, sids text[], gens text[], wrotes xid8[], floors bigint[], totals bigint[],
  ns int[], tn text[], cl bigint[], cb bigint[], us int[], un text[],
  rt int[], rk text[], rv bigint[],
  ht int[], hn text[], hv text[], hk text[],
  wt int[], wk text[], wo bigint[], wh bigint[], wby int[], wb bigint[], ww bigint[], ws text[], wc text[], wa text[], wf text[],
  dt int[], dn text[], dv text[], dk text[],
  tt int[], tc text[], tv text[], tk text[],
  ms int[], mr text[], mlast bigint[], mnum bigint[], mhash text[], mans text[], macked bigint[], mseen bigint[])
RETURNS bigint[] LANGUAGE plpgsql ${FIXED_PLANS} AS $$
DECLARE sps int[]; hds bigint[]; stale boolean[]; moved int[]; tsp int[]; thd bigint[]; nos int[]; wnos int[]; at int;
BEGIN
  IF waits THEN${lockSpaces(LOCKED)}
  ELSE${lockSpaces(LOCKED.replace('FOR UPDATE', 'FOR UPDATE SKIP LOCKED'))}
  END IF;
  SELECT array_agg(m.s) INTO moved FROM unnest(ms, mr, mlast) AS m(s, id, last)
    LEFT JOIN ${lookUp('r.mutation', 'replicas r', 'r.space = sps[m.s] AND r.id = m.id')} r ON true
    WHERE coalesce(r.mutation, 0) <> m.last;

  IF true = ANY(stale) THEN${FIND_TABLES}
    SELECT moved || array_agg(ns[x.t]) INTO moved FROM unnest(rt, rk, rv) AS x(t, k, v)
      LEFT JOIN ${lookUp('r.version', 'records r', 'r.space = tsp[x.t] AND r.tbl = nos[x.t] AND r.key = x.k')} r ON true
      WHERE stale[ns[x.t]] AND coalesce(r.version, 0) <> x.v;
    IF ht IS NOT NULL THEN
      SELECT moved || array_agg(ns[h.t]) INTO moved FROM unnest(ht, hn, hv, hk) AS h(t, n, v, k)
        LEFT JOIN ${lookUp('c.key', 'claims c', 'c.space = tsp[h.t] AND c.tbl = nos[h.t] AND c.claim = tidemark.claim_1(h.n, h.v)')} c
          ON true
        WHERE stale[ns[h.t]] AND c.key IS DISTINCT FROM h.k;
    END IF;
  END IF;
  IF moved IS NOT NULL THEN
    FOREACH at IN ARRAY moved LOOP sps[at] := NULL; END LOOP;
  END IF;

  IF cardinality(wt) > 0 THEN${FIND_TABLES}
    IF array_position(nos, NULL) IS NOT NULL THEN
      INSERT INTO tidemark.tables (space, no, name)
        SELECT tsp[n.o], (SELECT coalesce(max(t.no), 0) FROM tidemark.tables t WHERE t.space = tsp[n.o])
          + row_number() OVER (PARTITION BY n.s), n.name
        FROM unnest(ns, tn, cl) WITH ORDINALITY AS n(s, name, live, o)
        WHERE nos[n.o] IS NULL AND tsp[n.o] IS NOT NULL AND n.live IS NOT NULL;${FIND_TABLES}
    END IF;${FIND_WRITERS}
    IF array_position(wnos, NULL) IS NOT NULL THEN
      INSERT INTO tidemark.writers (space, no, id)
        SELECT sps[n.s], (SELECT coalesce(max(w.no), 0) FROM tidemark.writers w WHERE w.space = sps[n.s])
          + row_number() OVER (PARTITION BY n.s), n.id
        FROM unnest(us, un) WITH ORDINALITY AS n(s, id, o) WHERE wnos[n.o] IS NULL AND sps[n.s] IS NOT NULL;${FIND_WRITERS}
    END IF;
    INSERT INTO tidemark.records (space, tbl, version, hlc, writer, buried_at, was, key, sealed, claims, ages, fields)
      SELECT tsp[x.t], nos[x.t], thd[x.t] + x.o, x.h, wnos[x.by], x.b, x.w, x.k, x.s,
        tidemark.absolute_1(x.c, thd[x.t] + x.o), tidemark.absolute_1(x.a, thd[x.t] + x.o), x.f
      FROM unnest(wt, wk, wo, wh, wby, wb, ww, ws, wc, wa, wf) AS x(t, k, o, h, by, b, w, s, c, a, f)
      WHERE tsp[x.t] IS NOT NULL
      ON CONFLICT (space, tbl, key) DO UPDATE SET version = excluded.version, hlc = excluded.hlc, writer = excluded.writer,
        buried_at = excluded.buried_at, was = excluded.was, sealed = excluded.sealed, claims = excluded.claims,
        ages = excluded.ages, fields = excluded.fields;
    -- Values are let go before any is taken, so that rows can swap them.
    IF dt IS NOT NULL THEN
      -- Only who has the space's lock touches its claims: they stay in their places.
      DELETE FROM tidemark.claims WHERE ctid = ANY(ARRAY(SELECT c.ctid FROM unnest(dt, dn, dv, dk) AS d(t, n, v, k)
        CROSS JOIN ${lookUp('c.ctid, c.key', 'claims c', 'c.space = tsp[d.t] AND c.tbl = nos[d.t] AND c.claim = tidemark.claim_1(d.n, d.v)')} c
        WHERE c.key = d.k));
    END IF;
    IF tt IS NOT NULL THEN
      INSERT INTO tidemark.claims (space, tbl, claim, key)
        SELECT tsp[x.t], nos[x.t], tidemark.claim_1(x.n, x.v), x.k FROM unnest(tt, tc, tv, tk) AS x(t, n, v, k)
        WHERE tsp[x.t] IS NOT NULL;
    END IF;
    -- Each is there by now.
    INSERT INTO tidemark.tables AS t (space, no, name, live, buried)
      SELECT n.sp, n.no, n.name, n.live, n.buried FROM unnest(tsp, nos, tn, cl, cb) AS n(sp, no, name, live, buried)
      WHERE n.sp IS NOT NULL AND (n.live <> 0 OR n.buried <> 0)
      ON CONFLICT (space, no) DO UPDATE SET live = t.live + excluded.live, buried = t.buried + excluded.buried;
    UPDATE tidemark.spaces s SET head = a.head + a.total, boot = tidemark.boot_1(), wrote = pg_current_xact_id()
      FROM (SELECT p.ctid, a.* FROM unnest(sps, hds, totals) AS a(no, head, total)
        CROSS JOIN ${lookUp('p.ctid', 'spaces p', 'p.no = a.no')} p WHERE a.total > 0 OFFSET 0) a
      WHERE s.ctid = a.ctid;
  END IF;

  INSERT INTO tidemark.replicas AS r (space, id, mutation, hashes, base, answer, acked, seen)
    SELECT sps[m.s], m.id, m.num, m.hashes, hds[m.s], m.answer, m.acked, m.seen
    FROM unnest(ms, mr, mnum, mhash, mans, macked, mseen) AS m(s, id, num, hashes, answer, acked, seen)
    WHERE sps[m.s] IS NOT NULL
    -- In the order in which acknowledgements are written, which take no lock of the space: neither waits for the other.
    ORDER BY sps[m.s], m.id COLLATE "C"
    ON CONFLICT (space, id) DO UPDATE SET mutation = excluded.mutation, hashes = excluded.hashes, base = excluded.base,
      answer = excluded.answer, acked = coalesce(excluded.acked, r.acked), seen = excluded.seen;
  DELETE FROM tidemark.staged WHERE ctid = ANY(ARRAY(SELECT g.ctid FROM unnest(ms, mr) AS m(s, id)
    CROSS JOIN ${lookUp('g.ctid', 'staged g', 'g.space = sps[m.s] AND g.replica = m.id')} g));
  FOR at IN 1 .. cardinality(sids) LOOP
    CONTINUE WHEN sps[at] IS NOT NULL;
    hds[at] := CASE WHEN hds[at] IS NULL AND NOT waits THEN -1 END;
  END LOOP;
  RETURN hds;
END $$;
`
