import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { TidemarkError } from '../../../kernel/errors.ts'
import { transact, type Driver } from './driver.ts'
import { SqliteFailure } from './failure.ts'

/** What every driver must do. */
export function driverContract(driver: Driver): void {
  describe(`driver ${driver.name}`, () => {
    let folder = ''
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'tidemark-driver-'))
    })
    afterAll(() => rmSync(folder, { recursive: true, force: true }))

    const codeOf = (work: () => unknown): string => {
      try {
        work()
      } catch (error) {
        return error instanceof TidemarkError ? error.code : String(error)
      }
      return 'none'
    }
    const failureOf = (work: () => unknown): SqliteFailure => {
      try {
        work()
      } catch (error) {
        if (error instanceof SqliteFailure) return error
        throw error
      }
      throw new Error('nothing was thrown')
    }

    it('I10: keeps integers, reals, text and blobs apart in a column without type', () => {
      const db = driver.open(':memory:')
      db.exec('CREATE TABLE v (a)')
      const values = [1n, 1, -0, 2n ** 63n - 1n, -(2n ** 63n), Infinity, 'a\0b', '', '\ufeffx', null]
      const insert = db.prepare('INSERT INTO v VALUES (?)')
      for (const value of values) insert.run(value)
      insert.run(new Uint8Array([0, 255]))
      insert.run(new Uint8Array(0))
      const rows = db.prepare('SELECT a, typeof(a) FROM v ORDER BY rowid').all()
      expect(rows.slice(0, values.length).map((row) => row[0])).toEqual(values)
      expect(rows.map((row) => row[1]).join(' ')).toBe(
        'integer real real integer integer real text text text null blob blob',
      )
      expect(rows.slice(-2).map((row) => Array.from(row[0] as Uint8Array))).toEqual([[0, 255], []])
      db.close()
    })

    it('gives rows as arrays, so that equal names do not hide each other', () => {
      const db = driver.open(':memory:')
      const statement = db.prepare('SELECT 1 AS a, 2 AS a WHERE ? = 7')
      expect(statement.columns).toEqual(['a', 'a'])
      expect(statement.get(7n)).toEqual([1n, 2n])
      expect(statement.get(8n)).toBeUndefined()
      expect(statement.all(7n)).toEqual([[1n, 2n]])
      expect([...statement.iterate(7n)]).toEqual([[1n, 2n]])
      expect(db.value('SELECT 5 WHERE 0')).toBeNull()
      db.close()
    })

    it('tells changes and the last row number', () => {
      const db = driver.open(':memory:')
      db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, a)')
      expect(db.prepare('INSERT INTO t VALUES (?, ?)').run(2n ** 60n, 'x')).toEqual({
        changes: 1,
        lastRowid: 2n ** 60n,
      })
      expect(db.prepare('DELETE FROM t').run().changes).toBe(1)
      expect(db.prepare('PRAGMA user_version = 3').columns).toEqual([])
      db.close()
    })

    it('opens with cascades off and the defensive flag on', () => {
      const db = driver.open(':memory:')
      expect(db.value('PRAGMA foreign_keys')).toBe(0n)
      expect(db.value('PRAGMA recursive_triggers')).toBe(0n)
      db.exec('PRAGMA writable_schema = ON')
      expect(codeOf(() => db.exec("UPDATE sqlite_master SET name = 'x'"))).not.toBe('none')
      db.close()
    })

    it('runs the setup hook before anything is read', () => {
      const register = (database: unknown): void => {
        const library = database as { function(name: string, run: () => number): void }
        library.function('seven', () => 7)
      }
      const db = driver.open(':memory:', { setup: register })
      expect(db.value('SELECT seven()')).toBe(7)
      db.close()
    })

    it('names what a constraint refused, without values', () => {
      const db = driver.open(':memory:')
      db.exec('CREATE TABLE t (a UNIQUE, b NOT NULL, c CHECK (c <> 42), d INTEGER PRIMARY KEY)')
      db.exec("INSERT INTO t VALUES ('secret', 1, 1, 1)")
      const unique = failureOf(() => db.exec("INSERT INTO t VALUES ('secret', 1, 1, 2)"))
      expect([unique.code, unique.constraint, unique.names]).toEqual(['unprocessable', 'unique', ['t.a']])
      expect(JSON.stringify(unique) + unique.message).not.toContain('secret')
      expect(failureOf(() => db.exec('INSERT INTO t(a) VALUES (1)')).names).toEqual(['t.b'])
      expect(failureOf(() => db.exec('INSERT INTO t VALUES (2, 1, 42, 3)')).constraint).toBe('check')
      expect(failureOf(() => db.exec('INSERT INTO t VALUES (2, 1, 1, 1)')).constraint).toBe('primary-key')
      expect(failureOf(() => db.exec("INSERT INTO t VALUES (2, 1, 1, 'x')")).sqlite).toBe('SQLITE_MISMATCH')
      db.exec("CREATE TRIGGER g BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'secret'); END")
      const raised = failureOf(() => db.exec('DELETE FROM t'))
      expect(raised.constraint).toBe('trigger')
      expect(JSON.stringify(raised) + raised.message).not.toContain('secret')
      expect(failureOf(() => db.prepare('SELECT absent(1)')).message).toContain('no such function: absent')
      db.close()
    })

    it('maps what went wrong to codes of ours', () => {
      const plain = join(folder, 'plain.txt')
      writeFileSync(plain, 'not a database, '.repeat(200))
      expect(codeOf(() => driver.open(plain))).toBe('not_a_database')
      expect(codeOf(() => driver.open(join(folder, 'missing.db')))).toBe('file_not_found')
      expect(codeOf(() => driver.open(join(folder, 'no', 'folder.db'), { create: true }))).toBe(
        'file_not_found',
      )
      const file = join(folder, `lock-${driver.name}.db`)
      const one = driver.open(file, { create: true })
      one.exec('CREATE TABLE t (a)')
      const two = driver.open(file, { busyMs: 0 })
      one.exec('BEGIN IMMEDIATE')
      expect(codeOf(() => two.exec('BEGIN IMMEDIATE'))).toBe('database_locked')
      one.exec('COMMIT')
      one.exec('PRAGMA max_page_count = 3')
      expect(codeOf(() => one.exec('INSERT INTO t VALUES (zeroblob(100000))'))).toBe('disk_full')
      one.close()
      two.close()
      const reader = driver.open(file, { readonly: true })
      expect(failureOf(() => reader.exec('DELETE FROM t')).sqlite).toMatch(/^SQLITE_READONLY/)
      expect(failureOf(() => reader.exec('DELETE FROM t')).code).toBe('no_access')
      reader.close()
      reader.close()
    })

    it('transact commits, rolls back, and nests', () => {
      const db = driver.open(':memory:')
      db.exec('CREATE TABLE t (a)')
      const add = (value: string): void => void db.prepare('INSERT INTO t VALUES (?)').run(value)
      const fail = (): never => {
        throw new Error('stop')
      }
      transact(db, 'immediate', () => {
        expect(db.inTransaction).toBe(true)
        add('kept')
        expect(() =>
          transact(db, 'immediate', () => {
            add('undone')
            fail()
          }),
        ).toThrow('stop')
      })
      expect(() =>
        transact(db, 'deferred', () => {
          add('undone')
          fail()
        }),
      ).toThrow('stop')
      expect(db.inTransaction).toBe(false)
      expect(db.prepare('SELECT a FROM t').all()).toEqual([['kept']])
      db.close()
    })
  })
}
