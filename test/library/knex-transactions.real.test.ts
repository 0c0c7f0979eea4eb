import { setTimeout as pause } from 'node:timers/promises'

import Database from 'better-sqlite3'
import type { Knex } from 'knex'
import { describe, expect, it } from 'vitest'

import { createLibraryWorld } from './world.ts'

const NOTES = 'CREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT)'

/** Two Knex applications in step, in WAL from the start; `pool` is that of the first. */
async function createPair(pool?: Knex.PoolConfig) {
  const world = await createLibraryWorld()
  const [a, b] = [world.knex('a', pool), world.knex('b')]
  for (const knex of [a, b]) {
    await knex.raw('PRAGMA journal_mode = WAL')
    await knex.raw(NOTES)
  }
  await a('notes').insert({ id: '1', title: 'one' })
  const [here, there] = [await world.manager('a', a), await world.manager('b', b)]
  await here.sync()
  await there.sync()
  return { world, a, b, here, there, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() }
}

/** Whether it is settled, some turns of the event loop later. */
async function isSettled(work: Promise<unknown>): Promise<boolean> {
  let settled = false
  const note = () => {
    settled = true
  }
  work.then(note, note)
  await pause(60)
  return settled
}

const titles = async (knex: Knex): Promise<unknown> => knex('notes').orderBy('id').pluck('title')

describe.each([{ max: 1 }, { max: 2 }, { max: 4 }])('a pool of $max', ({ max }) => {
  it('a sync waits for the end of a transaction, which goes on, also where it has only read so far', async () => {
    await using pair = await createPair({ min: 0, max })
    const { a, b, here, there } = pair
    await b('notes').insert({ id: '2', title: 'theirs' })
    await there.sync()
    const waited = await a.transaction(async (trx) => {
      const note = await trx('notes').where({ id: '1' }).first()
      const sync = here.sync()
      // Had the sync written now, SQLite would refuse the write that follows: SQLITE_BUSY_SNAPSHOT.
      expect(await isSettled(sync)).toBe(false)
      await trx('notes')
        .where({ id: '1' })
        .update({ title: `${note.title}+` })
      await trx('notes').insert({ id: '3', title: 'mine' })
      return { sync }
    })
    expect(await waited.sync).toMatchObject({ pushed: 2, received: 1 })
    await there.sync()
    expect(await titles(a)).toEqual(['one+', 'theirs', 'mine'])
    expect(await titles(b)).toEqual(['one+', 'theirs', 'mine'])
  })

  it('a sync that is awaited inside a transaction says so in time, and the transaction commits', async () => {
    await using pair = await createPair({ min: 0, max })
    const { world, a, here, there, b } = pair
    await here.close()
    const hasty = await world.manager('a', a, { waitMs: 150 })
    await a.transaction(async (trx) => {
      await trx('notes').insert({ id: '2', title: 'two' })
      await expect(hasty.sync()).rejects.toMatchObject({
        code: 'database_locked',
        message: expect.stringContaining('inside a transaction'),
      })
      await trx('notes').insert({ id: '3', title: 'three' })
    })
    expect(await hasty.sync()).toMatchObject({ pushed: 2 })
    await there.sync()
    expect(await titles(b)).toEqual(['one', 'two', 'three'])
  })

  it('a manager that is closed inside a transaction, a sync waiting for its end, is closed', async () => {
    await using pair = await createPair({ min: 0, max })
    const { world, a, b, here, there } = pair
    let sync = Promise.resolve<unknown>(null)
    await a.transaction(async (trx) => {
      await trx('notes').insert({ id: '2', title: 'two' })
      sync = expect(here.sync()).rejects.toMatchObject({ code: 'aborted' })
      await pause(20)
      await here.close()
      await trx('notes').insert({ id: '3', title: 'three' })
    })
    await sync
    const again = await world.manager('a', a)
    expect(await again.sync()).toMatchObject({ pushed: 2 })
    await there.sync()
    expect(await titles(b)).toEqual(['one', 'two', 'three'])
  })

  it('what is rolled back, whole or to a savepoint, is never sent', async () => {
    await using pair = await createPair({ min: 0, max })
    const { a, b, here, there } = pair
    const undone = a.transaction(async (trx) => {
      await trx('notes').insert({ id: '2', title: 'undone' })
      await pause(20)
      throw new Error('undo')
    })
    const [first] = await Promise.all([here.sync(), expect(undone).rejects.toThrow('undo')])
    expect(first).toMatchObject({ pushed: 0 })
    const nested = a.transaction(async (trx) => {
      await trx('notes').insert({ id: '3', title: 'kept' })
      const inner = trx.transaction(async (savepoint) => {
        await savepoint('notes').update({ title: 'undone' })
        await pause(20)
        throw new Error('undo')
      })
      await expect(inner).rejects.toThrow('undo')
    })
    await Promise.all([here.sync(), nested])
    await here.sync()
    await there.sync()
    expect(await titles(b)).toEqual(['one', 'kept'])
  })

  it('a pool that is destroyed first keeps nobody from closing, nor from a last sync', async () => {
    await using pair = await createPair({ min: 0, max })
    const { a, b, here, there } = pair
    await a('notes').insert({ id: '2', title: 'last' })
    const sync = here.sync()
    await a.destroy()
    await sync
    await here.sync()
    await here.close()
    await there.sync()
    expect(await titles(b)).toEqual(['one', 'last'])
  })
})

it('a transaction that begins and ends by plain statements is waited for as well', async () => {
  await using pair = await createPair()
  const { a, b, here, there } = pair
  await b('notes').insert({ id: '2', title: 'theirs' })
  await there.sync()
  await a.raw('BEGIN')
  await a('notes').first()
  const sync = here.sync()
  expect(await isSettled(sync)).toBe(false)
  await a('notes').where({ id: '1' }).update({ title: 'mine' })
  expect(await isSettled(sync)).toBe(false)
  await a.raw('COMMIT')
  expect(await sync).toMatchObject({ pushed: 1, received: 1 })
})

it('two transactions that wait for each other’s connections are not kept waiting by a sync between them', async () => {
  await using pair = await createPair({ min: 0, max: 2 })
  const { a, here } = pair
  let sync = Promise.resolve<unknown>(null)
  await a.transaction(async (trx) => {
    await trx('notes').insert({ id: '2', title: 'two' })
    sync = here.sync()
    for (let times = 0; times < 10; times++) {
      await pause(5)
      // Takes the other connection of the pool, which the sync may hold just now.
      await a('notes').count()
    }
  })
  expect(await sync).toMatchObject({ pushed: 1 })
})

it('while another connection writes, the application goes on reading', async () => {
  await using pair = await createPair()
  const { world, a, here } = pair
  const other = new Database(world.path('a'))
  try {
    other.exec(`BEGIN IMMEDIATE; INSERT INTO notes VALUES ('2', 'two')`)
    const sync = here.sync()
    await pause(20)
    // Whoever held the pool’s only connection all the while would keep this waiting.
    for (let times = 0; times < 10; times++) expect(await titles(a)).toEqual(['one'])
    expect(await isSettled(sync)).toBe(false)
    other.exec('COMMIT')
    expect(await sync).toMatchObject({ pushed: 1 })
  } finally {
    other.close()
  }
})

it('the event loop turns while a sync waits', async () => {
  await using pair = await createPair()
  const { a, here } = pair
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  await a.transaction(async (trx) => {
    await trx('notes').insert({ id: '2', title: 'two' })
    void here.sync()
    await pause(300)
  })
  clearInterval(timer)
  expect(ticks).toBeGreaterThan(10)
  await here.sync()
})

it('a stream that is read row by row is waited for', async () => {
  await using pair = await createPair()
  const { a, b, here, there } = pair
  await b('notes').insert(Array.from({ length: 30 }, (_, n) => ({ id: `b${n}`, title: 'theirs' })))
  await a('notes').insert(Array.from({ length: 30 }, (_, n) => ({ id: `a${n}`, title: 'mine' })))
  await there.sync()
  const ids: unknown[] = []
  let sync = Promise.resolve<unknown>(null)
  for await (const { id } of a('notes').select('id').stream() as AsyncIterable<{ id: string }>) {
    ids.push(id)
    if (ids.length === 1) sync = here.sync()
    await pause(1)
  }
  // One snapshot: the rows that the sync brings come after it.
  expect(ids).toHaveLength(31)
  expect(await sync).toMatchObject({ pushed: 30, received: 30 })
})

it('the first sync comes beside a transaction that keeps even readers out of a file that is not in WAL', async () => {
  await using world = await createLibraryWorld()
  const knex = world.knex('a')
  await knex.raw(NOTES)
  const manager = await world.manager('a', knex)
  await knex.raw('PRAGMA cache_size = 1')
  let sync = Promise.resolve<unknown>(null)
  await knex.transaction(async (trx) => {
    // More than the cache holds is written before the commit, under the exclusive lock.
    for (let n = 0; n < 40; n++) await trx('notes').insert({ id: String(n), title: 'x'.repeat(4_000) })
    sync = manager.sync()
    expect(await isSettled(sync)).toBe(false)
    await trx('notes').insert({ id: 'last', title: 'last' })
  })
  expect(await sync).toMatchObject({ pushed: 41 })
})

it('a manager that is made inside a transaction says why it cannot be', async () => {
  await using world = await createLibraryWorld()
  const knex = world.knex('a')
  await knex.raw(NOTES)
  await knex.transaction(async () => {
    await expect(world.manager('a', knex, { waitMs: 50 })).rejects.toMatchObject({ code: 'database_locked' })
  })
  const gone = world.knex('a')
  await gone.destroy()
  await expect(world.manager('a', gone)).rejects.toMatchObject({ code: 'unprocessable' })
})
