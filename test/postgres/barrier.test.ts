import pg from 'pg'
import { expect, test } from 'vitest'

import { isGone, pidOf, someWaitForLock, waitsForLock } from './barrier.ts'
import { openTestDatabase } from './database.ts'

/** Two who write, one who reads, one who looks on; `spaces` has one row. */
async function openSpaces(): Promise<AsyncDisposable & { readonly clients: readonly pg.Client[] }> {
  const database = await openTestDatabase()
  const clients = [1, 2, 3, 4].map(() => new pg.Client({ connectionString: database.url }))
  for (const client of clients) {
    client.on('error', () => {})
    await client.connect()
  }
  await clients[0]?.query('CREATE TABLE spaces (head int)')
  await clients[0]?.query('INSERT INTO spaces VALUES (0)')
  return {
    clients,
    async [Symbol.asyncDispose]() {
      for (const client of clients) await client.end()
      await database[Symbol.asyncDispose]()
    },
  }
}

/** Whether it is still open after many questions more to the server than it needs. */
async function isOpen(barrier: Promise<unknown>, other: pg.Client): Promise<boolean> {
  let open = true
  barrier.then(
    () => (open = false),
    () => (open = false),
  )
  for (let turn = 0; turn < 20; turn++) await other.query('SELECT 1')
  return open
}

const RISE = 'UPDATE spaces SET head = head + 1 RETURNING head'

test('I4: the second of two open transactions waits for the first, and a reader between sees neither', async () => {
  await using spaces = await openSpaces()
  const [first, second, reader, admin] = spaces.clients as [pg.Client, pg.Client, pg.Client, pg.Client]
  const head = async (): Promise<unknown> => (await reader.query('SELECT head FROM spaces')).rows
  await first.query('BEGIN')
  await first.query(RISE)
  await second.query('BEGIN')
  const secondPid = await pidOf(second)
  const waits = waitsForLock(admin, secondPid)
  expect(await isOpen(waits, reader)).toBe(true)
  const risen = second.query(RISE)
  await waits
  expect(await someWaitForLock(admin)).toEqual([secondPid])
  expect(await head()).toEqual([{ head: 0 }])
  await first.query('COMMIT')
  expect((await risen).rows).toEqual([{ head: 2 }])
  expect(await head()).toEqual([{ head: 1 }])
  await second.query('COMMIT')
  expect(await head()).toEqual([{ head: 2 }])
})

test('what a connection that is broken off had begun is gone when its process is', async () => {
  await using spaces = await openSpaces()
  const [first, second, reader, admin] = spaces.clients as [pg.Client, pg.Client, pg.Client, pg.Client]
  const firstPid = await pidOf(first)
  await first.query('BEGIN')
  await first.query(RISE)
  const one = second.query(RISE)
  const two = someWaitForLock(admin, 2)
  expect(await isOpen(two, reader)).toBe(true)
  const both = [one, reader.query(RISE)]
  expect(await two).toHaveLength(2)
  const gone = isGone(admin, firstPid)
  expect(await isOpen(gone, admin)).toBe(true)
  await admin.query('SELECT pg_terminate_backend($1)', [firstPid])
  await gone
  const heads = (await Promise.all(both)).flatMap(({ rows }) => rows as readonly unknown[])
  expect(heads).toEqual(expect.arrayContaining([{ head: 1 }, { head: 2 }]))
})
