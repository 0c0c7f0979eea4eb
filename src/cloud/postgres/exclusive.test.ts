import { afterAll, beforeAll, expect, test } from 'vitest'

import { openTestDatabase, type TestDatabase } from '../../../test/postgres/database.ts'
import type { Exclusive } from '../exclusive.ts'
import { createPostgresExclusive } from './exclusive.ts'
import { openDatabase, type Database } from './pool.ts'

let server: TestDatabase
let nodes: readonly Database[]
let one: Exclusive
let other: Exclusive

beforeAll(async () => {
  server = await openTestDatabase()
  nodes = [openDatabase({ url: server.url }), openDatabase({ url: server.url })]
  ;[one, other] = nodes.map(createPostgresExclusive) as [Exclusive, Exclusive]
})
afterAll(async () => {
  for (const node of nodes) await node[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

const nothing = async (): Promise<void> => {}
const forbidden = async (): Promise<void> => {
  throw new Error('two at once')
}

/** Connections that hold or held a turn. */
const countTurns = async (): Promise<number> => {
  const rows = await nodes[0]?.query<{ readonly n: number }>(
    `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tidemark turns'`,
  )
  return rows?.[0]?.n ?? -1
}

test('one node works at a time, whatever the other asks meanwhile; works of other names go on beside it', async () => {
  const ran = await one.run('collect', async (lost) => {
    expect(await other.run('collect', forbidden)).toBe(false)
    expect(await one.run('collect', forbidden)).toBe(false)
    expect(await other.run('export', nothing)).toBe(true)
    expect(lost.aborted).toBe(false)
  })
  expect(ran).toBe(true)
  expect(await other.run('collect', nothing)).toBe(true)
})

test('of many at once one begins, and none is left with a connection', async () => {
  let working = 0
  let most = 0
  const asked = Array.from({ length: 12 }, (_, at) =>
    (at % 2 === 0 ? one : other).run('collect', async () => {
      most = Math.max(most, ++working)
      await nodes[0]?.query('SELECT pg_sleep(0.05)')
      working--
    }),
  )
  const ran = (await Promise.all(asked)).filter(Boolean)
  expect([most, ran.length >= 1]).toEqual([1, true])
  // A backend goes a moment after its client.
  for (let looks = 0; looks < 200 && (await countTurns()) > 0; looks++)
    await nodes[0]?.query('SELECT pg_sleep(0.01)')
  expect(await countTurns()).toBe(0)
})

test('a turn ends with work that fails, and whoever asked is told', async () => {
  await expect(one.run('collect', forbidden)).rejects.toThrow('two at once')
  expect(await other.run('collect', nothing)).toBe(true)
})

test('who loses the connection is told, and the turn is free', async () => {
  const ran = await one.run('collect', async (lost) => {
    const aborted = new Promise<void>((resolve) => lost.addEventListener('abort', () => resolve()))
    await nodes[1]?.query(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'tidemark turns'`,
    )
    await aborted
    expect(await other.run('collect', nothing)).toBe(true)
  })
  expect(ran).toBe(true)
})
