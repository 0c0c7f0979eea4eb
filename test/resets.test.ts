import { copyFileSync, cpSync, existsSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { startCloud } from '../src/cloud/index.ts'
import { openMachine, type Machine } from './command-line.ts'

/**
 * What `sync` promises when something was put back or copied: over real HTTP, with real files, by the commands a
 * person has. I11: each is noticed, told, and survived with pending changes kept.
 */

function query(file: string, sql: string): readonly (readonly unknown[])[] {
  const database = new Database(file)
  try {
    const statement = database.prepare(sql)
    if (statement.reader) return statement.raw().all() as (readonly unknown[])[]
    statement.run()
    return []
  } finally {
    database.close()
  }
}

const write = (file: string, ...statements: readonly string[]): void => {
  for (const sql of statements) query(file, sql)
}
const notesOf = (file: string): readonly (readonly unknown[])[] =>
  query(file, 'SELECT id, title, body FROM notes ORDER BY id')

interface Pair extends AsyncDisposable {
  readonly machine: Machine
  readonly laptop: string
  readonly desktop: string
  readonly cloudFolder: string
  stopCloud(): Promise<void>
  startCloud(): Promise<void>
}

/** Two replicas of one space, with three notes, in step. */
async function openPair(): Promise<Pair> {
  const machine = await openMachine()
  const laptop = join(machine.folder, 'laptop.db')
  const desktop = join(machine.folder, 'desktop.db')
  let cloud = await machine.serve()
  const { port } = cloud
  await machine.tidemark('config', 'set', 'endpoint', cloud.url)
  write(
    laptop,
    'CREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT, body TEXT)',
    `INSERT INTO notes VALUES ('a', 'one', ''), ('b', 'two', ''), ('c', 'three', '')`,
  )
  await machine.ask('attach', laptop, '--space', 'notes', '--yes')
  await machine.ask('clone', 'notes', desktop)
  return {
    machine,
    laptop,
    desktop,
    cloudFolder: join(machine.folder, 'cloud'),
    stopCloud: () => cloud.close(),
    async startCloud() {
      cloud = await machine.serve(port)
    },
    [Symbol.asyncDispose]: () => machine[Symbol.asyncDispose](),
  }
}

/** Rounds of every file, until nothing moves any more. Each round syncs all that are listed. */
const MAX_ROUNDS = 6

async function settle(machine: Machine): Promise<void> {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const { files } = (await machine.ask('sync', 'now')) as {
      readonly files: readonly { readonly result: { readonly pushed: number; readonly pulled: number } }[]
    }
    if (files.every(({ result }) => result.pushed === 0 && result.pulled === 0)) return
  }
  throw new Error(`still something to do after ${MAX_ROUNDS} rounds`)
}

/** What `sync status` says of why a file joined anew; null when it never did. */
async function resetOf(machine: Machine, file: string): Promise<string | null> {
  const { files } = (await machine.ask('sync', 'status', file)) as {
    readonly files: readonly { readonly lastReset: { readonly why: string } | null }[]
  }
  return files[0]?.lastReset?.why ?? null
}

const saidOf = async (machine: Machine, file: string): Promise<string> =>
  (await machine.tidemark('sync', 'status', file)).out

async function openConflicts(machine: Machine, file: string): Promise<readonly unknown[]> {
  const { conflicts } = (await machine.ask('conflicts', 'list', file)) as {
    readonly conflicts: readonly unknown[]
  }
  return conflicts
}

test('I11: a cloud restored to an older file gets back what it lost', async () => {
  await using pair = await openPair()
  const { machine, laptop, desktop, cloudFolder } = pair
  await pair.stopCloud()
  const saved = join(machine.folder, 'saved')
  cpSync(cloudFolder, saved, { recursive: true })
  await pair.startCloud()
  write(laptop, `UPDATE notes SET title = 'uno' WHERE id = 'a'`, `DELETE FROM notes WHERE id = 'b'`)
  write(desktop, `INSERT INTO notes VALUES ('d', 'four', '')`)
  await settle(machine)

  await pair.stopCloud()
  rmSync(cloudFolder, { recursive: true })
  cpSync(saved, cloudFolder, { recursive: true })
  write(laptop, `INSERT INTO notes VALUES ('e', 'five', 'written while it was away')`)
  write(desktop, `UPDATE notes SET body = 'edited while it was away' WHERE id = 'c'`)
  await pair.startCloud()
  await settle(machine)

  const expected = [
    ['a', 'uno', ''],
    ['c', 'three', 'edited while it was away'],
    ['d', 'four', ''],
    ['e', 'five', 'written while it was away'],
  ]
  for (const file of [laptop, desktop]) {
    expect(notesOf(file)).toEqual(expected)
    expect(await openConflicts(machine, file)).toEqual([])
    expect(await resetOf(machine, file)).toBe('lost_history')
    expect(await saidOf(machine, file)).toContain('The cloud had been restored to an older state')
  }
  const fresh = join(machine.folder, 'fresh.db')
  await machine.ask('clone', 'notes', fresh)
  expect(notesOf(fresh)).toEqual(expected)
})

test('I11: a cloud that lost everything gets everything back', async () => {
  await using pair = await openPair()
  const { machine, laptop, desktop, cloudFolder } = pair
  write(laptop, `DELETE FROM notes WHERE id = 'b'`)
  await settle(machine)
  await pair.stopCloud()
  rmSync(cloudFolder, { recursive: true })
  write(desktop, `INSERT INTO notes VALUES ('d', 'four', '')`)
  // Its tokens are lost with it: with another one it may be another account's, and a person has to say that it is not.
  await pair.startCloud()
  const { code, out } = await machine.tidemark('sync', 'now', '--json')
  expect([code, out.split('needs_merge').length - 1]).toEqual([1, 2])
  for (const file of [laptop, desktop]) await machine.ask('sync', 'reset', file, '--rejoin', '--yes')
  await settle(machine)
  for (const file of [laptop, desktop]) expect(notesOf(file).map(([id]) => id)).toEqual(['a', 'c', 'd'])
})

test('I11: a cloud without tokens that lost everything gets it back unasked: the endpoint is the same', async () => {
  await using machine = await openMachine()
  const data = join(machine.folder, 'open')
  const limits = { loopDelayMs: 0 }
  const first = await startCloud({ data, port: 0, insecureLoopback: true, limits })
  await machine.tidemark('config', 'set', 'endpoint', first.url)
  const file = join(machine.folder, 'app.db')
  write(
    file,
    'CREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT, body TEXT)',
    `INSERT INTO notes (id) VALUES ('a')`,
  )
  await machine.ask('attach', file, '--space', 'notes', '--yes')
  await first.close()
  rmSync(data, { recursive: true })
  const second = await startCloud({
    data,
    port: Number(new URL(first.url).port),
    insecureLoopback: true,
    limits,
  })
  try {
    await settle(machine)
    const fresh = join(machine.folder, 'fresh.db')
    await machine.ask('clone', 'notes', fresh)
    expect(notesOf(fresh)).toEqual([['a', null, null]])
  } finally {
    await second.close()
  }
})

/** A copy of the laptop's file, and after it edits on both sides that it does not know. */
async function saveAndGoOn({ machine, laptop, desktop }: Pair): Promise<string> {
  const saved = join(machine.folder, 'saved.db')
  copyFileSync(laptop, saved)
  write(laptop, `UPDATE notes SET title = 'uno' WHERE id = 'a'`, `INSERT INTO notes VALUES ('d', 'four', '')`)
  write(desktop, `UPDATE notes SET body = 'theirs' WHERE id = 'c'`, `DELETE FROM notes WHERE id = 'b'`)
  await settle(machine)
  return saved
}

/** For what is looked for now and then only. */
const SLOW = { timeout: 20_000 }

const LATEST = [
  ['a', 'uno', ''],
  ['c', 'three', 'theirs'],
  ['d', 'four', ''],
]

test('I11: a file restored at the same path takes what is newer, and sends what was written into it', async () => {
  await using pair = await openPair()
  const { machine, laptop, desktop } = pair
  const saved = await saveAndGoOn(pair)
  copyFileSync(saved, laptop)
  write(laptop, `INSERT INTO notes VALUES ('e', 'five', 'after the restore')`)
  await settle(machine)
  for (const file of [laptop, desktop]) {
    expect(notesOf(file)).toEqual([...LATEST, ['e', 'five', 'after the restore']])
    expect(await openConflicts(machine, file)).toEqual([])
  }
  expect(await resetOf(machine, laptop)).toBe('restored')
  expect(await saidOf(machine, laptop)).toContain('The file had been restored to an older state')
  expect(await resetOf(machine, desktop)).toBe(null)
})

/** The file, with what SQLite keeps beside it. */
function move(from: string, to: string): void {
  for (const end of ['', '-wal', '-shm'])
    if (existsSync(`${from}${end}`)) renameSync(`${from}${end}`, `${to}${end}`)
}

test('I3: a file restored to before it sent its rows doubles none of them', async () => {
  await using pair = await openPair()
  const { machine, laptop, desktop } = pair
  await settle(machine)
  write(
    laptop,
    'CREATE TABLE tasks (id INTEGER PRIMARY KEY, text TEXT, done INTEGER)',
    `INSERT INTO tasks VALUES (1, 'one', 0), (2, 'two', 0), (3, 'three', 0)`,
  )
  write(desktop, 'CREATE TABLE tasks (id INTEGER PRIMARY KEY, text TEXT, done INTEGER)')
  // Under capture, and not sent yet.
  await machine.tidemark('sync', 'pending')
  const saved = join(machine.folder, 'saved.db')
  query(laptop, `VACUUM INTO '${saved}'`)
  await settle(machine)
  write(desktop, `UPDATE tasks SET text = 'uno' WHERE id = 1`, 'DELETE FROM tasks WHERE id = 3')
  await settle(machine)
  for (const end of ['', '-wal', '-shm']) rmSync(`${laptop}${end}`, { force: true })
  copyFileSync(saved, laptop)
  write(laptop, `INSERT INTO tasks VALUES (4, 'four', 0)`)
  await settle(machine)
  const tasks = (file: string) => query(file, 'SELECT id, text FROM tasks ORDER BY id')
  expect(tasks(laptop)).toEqual(tasks(desktop))
  expect(tasks(laptop).slice(0, 2)).toEqual([
    [1, 'uno'],
    [2, 'two'],
  ])
  expect(tasks(laptop)).toHaveLength(4)
  expect(await resetOf(machine, laptop)).toBe('restored')
})

test('I11: a file that is replaced, or comes back, while it is kept in step is opened anew', async () => {
  await using pair = await openPair()
  const { machine, laptop, desktop } = pair
  const saved = await saveAndGoOn(pair)
  const running = machine.start('run')
  await expect.poll(running.said).toContain('Keeping in step')
  for (const end of ['-wal', '-shm']) rmSync(`${laptop}${end}`, { force: true })
  renameSync(saved, laptop)
  write(laptop, `INSERT INTO notes VALUES ('e', 'five', 'after the restore')`)
  const expected = [...LATEST, ['e', 'five', 'after the restore']]
  for (const file of [laptop, desktop]) await expect.poll(() => notesOf(file), SLOW).toEqual(expected)
  expect(running.said()).toContain(`${laptop}: another file has taken its place`)
  expect(running.said()).toContain(`${laptop}: The file had been restored to an older state`)

  const aside = join(machine.folder, 'aside')
  move(laptop, aside)
  await expect.poll(running.said, SLOW).toContain(`${laptop}: There is no such file`)
  write(desktop, `DELETE FROM notes WHERE id = 'e'`)
  move(aside, laptop)
  await expect.poll(() => notesOf(laptop), SLOW).toEqual(LATEST)
  expect(await running.stop()).toMatchObject({ code: 0 })
  expect(query(laptop, 'PRAGMA integrity_check')).toEqual([['ok']])
})

test('I11: a file restored at another path goes on from there', async () => {
  await using pair = await openPair()
  const { machine, laptop, desktop } = pair
  const saved = await saveAndGoOn(pair)
  rmSync(laptop)
  const restored = join(machine.folder, 'restored.db')
  copyFileSync(saved, restored)
  write(restored, `UPDATE notes SET body = 'after the restore' WHERE id = 'a'`)
  await machine.ask('detach', laptop, '--yes')
  await machine.ask('attach', restored, '--yes')
  await settle(machine)
  for (const file of [restored, desktop]) {
    expect(notesOf(file)).toEqual([
      ['a', 'uno', 'after the restore'],
      ['c', 'three', 'theirs'],
      ['d', 'four', ''],
    ])
    expect(await openConflicts(machine, file)).toEqual([])
  }
  expect(await resetOf(machine, restored)).toBe('restored')
})

test('I11: with --overwrite the restored file wins, even when nothing could be sent at first', async () => {
  await using pair = await openPair()
  const { machine, laptop, desktop } = pair
  const saved = await saveAndGoOn(pair)
  copyFileSync(saved, laptop)
  expect((await machine.tidemark('sync', 'reset', laptop, '--overwrite')).code).not.toBe(0)
  await machine.ask('sync', 'reset', laptop, '--overwrite', '--yes')
  write(laptop, `UPDATE notes SET body = 'after the restore' WHERE id = 'a'`)
  await pair.stopCloud()
  expect((await machine.tidemark('sync', 'now', laptop)).code).toBe(3)
  await pair.startCloud()
  await settle(machine)
  for (const file of [laptop, desktop]) {
    expect(notesOf(file)).toEqual([
      ['a', 'one', 'after the restore'],
      ['b', 'two', ''],
      ['c', 'three', ''],
    ])
  }
  // Fulfilled: what others write from now on is news like any other.
  write(desktop, `UPDATE notes SET title = 'later' WHERE id = 'c'`)
  await settle(machine)
  expect(notesOf(laptop)).toEqual(notesOf(desktop))
  expect(notesOf(laptop)[2]).toEqual(['c', 'later', ''])
})

test('--rejoin and --overwrite are for one file, and for one that held the space whole', async () => {
  await using pair = await openPair()
  const { machine, laptop } = pair
  expect((await machine.tidemark('sync', 'reset', '--overwrite', '--yes')).code).toBe(2)
  expect((await machine.tidemark('sync', 'reset', laptop, '--rejoin', '--overwrite', '--yes')).code).toBe(2)
  const empty = join(machine.folder, 'empty.db')
  await machine.ask('clone', 'notes', empty, '--no-sync')
  expect((await machine.tidemark('sync', 'reset', empty, '--overwrite', '--yes')).code).toBe(1)
  await machine.ask('sync', 'reset', laptop, '--rejoin', '--yes')
  write(laptop, `UPDATE notes SET title = 'uno' WHERE id = 'a'`)
  await settle(machine)
  expect(notesOf(empty)).toEqual(notesOf(laptop))
  expect(await resetOf(machine, laptop)).toBe('rejoin')
})

test('I13: a copied file gets an identity of its own, and both go on', async () => {
  await using pair = await openPair()
  const { machine, laptop, desktop } = pair
  write(laptop, `INSERT INTO notes VALUES ('d', 'not sent when it was copied', '')`)
  const copy = join(machine.folder, 'copy.db')
  copyFileSync(laptop, copy)
  write(laptop, `UPDATE notes SET title = 'of the laptop' WHERE id = 'a'`)
  write(copy, `UPDATE notes SET title = 'of the copy' WHERE id = 'b'`)
  write(copy, `INSERT INTO notes VALUES ('e', 'of the copy', '')`)
  await machine.ask('attach', copy, '--yes')
  await settle(machine)
  const expected = [
    ['a', 'of the laptop', ''],
    ['b', 'of the copy', ''],
    ['c', 'three', ''],
    ['d', 'not sent when it was copied', ''],
    ['e', 'of the copy', ''],
  ]
  for (const file of [laptop, copy, desktop]) {
    expect(notesOf(file)).toEqual(expected)
    expect(await openConflicts(machine, file)).toEqual([])
  }
  expect(await resetOf(machine, copy)).toBe('copied')
  expect(await resetOf(machine, laptop)).toBe(null)

  // Taking the copy off leaves the identity of the file it was copied from alone.
  const another = join(machine.folder, 'another.db')
  copyFileSync(laptop, another)
  await machine.ask('attach', another, '--yes', '--no-sync')
  await machine.ask('detach', another, '--yes')
  write(laptop, `DELETE FROM notes WHERE id = 'c'`)
  await settle(machine)
  expect(await resetOf(machine, laptop)).toBe(null)
  expect(notesOf(desktop)).toEqual(notesOf(laptop))
})

test('I13: a file copied to another machine gets an identity of its own', async () => {
  await using pair = await openPair()
  const { machine, laptop, desktop } = pair
  await using other = await openMachine()
  const copy = join(other.folder, 'copy.db')
  copyFileSync(laptop, copy)
  const { value: endpoint } = (await machine.ask('config', 'get', 'endpoint')) as { readonly value: string }
  await other.tidemark('config', 'set', 'endpoint', endpoint)
  const { out } = await machine.tidemark('cloud', 'token', 'create', '--data', pair.cloudFolder)
  await other.tidemark('config', 'set', 'token', out.trim())
  write(copy, `INSERT INTO notes VALUES ('d', 'elsewhere', '')`)
  write(laptop, `INSERT INTO notes VALUES ('e', 'here', '')`)
  await other.ask('attach', copy, '--yes')
  await settle(machine)
  await settle(other)
  for (const file of [laptop, desktop, copy])
    expect(notesOf(file).map(([id]) => id)).toEqual(['a', 'b', 'c', 'd', 'e'])
  expect(await resetOf(other, copy)).toBe('unknown')
  expect(await resetOf(machine, laptop)).toBe(null)
})
