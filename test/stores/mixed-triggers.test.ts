import { afterEach, describe, expect, test } from 'vitest'

import { createHandler } from '../../src/cloud/handler/handler.ts'
import { MemoryLog } from '../../src/cloud/log/memory.ts'
import { seededRandom } from '../../src/kernel/random.ts'
import { betterSqlite3 } from '../../src/stores/sqlite/driver/better-sqlite3.ts'
import { nodeSqlite } from '../../src/stores/sqlite/driver/node-sqlite.ts'
import { all } from '../../src/stores/sqlite/store/harness.ts'
import { createDirectory } from '../../sim/directory.ts'
import { openDevice, STILL, type Device } from './pair/device.ts'

/** A notes application whose triggers keep a full-text index, a counter and a time, each in one trigger. */
const NOTES = [
  'CREATE TABLE note (id INTEGER PRIMARY KEY, title TEXT, updated_at TEXT)',
  'CREATE TABLE stats (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)',
  "CREATE VIRTUAL TABLE note_fts USING fts5 (title, content = 'note', content_rowid = 'id')",
  `CREATE TRIGGER note_i AFTER INSERT ON note BEGIN
    INSERT INTO note_fts (rowid, title) VALUES (new.id, new.title); UPDATE stats SET n = n + 1; END`,
  `CREATE TRIGGER note_d AFTER DELETE ON note BEGIN
    UPDATE stats SET n = n - 1; INSERT INTO note_fts (note_fts, rowid, title) VALUES ('delete', old.id, old.title); END`,
  `CREATE TRIGGER note_u AFTER UPDATE OF title ON note BEGIN
    INSERT INTO note_fts (note_fts, rowid, title) VALUES ('delete', old.id, old.title);
    INSERT INTO note_fts (rowid, title) VALUES (new.id, new.title);
    UPDATE note SET updated_at = 'at ' || (SELECT name FROM me) WHERE id = new.id; END`,
  'CREATE TABLE me (name)',
]
const TRIGGERS =
  "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name NOT LIKE '\\_tidemark%' ESCAPE '\\' ORDER BY rowid"
const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const find = ({ app }: Device, word: string): readonly unknown[] =>
  all(app, `SELECT rowid FROM note_fts WHERE note_fts MATCH '${word}'`).flat()

describe.each([betterSqlite3, nodeSqlite])(
  'triggers that write synced tables and an index ($name)',
  (driver) => {
    test('both files find each other’s rows, count once, and have their triggers as before', async () => {
      const random = seededRandom(1)
      const log = new MemoryLog({ clock: STILL, random })
      const handler = createHandler({ log, directory: createDirectory(), clock: STILL, random })
      closers.push(async () => handler.stop())
      const open = async (name: string): Promise<Device> => {
        const statements = [...NOTES, `INSERT INTO me VALUES ('${name}')`]
        const device = await openDevice({ name, handler, driver, statements, fails: () => false })
        closers.push(async () => device[Symbol.asyncDispose]())
        return device
      }
      const [a, b] = [await open('a'), await open('b')]
      const before = all(a.app, TRIGGERS)
      const rest = async (): Promise<void> => {
        for (let round = 0; round < 3; round++) for (const device of [a, b]) await device.sync()
        for (const { app, store } of [a, b]) {
          app.exec("INSERT INTO note_fts (note_fts, rank) VALUES ('integrity-check', 1)")
          expect(all(app, TRIGGERS)).toEqual(before)
          expect(await store.listParked(10)).toEqual([])
          expect((await store.readDirty({ rows: 10, bytes: 1e6 })).rows).toEqual([])
        }
        expect(b.rows('note')).toEqual(a.rows('note'))
        expect(b.rows('stats')).toEqual(a.rows('stats'))
      }
      a.edit(['INSERT INTO stats VALUES (1, 0)'])
      await rest()
      a.edit(["INSERT INTO note VALUES (1, 'apple', 'new'), (2, 'pear', 'new')"])
      await rest()
      b.edit(["INSERT INTO note VALUES (3, 'plum', 'new')", "UPDATE note SET title = 'cherry' WHERE id = 1"])
      await rest()
      for (const device of [a, b]) {
        expect(find(device, 'plum')).toEqual([3])
        expect(find(device, 'cherry')).toEqual([1])
        expect(find(device, 'apple')).toEqual([])
      }
      expect(all(a.app, 'SELECT n FROM stats')).toEqual([[3]])
      expect(all(a.app, 'SELECT updated_at FROM note')).toEqual([['at b'], ['new'], ['new']])
      a.edit(['DELETE FROM note WHERE id = 2', "UPDATE note SET title = 'quince' WHERE id = 3"])
      await rest()
      expect([find(b, 'pear'), find(b, 'quince')]).toEqual([[], [3]])
      expect(all(b.app, 'SELECT n FROM stats')).toEqual([[2]])
      expect(all(b.app, 'SELECT updated_at FROM note')).toEqual([['at b'], ['at a']])
    })
  },
)
