import { DatabaseSync } from 'node:sqlite'

import { expect, it, vi } from 'vitest'

import { createSyncManager } from '../../src/library/create.ts'
import type { SyncEventName } from '../../src/library/events.ts'
import type { SyncManager } from '../../src/library/manager.ts'
import { SCOPES } from '../../src/protocol/routes.ts'
import { createLibraryWorld } from './world.ts'

const NOTES = 'CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, title TEXT, body TEXT)'
const TASKS = 'CREATE TABLE IF NOT EXISTS tasks (id TEXT PRIMARY KEY, text TEXT)'
const EVENTS: readonly SyncEventName[] = [
  'sync_started',
  'sync_progress',
  'sync_completed',
  'sync_error',
  'conflict_detected',
]

function logEvents(manager: SyncManager): string[] {
  const log: string[] = []
  for (const name of EVENTS) {
    manager.addEventListener(name, ({ type }) => {
      if (log.at(-1) !== type) log.push(type)
    })
  }
  return log
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: { readonly code: string }) => error.code,
  )

/** Two devices with one note in step. */
async function createPair() {
  const world = await createLibraryWorld()
  const [a, b] = [world.better('a'), world.better('b')]
  for (const database of [a, b]) database.exec(`${NOTES}; ${TASKS}`)
  a.exec(`INSERT INTO notes VALUES ('1', 'one', 'text')`)
  const [here, there] = [await world.manager('a', a), await world.manager('b', b)]
  await here.sync()
  await there.sync()
  return { world, a, b, here, there, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() }
}

it('two databases are in step: better-sqlite3 here, Knex there, node:sqlite on the third', async () => {
  await using world = await createLibraryWorld()
  const a = world.better('a')
  a.exec(NOTES)
  a.exec(`INSERT INTO notes VALUES ('1', 'one', 'a')`)
  const here = await world.manager('a', a)
  const seeded = await here.seed()
  expect(seeded).toMatchObject({
    operation: 'seed',
    recordsProcessed: 1,
    pushed: 1,
    received: 0,
    conflicts: [],
  })
  expect(seeded.tables).toEqual({ notes: { pushed: 1, received: 0, conflicts: 0 } })

  const knex = world.knex('b')
  await knex.raw(NOTES)
  const there = await world.manager('b', knex)
  const percentages: number[] = []
  const hydrated = await there.hydrate(undefined, ({ percentage }) => percentages.push(percentage))
  expect(hydrated).toMatchObject({ operation: 'hydrate', recordsProcessed: 1, pushed: 0, received: 1 })
  expect(hydrated.tables).toEqual({ notes: { pushed: 0, received: 1, conflicts: 0 } })
  expect(percentages.at(0)).toBe(0)
  expect(percentages.at(-1)).toBe(100)
  expect(percentages.toSorted((x, y) => x - y)).toEqual(percentages)
  expect(await knex('notes').select()).toEqual([{ id: '1', title: 'one', body: 'a' }])

  await knex('notes').where({ id: '1' }).update({ title: 'two' })
  await there.sync()
  using c = new DatabaseSync(world.path('c'))
  c.exec(NOTES)
  const third = await world.manager('c', c)
  await third.sync()
  expect(c.prepare('SELECT title FROM notes').all()).toEqual([{ title: 'two' }])
  await here.sync()
  expect(a.prepare('SELECT title FROM notes').all()).toEqual([{ title: 'two' }])
})

it('tells what happens by events, and a conflict with both rows and what was chosen', async () => {
  await using pair = await createPair()
  const { a, b, here, there } = pair
  a.exec(`UPDATE notes SET title = 'A', body = 'a'`)
  b.exec(`UPDATE notes SET title = 'B'`)
  await there.sync()
  const log = logEvents(here)
  const seen = vi.fn()
  here.addEventListener('conflict_detected', seen)
  const result = await here.sync(undefined, ({ localData }) => ({ title: `${String(localData['title'])}+` }))
  expect(log).toEqual([
    'sync_started',
    'sync_progress',
    'conflict_detected',
    'sync_progress',
    'sync_completed',
  ])
  expect(result.conflicts).toHaveLength(1)
  expect(result.conflicts[0]).toMatchObject({
    kind: 'field',
    entityType: 'notes',
    entityId: '1',
    fields: ['title'],
    localData: { id: '1', title: 'A', body: 'a' },
    remoteData: { id: '1', title: 'B', body: 'text' },
    resolution: 'merged',
  })
  const [conflict] = result.conflicts
  expect(conflict?.localTimestamp).toBeGreaterThan(0)
  expect(seen.mock.calls).toEqual([
    [{ type: 'conflict_detected', timestamp: expect.any(Date), data: conflict }],
  ])
  expect(result.tables).toEqual({ notes: { pushed: 1, received: expect.any(Number), conflicts: 1 } })
  expect(a.prepare('SELECT title, body FROM notes').get()).toEqual({ title: 'A+', body: 'a' })

  const [entry] = await here.getConflicts()
  expect(entry).toMatchObject({ id: conflict?.id, status: 'open' })
  await here.resolveConflict(entry?.id ?? '', 'remote')
  expect(a.prepare('SELECT title, body FROM notes').get()).toEqual({ title: 'B', body: 'a' })
  await here.sync()
  await there.sync()
  expect(b.prepare('SELECT title, body FROM notes').get()).toEqual({ title: 'B', body: 'a' })
})

it('syncs the named tables only, and misses nothing of the others later', async () => {
  await using pair = await createPair()
  const { a, b, here, there } = pair
  a.exec(`UPDATE notes SET title = 'two'; INSERT INTO tasks VALUES ('t', 'task')`)
  expect((await here.sync(['notes'])).tables).toEqual({ notes: { pushed: 1, received: 0, conflicts: 0 } })
  await there.sync(['notes'])
  expect(b.prepare('SELECT title FROM notes').get()).toEqual({ title: 'two' })
  await here.sync()
  await there.sync(['notes'])
  expect(b.prepare('SELECT count(*) AS n FROM tasks').get()).toEqual({ n: 0 })
  await there.sync()
  expect(b.prepare('SELECT count(*) AS n FROM tasks').get()).toEqual({ n: 1 })
  await expect(here.sync(['notes', 'absent'])).rejects.toMatchObject({
    code: 'unprocessable',
    message: expect.stringContaining('absent'),
  })
})

it('without a cloud everything local works, and a sync says what is missing', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(NOTES)
  const manager = await world.manager('a', database, { endpoint: undefined, token: undefined })
  const log = logEvents(manager)
  expect(manager.getProvider()).toBeNull()
  await expect(manager.sync()).rejects.toThrow('Not connected')
  expect(log).toEqual(['sync_error'])
  expect(await manager.healthCheck()).toMatchObject({ status: 'no-provider' })
  expect(await manager.getSyncStats()).toMatchObject({ totalRecords: 0, lastSyncTime: null, syncHistory: [] })
  // Nothing of Tidemark is in a file that was never synced.
  expect(
    database.prepare(`SELECT count(*) AS n FROM sqlite_schema WHERE name LIKE '%tidemark%'`).get(),
  ).toEqual({ n: 0 })
  const provider = await manager.createCloudProvider(world.cloud.url, world.cloud.token)
  expect(provider.isConnected).toBe(true)
  expect(await manager.sync()).toMatchObject({ operation: 'sync' })
})

it('a token that is refused is an error of authentication', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(NOTES)
  const manager = await world.manager('a', database, { token: 'wrong' })
  await expect(manager.sync()).rejects.toMatchObject({
    code: 'unauthorized',
    message: expect.stringContaining('Authentication'),
  })
  await expect(manager.createCloudProvider(world.cloud.url, 'wrong')).rejects.toThrow('Authentication')
  expect((await manager.createCloudProvider('http://127.0.0.1:1')).isConnected).toBe(false)
  await expect(manager.sync()).rejects.toThrow('Not connected')
})

it('keeps a history in the database, of failures too', async () => {
  await using pair = await createPair()
  const { world, a, here } = pair
  await here.close()
  const again = await world.manager('a', a)
  await again.seed(['notes'])
  await again.sync(['absent']).catch(() => {})
  const stats = await again.getSyncStats()
  expect(stats).toMatchObject({ totalRecords: 1, pendingOperations: 0, conflictsResolved: 0 })
  expect(stats.lastSyncTime).toBeInstanceOf(Date)
  expect(
    stats.syncHistory.map(({ operation, success, recordsProcessed, error, tables }) => ({
      operation,
      success,
      recordsProcessed,
      error,
      tables,
    })),
  ).toEqual([
    { operation: 'sync', success: false, recordsProcessed: 0, error: 'unprocessable', tables: ['absent'] },
    { operation: 'seed', success: true, recordsProcessed: 0, error: null, tables: ['notes'] },
    { operation: 'sync', success: true, recordsProcessed: 1, error: null, tables: null },
  ])
})

it('managers of one process share a file; one with another cloud or space is refused', async () => {
  await using pair = await createPair()
  const { world, a, here } = pair
  const knex = world.knex('a')
  const second = await world.manager('a', knex)
  await knex('notes').insert({ id: '2', title: 'two' })
  const [one, two] = await Promise.all([here.sync(), second.sync()])
  expect(one.pushed + two.pushed).toBe(1)
  await using other = await createLibraryWorld()
  const elsewhere = await world.manager('a', knex, { endpoint: other.cloud.url, token: other.cloud.token })
  expect(await codeOf(elsewhere.sync())).toBe('in_use')
  expect(await codeOf((await world.manager('a', knex, { space: 'other' })).sync())).toBe('already_attached')
  await here.close()
  a.exec(`UPDATE notes SET title = 'again'`)
  expect(await second.sync()).toMatchObject({ pushed: 2 })
})

it('ends an operation by its signal, and everything when it is closed', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(NOTES)
  const insert = database.prepare('INSERT INTO notes VALUES (?, ?, ?)')
  database.transaction(() => {
    for (let n = 0; n < 30_000; n++) insert.run(String(n), 'title', 'x'.repeat(50))
  })()
  {
    await using manager = await createSyncManager(database, world.config('a'))
    const control = new AbortController()
    const cut = manager.sync(
      undefined,
      undefined,
      ({ processed }) => {
        if (processed > 0) control.abort()
      },
      { signal: control.signal },
    )
    expect(await codeOf(cut)).toBe('aborted')
    const before = (await manager.getSyncStats()).pendingOperations
    expect(before).toBeGreaterThan(0)
    expect(before).toBeLessThan(30_000)
    expect(await codeOf(manager.sync(undefined, undefined, undefined, { signal: AbortSignal.abort() }))).toBe(
      'aborted',
    )
    const left = manager.sync()
    left.catch(() => {})
    await new Promise((resolve) => manager.addEventListener('sync_progress', resolve))
    await manager.close()
    expect(await codeOf(left)).toBe('aborted')
    expect(await codeOf(manager.sync())).toBe('aborted')
    expect(() => manager.startAutoSync()).toThrow('closed')
  }
  await using manager = await createSyncManager(database, world.config('a'))
  expect((await manager.sync()).pushed).toBeLessThan(30_000)
  await using there = await createSyncManager(world.better('b').exec(NOTES), world.config('b'))
  expect((await there.hydrate()).received).toBe(30_000)
})

it('a sync of performSync that waits is the answer to the next call too', async () => {
  await using pair = await createPair()
  const { here } = pair
  const log = vi.fn()
  here.addEventListener('sync_started', log)
  const seed = here.seed()
  const calls = [here.performSync(), here.performSync(), here.performSync()]
  expect(new Set(calls).size).toBe(1)
  await Promise.all([seed, ...calls])
  expect(log).toHaveBeenCalledTimes(2)
  await here.performSync()
  expect(log).toHaveBeenCalledTimes(3)
})

it('where both sides hold rows and joining was not wanted, nothing is done', async () => {
  await using pair = await createPair()
  const { world } = pair
  const c = world.better('c')
  c.exec(NOTES)
  c.exec(`INSERT INTO notes VALUES ('c', 'c', 'c')`)
  const refusing = await world.manager('c', c, { merge: false })
  expect(await codeOf(refusing.sync())).toBe('needs_merge')
  expect(c.prepare('SELECT count(*) AS n FROM notes').get()).toEqual({ n: 1 })
  await refusing.close()
  const joining = await world.manager('c', c)
  expect(await joining.sync()).toMatchObject({ pushed: 1, received: 1 })
})

it('settles a conflict by a side or a row, and by nothing else', async () => {
  await using pair = await createPair()
  const { a, b, here, there } = pair
  a.exec(`UPDATE notes SET title = 'A'`)
  b.exec(`UPDATE notes SET title = 'B'`)
  await there.sync()
  expect(await here.sync(undefined, () => 'wait')).toMatchObject({ conflicts: [{ resolution: 'waits' }] })
  const [conflict, ...others] = await here.getConflicts({ waiting: true })
  expect(others).toEqual([])
  const id = conflict?.id ?? ''
  const wrong = [
    'lokal',
    7,
    null,
    undefined,
    {},
    [],
    { titel: 'x' },
    { title: undefined },
    { title: {} },
    { id: '2' },
  ]
  for (const choice of wrong)
    expect(await codeOf(here.resolveConflict(id, choice as 'local'))).toBe('bad_usage')
  expect(await codeOf(here.resolveConflict('absent', { title: 'x' }))).toBe('not_found')
  expect(await here.getConflicts({ waiting: true, limit: 5 })).toHaveLength(1)
  await here.resolveConflict(id, { title: 'AB', id: '1' })
  await here.sync()
  await there.sync()
  for (const database of [a, b]) expect(database.prepare('SELECT title FROM notes').pluck().get()).toBe('AB')
  expect(await here.getConflicts({ waiting: true })).toEqual([])
})

it('I7: a resolver that gives a row another key decides nothing', async () => {
  await using pair = await createPair()
  const { a, b, here, there } = pair
  a.exec(`UPDATE notes SET title = 'A'`)
  b.exec(`UPDATE notes SET title = 'B'`)
  await there.sync()
  const result = await here.sync(undefined, () => ({ id: '2', title: 'C' }))
  expect(result.conflicts).toMatchObject([{ resolution: 'waits', entityId: '1' }])
  expect(a.prepare('SELECT id, title FROM notes').all()).toEqual([{ id: '1', title: 'A' }])
})

it('offers a file that was in step to no other account, and no other cloud, unless it is to', async () => {
  await using pair = await createPair()
  const { world, a, here } = pair
  await here.close()
  const { token } = await world.cloud.makeToken({ account: 'theirs' })
  await using other = await createLibraryWorld()
  const elsewhere = { endpoint: other.cloud.url, token: other.cloud.token }
  for (const there of [{ token }, elsewhere]) {
    a.exec(`UPDATE notes SET body = body || '!'`)
    const refusing = await world.manager('a', a, there)
    for (const operation of ['seed', 'hydrate', 'sync'] as const)
      expect(await codeOf(refusing[operation]())).toBe('needs_merge')
    expect((await refusing.getSyncStats()).pendingOperations).toBe(1)
    await refusing.close()
  }
  expect((await other.cloud.ask('GET', '/sync/status?space=default')).code).toBe('space_not_found')
  const joining = await world.manager('a', a, { ...elsewhere, merge: true })
  expect(await joining.sync()).toMatchObject({ pushed: 1 })
  await joining.close()
  // A cloud that was set up anew under a manager's feet is noticed by the engine.
  expect(await codeOf((await world.manager('a', a)).sync())).toBe('needs_merge')
})

it('notices a cloud that is another one from one sync to the next', async () => {
  const open = {
    tokenId: 'open',
    account: 'local',
    scopes: SCOPES,
    spaces: null,
    defaultSpace: 'default',
    device: null,
  }
  await using world = await createLibraryWorld({ open })
  await using other = await createLibraryWorld({ open })
  const database = world.better('a')
  database.exec(NOTES)
  database.exec(`INSERT INTO notes VALUES ('1', 'one', '')`)
  let isAway = false
  const redirect: typeof fetch = (input, init) =>
    fetch(isAway ? String(input).replace(world.cloud.url, other.cloud.url) : input, init)
  const config = { token: undefined, fetch: redirect }
  const manager = await world.manager('a', database, config)
  expect(await manager.sync()).toMatchObject({ pushed: 1 })
  isAway = true
  database.exec(`INSERT INTO notes VALUES ('2', 'two', '')`)
  expect(await codeOf(manager.sync())).toBe('needs_merge')
  expect(await codeOf(manager.seed())).toBe('needs_merge')
  await manager.close()
  const joining = await world.manager('a', database, { ...config, merge: true })
  expect(await joining.sync()).toMatchObject({ pushed: 2 })
})
