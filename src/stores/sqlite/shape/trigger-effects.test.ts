import { describe, expect, it } from 'vitest'

import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { installCapture } from '../capture/capture.ts'
import { readShapes } from './read.ts'
import { readTriggerEffects } from './trigger-effects.ts'

const SCHEMA = `
  CREATE TABLE post (id INTEGER PRIMARY KEY, title TEXT, body TEXT, n INT);
  CREATE TABLE tally (id TEXT PRIMARY KEY, n INT) WITHOUT ROWID;
  CREATE TABLE log (text);
  CREATE VIRTUAL TABLE search USING fts5(title, body, content='post', content_rowid='id');
  CREATE VIEW titles AS SELECT id, title FROM post;
  CREATE TRIGGER count_post AFTER INSERT ON post BEGIN UPDATE tally SET n = n + 1 WHERE id = 'post'; END;
  CREATE TRIGGER feed_search AFTER INSERT ON post BEGIN
    INSERT INTO search(rowid, title, body) VALUES (new.id, new.title, new.body); END;
  CREATE TRIGGER feed_log AFTER UPDATE OF title ON post WHEN new.n > 3 BEGIN INSERT INTO log SELECT title FROM post; END;
  CREATE TRIGGER feed_both BEFORE DELETE ON post BEGIN DELETE FROM tally; DELETE FROM log WHERE text = old.title; END;
  CREATE TRIGGER guard BEFORE INSERT ON post WHEN new.n < 0 BEGIN SELECT RAISE(ABORT, 'no'); END;
  CREATE TRIGGER from_log AFTER INSERT ON log BEGIN INSERT OR REPLACE INTO tally VALUES ('log', 1); END;
  CREATE TRIGGER rename_title INSTEAD OF UPDATE ON titles BEGIN UPDATE post SET title = new.title WHERE id = new.id; END;
`

for (const driver of [betterSqlite3, nodeSqlite]) {
  describe(`trigger effects through ${driver.name}`, () => {
    it('tells which triggers write synced tables, other tables, or both', () => {
      const db = driver.open(':memory:')
      db.exec(SCHEMA)
      const { shapes } = readShapes(db)
      expect([...shapes.keys()]).toEqual(['post', 'tally'])
      const before = readTriggerEffects(db, new Set(shapes.keys()))
      expect(before.map(({ name, table, kind, writes }) => [name, table, kind, writes.join()])).toEqual([
        ['count_post', 'post', 'synced', 'tally'],
        ['feed_search', 'post', 'unsynced', ''],
        ['feed_log', 'post', 'unsynced', 'log'],
        ['feed_both', 'post', 'mixed', 'log,tally'],
        ['guard', 'post', 'none', ''],
        ['from_log', 'log', 'synced', 'tally'],
        ['rename_title', 'titles', 'synced', 'post'],
      ])
      expect(before.find(({ name }) => name === 'feed_search')?.writesVirtual).toBe(true)
      installCapture(db, shapes.values())
      expect(readTriggerEffects(db, new Set(shapes.keys()))).toEqual(before)
      db.close()
    })

    it('does not guess about a trigger that cannot be compiled here', () => {
      const db = driver.open(':memory:')
      db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY)')
      db.exec('CREATE TRIGGER odd AFTER INSERT ON t BEGIN SELECT absent(new.id); END')
      expect(readTriggerEffects(db, new Set(['t'])).map(({ kind }) => kind)).toEqual(['unknown'])
      const read = readShapes(db)
      expect([...read.shapes.keys()]).toEqual([])
      expect(read.refused[0]?.reason).toContain('no such function: absent')
      db.close()
    })
  })
}
