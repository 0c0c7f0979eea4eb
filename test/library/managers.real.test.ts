import { execFile, spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'

import type { Knex } from 'knex'
import { expect, it } from 'vitest'

import { createSyncManager } from '../../src/library/create.ts'
import type { ApplicationOptions } from './application.ts'
import { createLibraryWorld, type LibraryWorld } from './world.ts'

const PROGRAM = new URL('./application.ts', import.meta.url).pathname
const NOTES = 'CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, title TEXT)'
/** Far longer than an application that has nothing to do any more takes to end. */
const HANGS_MS = 40_000

const optionsOf = (world: LibraryWorld, more: Partial<ApplicationOptions>): string =>
  JSON.stringify({
    task: 'write',
    library: 'knex',
    file: world.path('a'),
    home: world.path('a', 'tidemark'),
    endpoint: world.cloud.url,
    token: world.cloud.token,
    name: 'child',
    log: world.path('a', 'log'),
    ...more,
  } satisfies ApplicationOptions)

/** What the applications of the device committed, by their own word. */
const readLog = (world: LibraryWorld): readonly string[] =>
  existsSync(world.path('a', 'log')) ? readFileSync(world.path('a', 'log'), 'utf8').trim().split('\n') : []

/** An application in a process of its own that writes until it is killed. */
function startApplication(world: LibraryWorld, name: string) {
  const child = spawn(process.execPath, [PROGRAM, optionsOf(world, { name })], { stdio: 'pipe' })
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()))
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  return {
    said: () => said,
    async untilSaid(word: string) {
      while (!said.includes(word)) {
        if (child.exitCode !== null) throw new Error(said)
        await pause(10)
      }
    },
    async untilWritten(more: number) {
      const before = readLog(world).length
      while (readLog(world).length < before + more) {
        if (child.exitCode !== null) throw new Error(said)
        await pause(10)
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

const ids = (knex: Knex): Promise<string[]> => knex('notes').orderBy('id').pluck('id')

it.each([
  ['end', 'knex'],
  ['end', 'better-sqlite3'],
  ['cut', 'knex'],
] as const)('an application that closed its manager ends by itself: %s, %s', async (task, library) => {
  await using world = await createLibraryWorld()
  const knex = world.knex('a')
  await knex.raw(NOTES)
  const rows = Array.from({ length: 3_000 }, (_, n) => ({ id: String(n), title: 'title' }))
  await knex.batchInsert('notes', rows, 300)
  await knex.destroy()
  const ended = promisify(execFile)(process.execPath, [PROGRAM, optionsOf(world, { task, library })], {
    timeout: HANGS_MS,
  })
  const { stdout } = await ended
  expect(stdout).toBe(`${task === 'cut' ? 'aborted\n' : ''}closed, 0 connections used, 0 listeners left\n`)
  // The lock went with it.
  const manager = await world.manager('a', world.knex('a'))
  await manager.sync()
})

it('another process is refused; its application goes on, and the first one sends what it writes', async () => {
  await using world = await createLibraryWorld()
  const [a, b] = [world.knex('a'), world.knex('b')]
  for (const knex of [a, b]) await knex.raw(NOTES)
  await a('notes').insert({ id: 'first', title: 'one' })
  const [here, there] = [await world.manager('a', a), await world.manager('b', b)]
  await here.sync()
  {
    await using child = startApplication(world, 'child')
    await child.untilSaid('in_use')
    for (let n = 0; n < 10; n++) {
      await Promise.all([
        here.sync(),
        a.transaction(async (trx) => {
          await trx('notes').insert({ id: `a-${n}`, title: 'mine' })
          await pause(2)
        }),
        child.untilWritten(4),
      ])
    }
    expect(child.said().trim()).toBe('in_use')
    // Whoever has the lock gives it up: the other process has it with its next try.
    await here.close()
    await child.untilSaid('synced')
    await expect((await world.manager('a', a)).sync()).rejects.toMatchObject({ code: 'in_use' })
  }
  await (await world.manager('a', a)).sync()
  await there.sync()
  expect(await ids(b)).toEqual(await ids(a))
  expect(await ids(b)).toEqual(expect.arrayContaining([...readLog(world), 'a-9', 'first']))
})

it('an application that is killed while it writes and syncs goes on where it was', async () => {
  await using world = await createLibraryWorld()
  const [a, b] = [world.knex('a'), world.knex('b')]
  for (const knex of [a, b]) await knex.raw(NOTES)
  const there = await world.manager('b', b)
  writeFileSync(world.path('a', 'log'), '')
  for (const name of ['one', 'two']) {
    await using child = startApplication(world, name)
    await child.untilSaid('synced')
    await child.untilWritten(20)
    await there.sync()
    await b('notes').insert({ id: `b-${name}`, title: 'theirs' })
    await there.sync()
    await child.untilWritten(4)
  }
  const here = await world.manager('a', a)
  for (let round = 0; round < 2; round++) for (const manager of [here, there]) await manager.sync()
  const rows = await ids(b)
  expect(rows).toEqual(await ids(a))
  expect(rows).toEqual(expect.arrayContaining([...readLog(world), 'b-one', 'b-two']))
  // Both rows of a transaction, or none.
  expect(rows.filter((id) => id.endsWith('-1')).length).toBe(rows.filter((id) => id.endsWith('-2')).length)
  expect(await a.raw('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }])
})

it('managers by different handles of one file share it, whoever closes first, and keep all of them from harm', async () => {
  await using world = await createLibraryWorld()
  const [a, b] = [world.knex('a'), world.knex('b')]
  const plain = world.better('a')
  await a.raw('PRAGMA journal_mode = WAL')
  for (const knex of [a, b]) await knex.raw(NOTES)
  const there = await world.manager('b', b)
  const config = world.config('a')
  for (const order of [
    [0, 1],
    [1, 0],
  ] as const) {
    const managers = [await createSyncManager(a, config), await createSyncManager(plain, config)] as const
    await b('notes').insert({ id: `b-${order[0]}`, title: 'theirs' })
    await there.sync()
    const run = `a-${order[0]}`
    // Each has read and will write, in transactions over awaits, while both managers have something to write.
    const syncs = managers.map((manager) => manager.sync())
    await a.transaction(async (trx) => {
      await trx('notes').first()
      await pause(30)
      await trx('notes').insert({ id: `${run}-knex`, title: 'by Knex' })
    })
    plain.exec('BEGIN; SELECT * FROM notes')
    await pause(30)
    plain.exec(`INSERT INTO notes VALUES ('${run}-plain', 'by better-sqlite3'); COMMIT`)
    await Promise.all(syncs)
    const [first, second] = [managers[order[0]], managers[order[1]]]
    const [cut] = await Promise.all([
      first.sync().then(
        () => 'done',
        ({ code }: { readonly code: string }) => code,
      ),
      first.close(),
    ])
    expect(cut).toBe('aborted')
    await second.sync()
    // Closed and opened at once, over and over: each waits for the one before, which lets go of the lock.
    const closing = second.close()
    const between = await createSyncManager(a, config)
    await between.close()
    const last = await createSyncManager(plain, config)
    await last.sync()
    await closing
    await last.close()
  }
  await there.sync()
  expect(await ids(b)).toEqual(await ids(a))
  expect(await ids(b)).toEqual(['a-0-knex', 'a-0-plain', 'a-1-knex', 'a-1-plain', 'b-0', 'b-1'])
})

it('a manager waits for all those before it that are still closing', async () => {
  await using world = await createLibraryWorld()
  const [knex, plain] = [world.knex('a'), world.better('a')]
  await knex.raw(NOTES)
  const config = world.config('a')
  const first = await createSyncManager(knex, config)
  await first.sync()
  let [closing, third] = [Promise.resolve(), Promise.resolve<unknown>(null)]
  await knex.transaction(async (trx) => {
    await trx('notes').insert({ id: '1', title: 'one' })
    first.sync().catch(() => {})
    await pause(20)
    // It has a sync that waits for the transaction, and goes in a moment; one that never did anything goes at once.
    closing = first.close()
    await pause(10)
    const second = await createSyncManager(plain, config)
    await second.close()
    third = (await world.manager('a', plain)).sync()
    third.catch(() => {})
    await pause(20)
  })
  expect(await third).toMatchObject({ pushed: 1 })
  await closing
})
