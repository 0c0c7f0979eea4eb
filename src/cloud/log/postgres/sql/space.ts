import { OWN_PATH } from './common.ts'

/** Making spaces, and beginning their generations. Every write of a row of `spaces` leaves its marks. */
export const SPACES = `
-- True where it made the space.
CREATE FUNCTION tidemark.ensure_space_1(sid text, new_epoch text, gen text) RETURNS boolean LANGUAGE plpgsql ${OWN_PATH} AS $$
DECLARE sp int;
BEGIN
  -- An INSERT that finds it there takes a number all the same, and numbers end.
  IF EXISTS (SELECT FROM tidemark.spaces s WHERE s.id = sid) THEN RETURN false; END IF;
  INSERT INTO tidemark.spaces (id, epoch, generation, boot, wrote)
    VALUES (sid, new_epoch, gen, tidemark.boot_1(), pg_current_xact_id()) ON CONFLICT (id) DO NOTHING RETURNING no INTO sp;
  IF sp IS NULL THEN RETURN false; END IF;
  INSERT INTO tidemark.generations (space, number, id, start) VALUES (sp, 0, gen, 0);
  RETURN true;
END $$;

-- A generation at the head, where the marks say that this life of the database has none yet, or where it is asked for.
-- Answers the head it begins at; null: another node was first, or there is no such space.
CREATE FUNCTION tidemark.begin_generation_1(sid text, gen text, always boolean) RETURNS bigint LANGUAGE plpgsql ${OWN_PATH} AS $$
DECLARE sp int; hd bigint; fresh boolean;
BEGIN
  SELECT s.no, s.head, s.boot = tidemark.boot_1() AND s.xmin = s.wrote::xid INTO sp, hd, fresh
    FROM tidemark.spaces s WHERE s.id = sid FOR UPDATE;
  IF sp IS NULL OR (fresh AND NOT always) THEN RETURN NULL; END IF;
  INSERT INTO tidemark.generations (space, number, id, start)
    SELECT sp, max(g.number) + 1, gen, hd FROM tidemark.generations g WHERE g.space = sp;
  UPDATE tidemark.spaces SET generation = gen, boot = tidemark.boot_1(), wrote = pg_current_xact_id() WHERE no = sp;
  RETURN hd;
END $$;
`
