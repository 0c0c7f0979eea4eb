import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { openCloudFile } from './file.ts'
import { lockCloudFile } from './lock.ts'
import type { Migration } from './migrate.ts'
import { LOG_MIGRATIONS } from './schema.ts'

const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    return (error as { code: string }).code
  }
  return 'none'
}

describe("a cloud's file", () => {
  let folder = ''
  let file = ''
  const opened: Database.Database[] = []
  const open = (part = { name: 'log', migrations: LOG_MIGRATIONS }): Database.Database => {
    const database = openCloudFile(file, part)
    opened.push(database)
    return database
  }

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tidemark-file-'))
    file = join(folder, 'new', 'cloud.db')
  })
  afterEach(() => {
    for (const database of opened.splice(0)) database.close()
    rmSync(folder, { recursive: true })
  })

  test('every commit is on the disk when it returns', () => {
    const database = open()
    expect(database.pragma('journal_mode', { simple: true })).toBe('wal')
    expect(database.pragma('synchronous', { simple: true })).toBe(2)
  })

  test('is made with its folder, and opened again as it is', () => {
    open().exec(`INSERT INTO writers (id) VALUES ('w')`)
    expect(open().prepare('SELECT id FROM writers').pluck().all()).toEqual(['w'])
  })

  test('a database of something else is left alone', () => {
    file = join(folder, 'app.db')
    const app = new Database(file)
    app.exec('CREATE TABLE users (id INTEGER PRIMARY KEY)')
    app.close()
    expect(codeOf(open)).toBe('not_a_database')
    const after = new Database(file)
    expect(after.prepare('SELECT name FROM sqlite_schema').pluck().all()).toEqual(['users'])
    after.close()
  })

  test('a file that is no database is told as such', () => {
    file = join(folder, 'text.db')
    writeFileSync(file, 'not a database, but long enough to be read as one. '.repeat(40))
    expect(codeOf(open)).toBe('not_a_database')
  })

  test('parts of it are brought up to date each by itself', () => {
    const more: readonly Migration[] = [{ number: 1, readableFrom: 1, sql: 'CREATE TABLE other (x) ' }]
    open()
    const database = open({ name: 'other', migrations: more })
    expect(database.prepare('SELECT part, number FROM migrations ORDER BY part').raw().all()).toEqual([
      ['log', LOG_MIGRATIONS.length],
      ['other', 1],
    ])
  })

  test('steps run once, in order, and all or none', () => {
    const steps = (...sql: readonly string[]) => ({
      name: 'p',
      migrations: sql.map((text, at) => ({ number: at + 1, readableFrom: 1, sql: text })),
    })
    open(steps('CREATE TABLE a (x)'))
    open(steps('CREATE TABLE a (x)', 'CREATE TABLE b (x)'))
    expect(codeOf(() => open(steps('', '', 'CREATE TABLE c (x); CREATE TABLE b (x)')))).not.toBe('none')
    const database = open(steps('', '', 'CREATE TABLE c (x)'))
    expect(
      database.prepare(`SELECT name FROM sqlite_schema WHERE name IN ('a', 'b', 'c')`).pluck().all(),
    ).toEqual(['a', 'b', 'c'])
  })

  test('a file that a newer program changed is refused where this one cannot read it', () => {
    const newer = (readableFrom: number) => ({
      name: 'p',
      migrations: [
        { number: 1, readableFrom: 1, sql: 'CREATE TABLE a (x)' },
        { number: 2, readableFrom, sql: '' },
      ],
    })
    const old = { name: 'p', migrations: newer(1).migrations.slice(0, 1) }
    open(newer(1))
    expect(codeOf(() => open(old))).toBe('none')
    file = join(folder, 'two.db')
    open(newer(2))
    expect(codeOf(() => open(old))).toBe('needs_upgrade')
  })

  test('one lock, by whatever path the file is reached', () => {
    open()
    const link = join(folder, 'link.db')
    symlinkSync(file, link)
    const unlock = lockCloudFile(file)
    expect(codeOf(() => lockCloudFile(file))).toBe('in_use')
    expect(codeOf(() => lockCloudFile(link))).toBe('in_use')
    unlock()
    lockCloudFile(link)()
  })
})
