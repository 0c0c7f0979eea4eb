import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'

import type { Clock } from '../../kernel/clock.ts'
import { directoryContract } from '../../testing/directory-contract.ts'
import { put, Reader } from '../../testing/log-contract/harness.ts'
import { openSqliteLog } from '../log/sqlite.ts'
import { openCloudFile } from '../log/sqlite/file.ts'
import { DIRECTORY_MIGRATIONS } from './schema.ts'
import { openSqliteDirectory } from './sqlite.ts'

const still: Clock = { now: () => 1_700_000_000_000, after: () => () => {} }

directoryContract('sqlite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-directory-'))
  const file = join(folder, 'cloud.db')
  let now = still.now()
  const clock: Clock = { ...still, now: () => now }
  const directory = await openSqliteDirectory({ file, clock })
  const others = [directory]
  return {
    directory,
    time: { now: () => now, advance: (ms) => void (now += ms) },
    async other() {
      const other = await openSqliteDirectory({ file, clock })
      others.push(other)
      return other
    },
    dump: async () =>
      readdirSync(folder)
        .map((name) => readFileSync(join(folder, name), 'latin1'))
        .join('\n'),
    async [Symbol.asyncDispose]() {
      for (const opened of others) await opened[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true })
    },
  }
})

describe('directory and log in one file', () => {
  test('are opened in any order, and write beside each other', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-directory-'))
    const file = join(folder, 'cloud.db')
    const early = await openSqliteDirectory({ file, clock: still })
    const { token } = await early.createToken({
      account: 'a',
      name: 'n',
      scopes: ['read'],
      spaces: null,
      defaultSpace: 's',
    })
    const log = await openSqliteLog({ file, clock: still })
    const directory = await openSqliteDirectory({ file, clock: still })
    const id = await directory.ensureSpace('a', 's')
    await log.ensureSpace(id)
    const reader = new Reader(log, 'r', id)
    const pushes = Array.from({ length: 5 }, async (_, at) => {
      const { info } = await early.createToken({
        account: 'a',
        name: `${at}`,
        scopes: [],
        spaces: [],
        defaultSpace: 's',
      })
      return directory.revokeToken(info.id)
    })
    await Promise.all([reader.write(put('1', 0, {}), put('2', 0, {})), ...pushes])
    expect(await directory.authenticate(token)).toMatchObject({ account: 'a' })
    expect((await log.status(id)).head).toBe(2)
    for (const opened of [directory, log, early]) await opened[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })

  test('a visit that cannot be noted refuses nobody', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-directory-'))
    const file = join(folder, 'cloud.db')
    const directory = await openSqliteDirectory({ file, clock: still })
    const { token } = await directory.createToken({
      account: 'a',
      name: 'n',
      scopes: [],
      spaces: [],
      defaultSpace: 's',
    })
    const breaker = new Database(file)
    breaker.exec(
      `CREATE TRIGGER no_visits BEFORE UPDATE ON access_tokens BEGIN SELECT RAISE(ABORT, 'no'); END`,
    )
    breaker.close()
    expect(await directory.authenticate(token)).toMatchObject({ account: 'a' })
    await directory[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })

  test('the audit of an older program is read on, and that program goes on beside this one', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-directory-'))
    const file = join(folder, 'cloud.db')
    const first = { name: 'directory', migrations: DIRECTORY_MIGRATIONS.slice(0, 1) }
    const old = openCloudFile(file, first)
    const add = `INSERT INTO audit (at, action, account, subject) VALUES (?, 'space created', 'a', ?)`
    old.prepare(add).run(1, 'before')
    await using directory = await openSqliteDirectory({ file, clock: still })
    old.prepare(add).run(2, 'beside')
    old.close()
    openCloudFile(file, first).close()
    await directory.ensureSpace('a', 'after', 'someone')
    expect(await directory.audit(9)).toEqual([
      { at: still.now(), action: 'space created', account: 'a', subject: 'after', by: 'someone' },
      { at: 2, action: 'space created', account: 'a', subject: 'beside', by: null },
      { at: 1, action: 'space created', account: 'a', subject: 'before', by: null },
    ])
    rmSync(folder, { recursive: true })
  })
})
