import pg from 'pg'
import { expect, test } from 'vitest'

import { openTestDatabase } from '../../../test/postgres/database.ts'
import { codeOf } from '../../testing/log-contract/harness.ts'
import { openDatabase } from './pool.ts'

const PID = 'SELECT pg_backend_pid() AS pid'

async function openAdmin(url: string): Promise<pg.Client> {
  const admin = new pg.Client({ connectionString: url })
  admin.on('error', () => {})
  await admin.connect()
  return admin
}

test('a connection that is broken off inside a transaction takes the transaction with it, not the program', async () => {
  await using database = await openTestDatabase()
  const admin = await openAdmin(database.url)
  await using pool = openDatabase(database)
  await admin.query('CREATE TABLE public.seen (no int)')
  const broken = pool.transaction(async (connection) => {
    await connection.query('INSERT INTO public.seen VALUES (1)')
    const [row] = await connection.query<{ pid: number }>(PID)
    // Between two statements nobody waits for an answer that could bring the failure.
    await admin.query('SELECT pg_terminate_backend($1, 30000)', [row?.pid])
    await new Promise((resolve) => setImmediate(resolve))
    await connection.query('INSERT INTO public.seen VALUES (2)')
  })
  expect(await codeOf(broken)).toBe('unavailable')
  expect(await pool.query('SELECT no FROM public.seen')).toEqual([])
  await pool.transaction((connection) => connection.query('INSERT INTO public.seen VALUES (3)'))
  expect(await pool.query('SELECT no FROM public.seen')).toEqual([{ no: 3 }])
  await admin.end()
})

test('a transaction that its database ended for being idle is a failure that passes', async () => {
  await using database = await openTestDatabase()
  await using pool = openDatabase({ ...database, limits: { idleInTransactionMs: 20 } })
  const late = pool.transaction(async (connection) => {
    const [row] = await connection.query<{ pid: number }>(PID)
    const gone = async () =>
      (await pool.query('SELECT FROM pg_stat_activity WHERE pid = $1', [row?.pid ?? 0])).length === 0
    for (let looks = 0; looks < 5_000 && !(await gone()); looks++);
    await connection.query('SELECT 1')
  })
  expect(await codeOf(late)).toBe('unavailable')
  expect(await pool.query('SELECT 1 AS one')).toEqual([{ one: 1 }])
})

test('a transaction that was undone under its work is no success', async () => {
  await using database = await openTestDatabase()
  await using pool = openDatabase(database)
  await pool.query('CREATE TABLE public.seen (no int PRIMARY KEY)')
  const careless = pool.transaction(async (connection) => {
    await connection.query('INSERT INTO public.seen VALUES (1)')
    await connection.query('INSERT INTO public.seen VALUES (1)').catch(() => {})
  })
  expect(await codeOf(careless)).toBe('unavailable')
  expect(await pool.query('SELECT no FROM public.seen')).toEqual([])
})
