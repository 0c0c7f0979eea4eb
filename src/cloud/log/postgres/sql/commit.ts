import { FIXED_PLANS, lookUp } from './common.ts'

const TABLE_NAMED = lookUp('t.no', 'tables t', 't.space = sp AND t.name = n.name')
const WRITER_NAMED = lookUp('w.no', 'writers w', 'w.space = sp AND w.id = n.id')

/**
 * Writes what was decided on a view, if the view still holds. Takes the space's lock, and with it the order of
 * versions (I4); every statement after that has a snapshot of its own, taken under the lock. Answers the head
 * that the versions count from, or null, with nothing done, when anything that was read has moved, or when the database
 * has begun another life: versions may then never continue the old generation (I11).
 *
 * The first `written` of the tables `tn` are written to, and `cl` and `cb` say by how many their live rows and
 * tombstones grow. No EXCEPTION block may stand around these statements: the row of `spaces` would get another xmin.
 */
export const COMMIT = `
CREATE FUNCTION tidemark.commit_1(sid text, gen text, wrote0 xid8, floor0 bigint,
  tn text[], written int, wn text[],
  rt int[], rk text[], rv bigint[],
  ht int[], hn text[], hv text[], hk text[],
  wt int[], wk text[], wo bigint[], wh bigint[], wby int[], wb bigint[], ww bigint[], ws text[], wc text[], wa text[], wf text[],
  total bigint, cl bigint[], cb bigint[],
  dt int[], dn text[], dv text[], dk text[],
  tt int[], tc text[], tv text[], tk text[],
  mr text[], mlast bigint[], mnum bigint[], mhash text[], mans text[], macked bigint[], mseen bigint)
RETURNS bigint LANGUAGE plpgsql ${FIXED_PLANS} AS $$
DECLARE sp int; hd bigint; fl bigint; g text; w xid8; fresh boolean; nos int[]; wnos int[];
BEGIN
  SELECT s.no, s.head, s.floor, s.generation, s.wrote, s.boot = tidemark.boot_1() AND s.xmin = s.wrote::xid
    INTO sp, hd, fl, g, w, fresh FROM tidemark.spaces s WHERE s.id = sid FOR UPDATE;
  IF sp IS NULL OR NOT fresh OR g <> gen OR fl <> floor0 THEN RETURN NULL; END IF;
  PERFORM FROM unnest(mr, mlast) AS m(id, last)
    LEFT JOIN ${lookUp('r.mutation', 'replicas r', 'r.space = sp AND r.id = m.id')} r ON true
    WHERE coalesce(r.mutation, 0) <> m.last LIMIT 1;
  IF FOUND THEN RETURN NULL; END IF;

  IF w <> wrote0 THEN
    SELECT array_agg(t.no ORDER BY n.o) INTO nos FROM unnest(tn) WITH ORDINALITY AS n(name, o)
      LEFT JOIN ${TABLE_NAMED} t ON true;
    PERFORM FROM unnest(rt, rk, rv) AS x(t, k, v) LEFT JOIN LATERAL (SELECT r.version FROM tidemark.records r
        WHERE r.space = sp AND r.tbl = nos[x.t] AND r.key = x.k OFFSET 0) r ON true
      WHERE coalesce(r.version, 0) <> x.v LIMIT 1;
    IF FOUND THEN RETURN NULL; END IF;
    IF ht IS NOT NULL THEN
      PERFORM FROM unnest(ht, hn, hv, hk) AS h(t, n, v, k) LEFT JOIN LATERAL (SELECT c.key FROM tidemark.claims c
          WHERE c.space = sp AND c.tbl = nos[h.t] AND c.claim = tidemark.claim_1(h.n, h.v) OFFSET 0) c ON true
        WHERE c.key IS DISTINCT FROM h.k LIMIT 1;
      IF FOUND THEN RETURN NULL; END IF;
    END IF;
  END IF;

  IF total > 0 THEN
    INSERT INTO tidemark.tables (space, no, name)
      SELECT sp, (SELECT coalesce(max(t.no), 0) FROM tidemark.tables t WHERE t.space = sp) + row_number() OVER (), n.name
      FROM unnest(tn[1:written]) AS n(name) LEFT JOIN ${TABLE_NAMED} t ON true WHERE t.no IS NULL;
    INSERT INTO tidemark.writers (space, no, id)
      SELECT sp, (SELECT coalesce(max(w.no), 0) FROM tidemark.writers w WHERE w.space = sp) + row_number() OVER (), n.id
      FROM unnest(wn) AS n(id) LEFT JOIN ${WRITER_NAMED} w ON true WHERE w.no IS NULL;
    SELECT array_agg(t.no ORDER BY n.o) INTO nos FROM unnest(tn) WITH ORDINALITY AS n(name, o)
      LEFT JOIN ${TABLE_NAMED} t ON true;
    SELECT array_agg(w.no ORDER BY n.o) INTO wnos FROM unnest(wn) WITH ORDINALITY AS n(id, o)
      CROSS JOIN ${WRITER_NAMED} w;
    INSERT INTO tidemark.records (space, tbl, version, hlc, writer, buried_at, was, key, sealed, claims, ages, fields)
      SELECT sp, nos[x.t], hd + x.o, x.h, wnos[x.by], x.b, x.w, x.k, x.s,
        tidemark.absolute_1(x.c, hd + x.o), tidemark.absolute_1(x.a, hd + x.o), x.f
      FROM unnest(wt, wk, wo, wh, wby, wb, ww, ws, wc, wa, wf) AS x(t, k, o, h, by, b, w, s, c, a, f)
      ON CONFLICT (space, tbl, key) DO UPDATE SET version = excluded.version, hlc = excluded.hlc, writer = excluded.writer,
        buried_at = excluded.buried_at, was = excluded.was, sealed = excluded.sealed, claims = excluded.claims,
        ages = excluded.ages, fields = excluded.fields;
    -- Values are let go before any is taken, so that rows can swap them.
    IF dt IS NOT NULL THEN
      -- Only who has the space's lock touches its claims: they stay in their places.
      DELETE FROM tidemark.claims WHERE ctid = ANY(ARRAY(SELECT c.ctid FROM unnest(dt, dn, dv, dk) AS d(t, n, v, k)
        CROSS JOIN ${lookUp('c.ctid, c.key', 'claims c', 'c.space = sp AND c.tbl = nos[d.t] AND c.claim = tidemark.claim_1(d.n, d.v)')} c
        WHERE c.key = d.k));
    END IF;
    IF tt IS NOT NULL THEN
      INSERT INTO tidemark.claims (space, tbl, claim, key)
        SELECT sp, nos[x.t], tidemark.claim_1(x.n, x.v), x.k FROM unnest(tt, tc, tv, tk) AS x(t, n, v, k);
    END IF;
    FOR i IN 1 .. written LOOP
      CONTINUE WHEN cl[i] = 0 AND cb[i] = 0;
      UPDATE tidemark.tables t SET live = t.live + cl[i], buried = t.buried + cb[i] WHERE t.space = sp AND t.no = nos[i];
    END LOOP;
    UPDATE tidemark.spaces SET head = hd + total, boot = tidemark.boot_1(), wrote = pg_current_xact_id() WHERE no = sp;
  END IF;

  INSERT INTO tidemark.replicas AS r (space, id, mutation, hashes, base, answer, acked, seen)
    SELECT sp, m.id, m.num, m.hashes, hd, m.answer, m.acked, mseen
    -- In the order in which acknowledgements are written, which take no lock of the space: neither waits for the other.
    FROM unnest(mr, mnum, mhash, mans, macked) AS m(id, num, hashes, answer, acked) ORDER BY m.id COLLATE "C"
    ON CONFLICT (space, id) DO UPDATE SET mutation = excluded.mutation, hashes = excluded.hashes, base = excluded.base,
      answer = excluded.answer, acked = coalesce(excluded.acked, r.acked), seen = excluded.seen;
  DELETE FROM tidemark.staged g WHERE g.space = sp AND g.replica = ANY(mr);
  RETURN hd;
END $$;
`
