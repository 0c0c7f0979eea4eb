import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { put, Reader } from '../../testing/log-contract/harness.ts'
import { systemClock } from '../../kernel/clock.ts'
import { CLOUD_FILE, openStorage } from '../server/storage.ts'
import { checkCloud } from './check.ts'
import type { Finding } from './finding.ts'
import { formatBytes } from './finding.ts'

let data: string
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'tidemark-check-'))
})
afterEach(() => {
  rmSync(data, { recursive: true })
})

const check = (folder = data): Promise<readonly Finding[]> =>
  checkCloud({ data: folder }, { clock: systemClock, nodes: 1 })
const statesOf = (findings: readonly Finding[]): readonly string[] =>
  findings.map(({ state, about }) => `${state} ${about}`)
const ALL_OK = ['ok folder', 'ok tables of the log', 'ok tables of the directory', 'ok file', 'ok disk']

/** A cloud with some rows, as it stands after its server ended. */
async function makeCloud(): Promise<void> {
  await using storage = await openStorage({ data }, { clock: systemClock })
  const space = await storage.directory.ensureSpace('a', 's')
  await storage.log.ensureSpace(space)
  const rows = Array.from({ length: 200 }, (_, at) => put(`${at}`, 0, { text: 'x'.repeat(500) }))
  await new Reader(storage.log, 'r', space).write(...rows)
}

describe('a check of a data folder', () => {
  test('finds it good before it is made, while it is served and afterwards, and makes nothing', async () => {
    const fresh = join(data, 'deep', 'cloud')
    expect(statesOf(await check(fresh))).toEqual(['ok folder', 'ok disk'])
    expect(statesOf(await check())).toEqual(['ok folder', 'ok disk'])
    expect(readdirSync(data)).toEqual([])
    await makeCloud()
    expect(statesOf(await check())).toEqual(ALL_OK)
    const before = readdirSync(data)
    {
      await using storage = await openStorage({ data }, { clock: systemClock })
      expect(statesOf(await check())).toEqual(ALL_OK)
      await storage.check()
    }
    expect(readdirSync(data)).toEqual(before)
  })

  test('warns where others can read it', async () => {
    await makeCloud()
    chmodSync(data, 0o755)
    expect(statesOf(await check())).toEqual(['warn folder', ...ALL_OK.slice(1)])
  })

  test('finds damage, what is no database of ours, and what a newer program wrote', async () => {
    await makeCloud()
    const file = join(data, CLOUD_FILE)
    const change = (sql: string) => {
      const database = new Database(file)
      database.exec(sql)
      database.close()
    }
    change('UPDATE migrations SET number = 99, readable_from = 99')
    expect(statesOf(await check())).toEqual(['ok folder', 'fail tables of the log', 'ok disk'])
    change('UPDATE migrations SET number = 1, readable_from = 1')
    expect((await check()).every(({ state }) => state === 'ok')).toBe(true)

    // Rows that break what the schema says: nothing refuses to read them.
    const database = new Database(file).unsafeMode()
    database.exec(`CREATE TABLE extra (a); INSERT INTO extra VALUES (NULL); PRAGMA writable_schema = ON;
      UPDATE sqlite_schema SET sql = 'CREATE TABLE extra (a NOT NULL)' WHERE name = 'extra'`)
    database.close()
    expect((await check()).find(({ about }) => about === 'file')).toMatchObject({
      state: 'fail',
      what: expect.stringContaining('in one place at least'),
    })
    change('DROP TABLE extra')

    const { size } = statSync(file)
    const handle = openSync(file, 'r+')
    writeSync(handle, Buffer.alloc(8_192 * 4, 0x5a), 0, 8_192 * 4, Math.floor(size / 8_192 / 2) * 8_192)
    closeSync(handle)
    const damaged = await check()
    expect(statesOf(damaged)).toContain('fail file')
    expect(damaged.find(({ about }) => about === 'file')?.fix).toContain('copy')

    writeFileSync(file, 'no database, but long enough to look like one '.repeat(50))
    expect(statesOf(await check())).toEqual(['ok folder', 'fail tables of the log', 'ok disk'])
    rmSync(file)
    change('CREATE TABLE mine (id)')
    expect(statesOf(await check())).toEqual(['ok folder', 'fail tables of the log', 'ok disk'])
  })

  test('sizes are told in words', () => {
    expect([0, 1, 1_023, 1_024, 10_240, 1_536_000, 2 ** 41].map(formatBytes)).toEqual([
      '0 bytes',
      '1 bytes',
      '1023 bytes',
      '1.0 KiB',
      '10 KiB',
      '1.5 MiB',
      '2.0 TiB',
    ])
  })
})
