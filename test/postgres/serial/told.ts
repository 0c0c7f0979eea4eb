import type pg from 'pg'

/**
 * What the database itself tells of the order in which things were done: under a space's lock, numbers of a sequence
 * come in the order of commits. What a commit does has one `xid`.
 */
export interface Told {
  readonly xid: string
  readonly kind: 'push' | 'batch' | 'gone' | 'floor' | 'head' | 'generation'
  readonly name: string
  readonly key: string
  readonly n: number
}

const TELL = `
CREATE TABLE tidemark.told (
  seq bigint GENERATED ALWAYS AS IDENTITY, xid xid8 DEFAULT pg_current_xact_id(), space int, kind text, name text, key text, n bigint);

CREATE FUNCTION tidemark.tell_push() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO tidemark.told (space, kind, name, n) VALUES (NEW.space, 'push', NEW.id, NEW.mutation); RETURN NULL; END $$;
CREATE TRIGGER tell_first AFTER INSERT ON tidemark.replicas FOR EACH ROW
  WHEN (NEW.mutation > 0) EXECUTE FUNCTION tidemark.tell_push();
CREATE TRIGGER tell_next AFTER UPDATE ON tidemark.replicas FOR EACH ROW
  WHEN (NEW.mutation <> OLD.mutation) EXECUTE FUNCTION tidemark.tell_push();

CREATE FUNCTION tidemark.tell_gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO tidemark.told (space, kind, name, key, n)
    SELECT OLD.space, 'gone', t.name, OLD.key, OLD.version FROM tidemark.tables t WHERE t.space = OLD.space AND t.no = OLD.tbl;
  RETURN NULL; END $$;
CREATE TRIGGER tell_gone AFTER DELETE ON tidemark.records FOR EACH ROW EXECUTE FUNCTION tidemark.tell_gone();

CREATE FUNCTION tidemark.tell_batch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO tidemark.told (space, kind, key, n) SELECT NEW.space, 'batch', NEW.fields, NEW.version FROM tidemark.writers w
    WHERE w.space = NEW.space AND w.no = NEW.writer AND w.id = 'batch';
  RETURN NULL; END $$;
CREATE TRIGGER tell_batch AFTER INSERT OR UPDATE ON tidemark.records FOR EACH ROW EXECUTE FUNCTION tidemark.tell_batch();

CREATE FUNCTION tidemark.tell_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.head <> OLD.head THEN INSERT INTO tidemark.told (space, kind, n) VALUES (NEW.no, 'head', NEW.head); END IF;
  IF NEW.floor <> OLD.floor THEN INSERT INTO tidemark.told (space, kind, n) VALUES (NEW.no, 'floor', NEW.floor); END IF;
  IF NEW.generation <> OLD.generation THEN
    INSERT INTO tidemark.told (space, kind, name, n) VALUES (NEW.no, 'generation', NEW.generation, 0);
  END IF;
  RETURN NULL; END $$;
CREATE TRIGGER tell_space AFTER UPDATE ON tidemark.spaces FOR EACH ROW EXECUTE FUNCTION tidemark.tell_space();
`

export const beginTelling = async (admin: pg.Client): Promise<void> => void (await admin.query(TELL))

/** One list for each commit, in their order. */
export async function readTold(admin: pg.Client, space: string): Promise<readonly (readonly Told[])[]> {
  const { rows } = await admin.query<Told & { readonly n: string }>(
    `SELECT o.xid::text, o.kind, coalesce(o.name, '') AS name, coalesce(o.key, '') AS key, o.n FROM tidemark.told o
     JOIN tidemark.spaces s ON s.no = o.space WHERE s.id = $1 ORDER BY o.seq`,
    [space],
  )
  const commits: Told[][] = []
  const seen = new Set<string>()
  for (const row of rows) {
    const last = commits.at(-1)
    const told = { ...row, n: Number(row.n) }
    if (last?.[0]?.xid === row.xid) last.push(told)
    else {
      if (seen.has(row.xid)) throw new Error('two transactions wrote into one space at the same time')
      seen.add(row.xid)
      commits.push([told])
    }
  }
  return commits
}
