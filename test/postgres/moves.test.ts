import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { spaceOfRows } from '../cloud/copied-space.ts'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { ExportDigest } from '../../src/cloud/export/digest.ts'
import { exportTexts } from '../../src/cloud/export/export-space.ts'
import { readExport } from '../../src/cloud/export/import-space.ts'
import { startCloud } from '../../src/cloud/index.ts'
import type { SpaceCopy } from '../../src/cloud/log/copy.ts'
import type { Log } from '../../src/cloud/log/log.ts'
import { MemoryLog } from '../../src/cloud/log/memory.ts'
import { openSqliteLog } from '../../src/cloud/log/sqlite.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { seededRandom } from '../../src/kernel/random.ts'
import { contentOf, copyOf, fill, withoutLast } from '../../src/testing/log-contract/copies-harness.ts'
import { codeOf, put, Reader, SPACE, START } from '../../src/testing/log-contract/harness.ts'
import { openMachine, type Machine } from '../command-line.ts'
import { openTestDatabase } from './database.ts'
import { openLogNodes } from './log-nodes.ts'

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'tidemark-moves-'))))
afterAll(() => rmSync(folder, { recursive: true }))

async function exportText(log: Log, space = SPACE): Promise<string> {
  await using copy = await log.copySpace(space)
  let text = ''
  for await (const part of exportTexts(copy, new ExportDigest())) text += part
  return text
}

async function importText(log: Log, text: string, space = SPACE): Promise<void> {
  async function* bytes() {
    yield Buffer.from(text)
  }
  await log.importSpace(space, await readExport(bytes()))
}

/** A space that has something of everything. */
async function fullLog(): Promise<Log> {
  let now = START
  const log = new MemoryLog({ clock: { now: () => now, after: () => () => {} }, random: seededRandom(7) })
  await log.ensureSpace(SPACE)
  const time = { now: () => now, advance: (ms: number) => void (now += ms) }
  const none = () => Promise.reject(new Error('not here'))
  await fill({
    log,
    time,
    restart: none,
    save: none,
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  })
  return log
}

const plainRows = (count: number): SpaceCopy => ({
  space: spaceOfRows(count),
  async *pages() {
    const records = Array.from({ length: count }, (_, at) => ({
      record: { table: 't', key: `["${at}"]`, version: at + 1, hlc: 1, by: 'a', fields: { x: at } },
      was: null,
      claims: {},
      buriedAt: null,
    }))
    yield { records, replicas: [] }
  },
})

/** Records that connections which have ended have looked at. */
async function lookedAt(admin: pg.Client): Promise<number> {
  await admin.query('SELECT pg_stat_clear_snapshot()')
  const { rows } = await admin.query<{ rows: number }>(
    `SELECT (seq_tup_read + idx_tup_fetch)::int AS rows FROM pg_stat_user_tables
     WHERE schemaname = 'tidemark' AND relname = 'records'`,
  )
  return rows[0]?.rows ?? 0
}

const bodyOf = (text: string): string => text.split('\n').slice(1, -2).join('\n')
const hashOf = (text: string): unknown =>
  (JSON.parse(text.trimEnd().split('\n').at(-1) ?? '') as { readonly hash?: unknown }).hash

describe('a space and PostgreSQL', () => {
  test('I10: is the same in memory, in a file and in a database, to the character', async () => {
    await using nodes = await openLogNodes()
    const postgres = nodes.node()
    const source = await fullLog()
    const text = await exportText(source)
    await importText(postgres, text)
    const fromPostgres = await exportText(postgres)
    await using file = await openSqliteLog({ file: join(folder, 'same.db'), clock: systemClock })
    await importText(file, fromPostgres)
    await importText(postgres, await exportText(file), 'space-2')
    const last = await exportText(postgres, 'space-2')
    for (const each of [fromPostgres, last]) {
      expect(bodyOf(each)).toBe(bodyOf(text))
      expect(hashOf(each)).toBe(hashOf(text))
    }
    expect(withoutLast(await contentOf(postgres))).toEqual(await contentOf(source))
  })

  test('kept answers of a database are those of any other log', async () => {
    await using nodes = await openLogNodes()
    const node = nodes.node()
    const memory = new MemoryLog({ clock: systemClock, random: seededRandom(1) })
    for (const log of [node, memory]) {
      await log.ensureSpace(SPACE)
      const [a, b] = [new Reader(log, 'a'), new Reader(log, 'b')]
      await b.write(put('0', 0, {}), put('1', 0, { x: 1 }), put('2', 0, {}))
      await a.push([
        put('5', 0, {}),
        put('6', 0, {}),
        put('1', 2, { y: 1 }),
        put('0', 9, {}, { table: 'u' }),
        { ...put('2', 3, {}), op: 'delete' },
        { ...put('7', 0, {}), op: 'delete' },
      ])
      // Nothing to do: answered with versions from before.
      await b.push([
        { ...put('7', 0, {}), op: 'delete' },
        put('8', 0, {}),
        { ...put('2', 0, {}), op: 'delete' },
      ])
    }
    const answers = async (log: Log) => (await contentOf(log)).replicas.map(({ id, answer }) => [id, answer])
    expect(await answers(node)).toEqual(await answers(memory))
  })

  test('an import whose connection breaks leaves nothing, and can be made again', async () => {
    await using nodes = await openLogNodes()
    const node = nodes.node()
    const content = await contentOf(await fullLog())
    const breaking: SpaceCopy = {
      space: content.space,
      async *pages() {
        yield { records: content.records, replicas: [] }
        const { rows } = await nodes.admin.query<{ count: number }>(
          `SELECT count(pg_terminate_backend(pid, 5000))::int FROM pg_stat_activity
           WHERE datname = current_database() AND state = 'idle in transaction'`,
        )
        expect(rows[0]?.count).toBe(1)
        yield { records: [], replicas: content.replicas }
      },
    }
    expect(await codeOf(node.importSpace(SPACE, breaking))).toBe('unavailable')
    expect(await codeOf(node.status(SPACE))).toBe('space_not_found')
    await node.importSpace(SPACE, copyOf(content))
    expect(withoutLast(await contentOf(nodes.node()))).toEqual(content)
  })

  test('of two imports of one name, at two nodes, one is made', async () => {
    await using nodes = await openLogNodes()
    const content = await contentOf(await fullLog())
    const two = [nodes.node(), nodes.node()]
    const ends = await Promise.allSettled(two.map((node) => node.importSpace(SPACE, copyOf(content))))
    expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(ends.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'space_not_empty' },
    })
    for (const node of two) expect(withoutLast(await contentOf(node))).toEqual(content)
  })

  test('a copy reads each record once, whatever statistics say', async () => {
    await using nodes = await openLogNodes()
    const node = nodes.node()
    const ROWS = 3_000
    // Those of a table with other spaces in it, and of one that was empty.
    for (const space of ['empty', 'one', 'two']) {
      await nodes.admin.query('ANALYZE tidemark.records, tidemark.replicas')
      if (space === 'empty') continue
      await node.importSpace(space, plainRows(ROWS))
      const before = await lookedAt(nodes.admin)
      expect((await contentOf(node, space)).records).toHaveLength(ROWS)
      // A connection tells it when it ends, a moment later.
      const looked = async () => (await lookedAt(nodes.admin)) - before
      await expect.poll(looked).toBeGreaterThanOrEqual(ROWS)
      expect(await looked()).toBeLessThan(ROWS + 100)
    }
  })

  test('a copy whose connection breaks says so', async () => {
    await using nodes = await openLogNodes()
    const node = nodes.node()
    await importText(node, await exportText(await fullLog()))
    await using copy = await node.copySpace(SPACE)
    await nodes.admin.query(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'tidemark copy'`,
    )
    const read = async (): Promise<void> => {
      for await (const _ of copy.pages());
    }
    expect(await codeOf(read())).toBe('unavailable')
    expect((await contentOf(node)).records.length).toBeGreaterThan(0)
  })
})

function change(file: string, sql: string): readonly unknown[] {
  const database = new Database(file)
  try {
    const statement = database.prepare(sql)
    return statement.reader ? statement.raw().all() : [statement.run()]
  } finally {
    database.close()
  }
}

test('I1, I11: a cloud grows out of its file while its devices write', async () => {
  await using machine: Machine = await openMachine()
  await using database = await openTestDatabase()
  const old = await machine.serve()
  await machine.tidemark('config', 'set', 'endpoint', old.url)
  const [one, two] = [join(machine.folder, 'one.db'), join(machine.folder, 'two.db')]
  change(one, 'CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT UNIQUE)')
  change(one, `INSERT INTO notes VALUES ('1', 'one'), ('2', 'two'), ('3', 'three')`)
  await machine.ask('attach', one, '--yes', '--space', 'notes')
  await machine.ask('clone', 'notes', two)

  const exported = join(machine.folder, 'notes.zst')
  const data = join(machine.folder, 'cloud')
  const told = await machine.ask('cloud', 'export', exported, '--data', data, '--space', 'notes')
  change(one, `UPDATE notes SET text = 'two, edited' WHERE id = '2'`)
  change(one, `DELETE FROM notes WHERE id = '3'`)
  await machine.ask('sync', 'now', one)
  change(two, `INSERT INTO notes VALUES ('4', 'not sent yet')`)

  machine.env['TIDEMARK_CLOUD_DATABASE_URL'] = database.url
  await using cloud = await disposable(
    startCloud({ database: database.url, port: 0, limits: { loopDelayMs: 0 } }),
  )
  const imported = await machine.ask('cloud', 'import', exported, '--space', 'notes')
  const { records, replicas, head, hash } = told as { [name: string]: unknown }
  expect(imported).toMatchObject({ records, replicas, head, hash })
  const token = (await machine.tidemark('cloud', 'token', 'create')).out.trim()
  await machine.tidemark('config', 'set', 'endpoint', cloud.url)
  await machine.tidemark('config', 'set', 'token', token)
  for (let round = 0; round < 3; round++)
    for (const file of [one, two]) await machine.ask('sync', 'now', file)
  const rows = change(one, 'SELECT * FROM notes ORDER BY id')
  expect(rows).toEqual([
    ['1', 'one'],
    ['2', 'two, edited'],
    ['4', 'not sent yet'],
  ])
  expect(change(two, 'SELECT * FROM notes ORDER BY id')).toEqual(rows)

  // And back into a file, while it is served.
  expect(await machine.ask('cloud', 'spaces')).toMatchObject({
    spaces: [{ name: 'notes', records: 3, tombstones: 1 }],
  })
  const back = join(machine.folder, 'back.gz')
  const again = (await machine.ask('cloud', 'export', back, '--space', 'notes')) as { readonly hash: string }
  expect(statSync(back).size).toBeGreaterThan(0)
  const there = join(machine.folder, 'third')
  expect(await machine.ask('cloud', 'import', back, '--data', there, '--space', 'notes')).toMatchObject({
    hash: again.hash,
  })
})

async function disposable<T extends { close(): Promise<void> }>(
  opening: Promise<T>,
): Promise<T & AsyncDisposable> {
  const opened = await opening
  return { ...opened, [Symbol.asyncDispose]: () => opened.close() }
}
