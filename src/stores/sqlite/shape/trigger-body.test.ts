import { describe, expect, it } from 'vitest'

import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { readTriggerEffects } from './trigger-effects.ts'
import { splitTrigger } from './trigger-body.ts'

const SCHEMA = `CREATE TABLE t (id INTEGER PRIMARY KEY, x, "end", "begin", "a;b"); CREATE TABLE log (x);
  CREATE TABLE stats (n); CREATE TABLE "begin" (id INTEGER PRIMARY KEY, "select"); CREATE TABLE "🦊;" (x);`

/** A trigger, and the texts of its statements. */
const SPLIT: readonly (readonly [string, string, readonly string[]])[] = [
  ['one statement', 'CREATE TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM log; END', ['DELETE FROM log']],
  [
    'semicolons in strings and names',
    `CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('; END;'';'); UPDATE t SET "a;b" = 1, [a;b] = 2, \`a;b\` = ';'; INSERT INTO "🦊;" SELECT '😀;' AS 🦊; END`,
    [
      `INSERT INTO log VALUES ('; END;'';')`,
      `UPDATE t SET "a;b" = 1, [a;b] = 2, \`a;b\` = ';'`,
      `INSERT INTO "🦊;" SELECT '😀;' AS 🦊`,
    ],
  ],
  [
    'comments everywhere',
    `CREATE TRIGGER a /* BEGIN SELECT 1; */ AFTER INSERT ON t -- BEGIN DELETE
     BEGIN -- ; END
       /* ; */ DELETE FROM /* ; ' " */ log -- it's ; END
       ; -- ;
       /* "; */ UPDATE stats SET n = 1 /* ; */ ; /* END; */ END -- ;`,
    [`DELETE FROM /* ; ' " */ log`, 'UPDATE stats SET n = 1'],
  ],
  [
    'CASE in CASE, and END as a name',
    `CREATE TRIGGER a AFTER INSERT ON t WHEN CASE WHEN new.x THEN 1 END BEGIN
       UPDATE t SET end = CASE WHEN new.x THEN CASE new.id WHEN 1 THEN 2 END ELSE 3 END WHERE id = new.end;
       SELECT CASE WHEN new.x < 0 THEN RAISE(ABORT, 'no; END') END; END`,
    [
      'UPDATE t SET end = CASE WHEN new.x THEN CASE new.id WHEN 1 THEN 2 END ELSE 3 END WHERE id = new.end',
      `SELECT CASE WHEN new.x < 0 THEN RAISE(ABORT, 'no; END') END`,
    ],
  ],
  [
    'BEGIN as the name of a table, a column and the trigger',
    `CREATE TRIGGER begin UPDATE OF begin ON t WHEN new.begin BEGIN DELETE FROM begin; SELECT begin FROM t; end`,
    ['DELETE FROM begin', 'SELECT begin FROM t'],
  ],
  [
    'keywords in parentheses',
    `CREATE TRIGGER a AFTER INSERT ON t WHEN (SELECT begin FROM t) IS NOT (SELECT count(*) FROM (SELECT x begin FROM t)) BEGIN
       INSERT INTO log SELECT x FROM t WHERE x IN (SELECT (1)); END;`,
    ['INSERT INTO log SELECT x FROM t WHERE x IN (SELECT (1))'],
  ],
  [
    'upserts and WITH',
    `CREATE TRIGGER a INSERT ON t BEGIN
       INSERT INTO begin VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET "select" = excluded."select"; REPLACE INTO begin VALUES (1, 1);
       WITH c AS (SELECT 1) SELECT * FROM c; VALUES (1), (2);END`,
    [
      'INSERT INTO begin VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET "select" = excluded."select"',
      'REPLACE INTO begin VALUES (1, 1)',
      'WITH c AS (SELECT 1) SELECT * FROM c',
      'VALUES (1), (2)',
    ],
  ],
]

const NOT_SPLIT: readonly (readonly [string, string])[] = [
  ['no body', 'CREATE TRIGGER a AFTER INSERT ON t'],
  ['no END', 'CREATE TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM log;'],
  ['no last semicolon', 'CREATE TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM log END'],
  ['an empty statement', 'CREATE TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM log;; END'],
  ['an empty body', 'CREATE TRIGGER a AFTER INSERT ON t BEGIN ; END'],
  ['a string without its end', "CREATE TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM log; SELECT 'x; END"],
]

describe('the text of a trigger', () => {
  it.each(SPLIT)('is split: %s', (_, sql, texts) => {
    expect(splitTrigger(sql)?.statements.map(({ text }) => text)).toEqual(texts)
  })

  it.each(NOT_SPLIT)('is left alone: %s', (_, sql) => {
    expect(splitTrigger(sql)).toBeNull()
  })

  for (const driver of [betterSqlite3, nodeSqlite]) {
    it.each(SPLIT)(`is split as SQLite does through ${driver.name}: %s`, (_, sql, texts) => {
      const db = driver.open(':memory:')
      db.exec(SCHEMA)
      db.exec(sql)
      // A statement more that writes a synced table: all others are what is left.
      const name = String(db.value("SELECT name FROM sqlite_schema WHERE type = 'trigger'"))
      const text = String(db.value("SELECT sql FROM sqlite_schema WHERE type = 'trigger'"))
      const split = splitTrigger(text)
      expect(split?.statements.map((statement) => statement.text)).toEqual(texts)
      const more = [...texts, 'UPDATE only SET n = 1'].map((one) => `${one};`).join('\n')
      db.exec(`CREATE TABLE only (n); DROP TRIGGER "${name}"; ${split?.head ?? ''} ${more} END`)
      const [effect] = readTriggerEffects(db, new Set(['only']))
      const kept = `${split?.head ?? ''} ${texts.map((one) => `${one};`).join(' ')} END`
      expect(effect?.kind).toBe('mixed')
      expect(effect?.standIn?.sql).toBe(kept)
      db.exec(`DROP TRIGGER "${name}"; ${kept}`)
      expect(readTriggerEffects(db, new Set(['only']))[0]?.kind).toBe('unsynced')
      db.close()
    })
  }
})
