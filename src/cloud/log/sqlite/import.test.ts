import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { spaceOfRows } from '../../../../test/cloud/copied-space.ts'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { contentOf, copyOf, readCopy } from '../../../testing/log-contract/copies-harness.ts'
import { codeOf, put, Reader, SPACE, START } from '../../../testing/log-contract/harness.ts'
import type { CopiedRecord, SpaceCopy } from '../copy.ts'
import { openSqliteLog } from '../sqlite.ts'
import { countSpaces, openSpaceCopy } from './copy.ts'
import { openCloudFile } from './file.ts'
import { LOG_MIGRATIONS } from './schema.ts'

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'tidemark-import-'))))
afterAll(() => rmSync(folder, { recursive: true }))

const clock = { now: () => START, after: () => () => {} }

/** `count` large rows; `page` runs before each page of them. */
const largeCopy = (count: number, page: (at: number) => Promise<void> | void = () => {}): SpaceCopy => ({
  space: spaceOfRows(count),
  async *pages() {
    for (let at = 0; at < count; at++) {
      await page(at)
      const record: CopiedRecord = {
        record: {
          table: 't',
          key: `["${at}"]`,
          version: at + 1,
          hlc: 1,
          by: 'a',
          fields: { x: 'long '.repeat(10_000) },
        },
        was: null,
        claims: {},
        buriedAt: null,
      }
      yield { records: [record], replicas: [] }
    }
  },
})

test('an import that finds no room leaves nothing, and all others go on', async () => {
  const file = join(folder, 'full.db')
  await using log = await openSqliteLog({ file, clock, maxBytes: 4_000_000 })
  await log.ensureSpace(SPACE)
  const a = new Reader(log, 'a')
  await a.write(put('1', 0, {}))
  expect(await codeOf(log.importSpace('new', largeCopy(200)))).toBe('disk_full')
  expect(await codeOf(log.status('new'))).toBe('space_not_found')
  expect(await a.write(put('2', 0, {}))).toEqual([2])
  await log.importSpace('new', largeCopy(20))
  expect((await log.status('new')).records).toBe(20)
})

test('a log that is closed in the middle of an import has imported nothing', async () => {
  const file = join(folder, 'closed.db')
  const log = await openSqliteLog({ file, clock })
  const closing: PromiseLike<void>[] = []
  const copy = largeCopy(50, (at) => {
    if (at === 20) closing.push(log[Symbol.asyncDispose]())
  })
  expect(await codeOf(log.importSpace(SPACE, copy))).toBe('unavailable')
  await Promise.all(closing)
  await using again = await openSqliteLog({ file, clock })
  expect(await codeOf(again.status(SPACE))).toBe('space_not_found')
})

const look = async (file: string): Promise<unknown> => openSpaceCopy(file, SPACE)

test('to look at a file changes nothing of it, whoever serves it and whatever it is', async () => {
  const file = join(folder, 'looked-at.db')
  const nowhere = join(folder, 'no', 'such', 'cloud.db')
  expect(await codeOf(look(nowhere))).toBe('file_not_found')
  expect(existsSync(join(folder, 'no'))).toBe(false)

  // Made by the directory alone.
  openCloudFile(file, { name: 'directory', migrations: [] }).close()
  expect(await codeOf(look(file))).toBe('space_not_found')

  // Of the program before this one.
  const first = LOG_MIGRATIONS.slice(0, 1)
  openCloudFile(file, { name: 'log', migrations: first }).close()
  const older = new Database(file)
  older.exec(`INSERT INTO spaces VALUES (1, '${SPACE}', 'epoch', 0, 0, 0, '[]')`)
  older.exec(`INSERT INTO generations VALUES (1, 0, 'generation', 0)`)
  const levelOf = (): unknown =>
    older.prepare(`SELECT number FROM migrations WHERE part = 'log'`).pluck().get()
  {
    await using copy = openSpaceCopy(file, SPACE)
    expect(copy.space).toMatchObject({ epoch: 'epoch', records: 0 })
    expect([...countSpaces(file).keys()]).toEqual([SPACE])
  }
  expect(levelOf()).toBe(1)

  // Of one after it.
  older.exec(`UPDATE migrations SET number = 99, readable_from = 99 WHERE part = 'log'`)
  expect(await codeOf(look(file))).toBe('needs_upgrade')
  older.close()

  const other = join(folder, 'other.db')
  const foreign = new Database(other)
  foreign.exec('CREATE TABLE t (x)')
  foreign.close()
  expect(await codeOf(look(other))).toBe('not_a_database')
})

test('a served file is read beside its log, and what that writes meanwhile is not in the copy', async () => {
  const file = join(folder, 'served.db')
  await using log = await openSqliteLog({ file, clock })
  await log.ensureSpace(SPACE)
  const a = new Reader(log, 'a')
  await a.write(put('1', 0, {}), put('2', 0, {}))
  const before = await contentOf(log)
  // As another process does: nothing of the log is used.
  await using copy = openSpaceCopy(file, SPACE)
  await a.write(put('3', 0, {}), put('1', 1, { x: 1 }))
  expect((await readCopy(copy)).records).toEqual(before.records)
  await log.importSpace('space-2', copyOf(before))
  expect((await log.status('space-2')).head).toBe(2)
})
