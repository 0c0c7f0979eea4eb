import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'

import { copyTestDatabase } from '../../../../test/postgres/database.ts'
import { describeOwnPostgres } from '../../../../test/postgres/own.ts'
import {
  askDatabase,
  generationsOf,
  openNode,
  persist,
  pullOf,
  type LogNode,
} from '../../../../test/postgres/running-node.ts'
import { startPostgres, type OwnPostgres } from '../../../../test/postgres/server.ts'
import { createWorld, type Device } from '../../../../test/devices/two-devices.ts'
import { SPACE_ID } from '../../../../sim/directory.ts'
import { codeOf, put, Reader } from '../../../testing/log-contract/harness.ts'
import { waitUntil } from '../../../testing/failures.ts'

/**
 * What begins a generation, and what does not (decision 0005): on real servers, with nodes that go on running.
 * Each test makes its own database anew; the server may be another life of itself afterwards.
 */

const TABLES = ['spaces', 'generations', 'tables', 'writers', 'records', 'claims', 'replicas', 'staged']

describeOwnPostgres('the lives of a database', () => {
  let server: OwnPostgres
  beforeAll(async () => {
    server = await startPostgres({ flags: ['fsync=off'] })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  let url: string
  let one: LogNode
  let two: LogNode
  let a: Reader
  beforeEach(async () => {
    await askDatabase(server.url, 'DROP DATABASE IF EXISTS lives WITH (FORCE)')
    await askDatabase(server.url, 'CREATE DATABASE lives TEMPLATE template0')
    url = server.url.replace(/postgres$/, 'lives')
    one = await openNode(url)
    two = await openNode(url)
    await one.log.ensureSpace(SPACE_ID)
    a = new Reader(one.log, 'a', SPACE_ID)
    await a.start()
    await a.write(put('1', 0, { x: 1 }))
  })
  afterEach(async () => {
    await one[Symbol.asyncDispose]()
    await two[Symbol.asyncDispose]()
  })

  const QUIET: { readonly [event: string]: () => Promise<unknown> } = {
    'a push': async () => {
      await a.write(put('2', 0, { x: 2 }))
      await new Reader(two.log, 'a-second', SPACE_ID).write(put('3', 0, { x: 3 }))
      await a.pull()
    },
    'VACUUM FREEZE': () => askDatabase(url, 'VACUUM (FREEZE) tidemark.spaces'),
    'VACUUM FULL': () => askDatabase(url, 'VACUUM (FULL) tidemark.spaces'),
    ANALYZE: () => askDatabase(url, 'ANALYZE'),
    'ALTER TABLE … ADD COLUMN': () =>
      askDatabase(url, 'ALTER TABLE tidemark.spaces ADD COLUMN later int NOT NULL DEFAULT 7'),
    'SELECT … FOR UPDATE': () => askDatabase(url, 'SELECT FROM tidemark.spaces FOR UPDATE'),
    'another setting': () => askDatabase(url, 'SELECT pg_reload_conf()'),
    'the start of a node': async () => {
      await using third = await openNode(url)
      await third.log.status(SPACE_ID)
    },
    'kill -9 of a process of the server': async () => {
      const client = new pg.Client({ connectionString: url })
      client.on('error', () => {})
      await client.connect()
      const { rows } = await client.query<{ readonly pid: number }>('SELECT pg_backend_pid() AS pid')
      process.kill(rows[0]?.pid ?? 0, 'SIGKILL')
      // It throws everybody out, and recovers.
      await waitUntil(() => server.log().includes('all server processes terminated; reinitializing'))
      await persist(() => two.log.status(SPACE_ID))
    },
  }

  test('no generation begins with anything of every day', async () => {
    const before = await generationsOf(one.log, SPACE_ID)
    for (const [event, happen] of Object.entries(QUIET)) {
      await happen()
      for (const { log } of [one, two]) expect(await generationsOf(log, SPACE_ID), event).toEqual(before)
      // And what is written after it is not taken for another life's either.
      await persist(() => a.write(put(event, 0, { x: 9 })))
      expect(await generationsOf(two.log, SPACE_ID), event).toEqual(before)
    }
    expect((await two.log.pull(SPACE_ID, pullOf(a))).records).toEqual([])
  })

  test.for(['restart', 'kill -9'])(
    'I11: one generation begins with a %s of the server, however many ask',
    async (how) => {
      const before = await generationsOf(one.log, SPACE_ID)
      await (how === 'restart' ? server.stop() : server.kill())
      await server.start()
      const asks = Array.from({ length: 8 }, (_, at) =>
        persist(() => (at % 2 === 0 ? one : two).log.status(SPACE_ID)),
      )
      const answers = await Promise.all(asks)
      const after = await generationsOf(two.log, SPACE_ID)
      expect(after.slice(0, -1)).toEqual(before)
      expect(new Set(answers.map(({ generation }) => generation.id))).toEqual(new Set(after.slice(-1)))
      // Harmless: who was there before goes on where it was.
      expect((await persist(() => a.pull())).records).toEqual([])
      await a.write(put('2', 0, { x: 2 }))
      expect(await generationsOf(one.log, SPACE_ID)).toEqual(after)
    },
  )

  test('I11: a push that was under way while the server died is never in the old generation', async () => {
    const [old] = await generationsOf(one.log, SPACE_ID)
    const pushes = Array.from({ length: 4 }, (_, at) => {
      const reader = new Reader((at % 2 === 0 ? one : two).log, `r${at}`, SPACE_ID)
      return persist(() => reader.push([put(`k${at}`, 0, { x: at })]))
    })
    await server.kill()
    await server.start()
    const answers = await Promise.all(pushes)
    const { head, generation } = await one.log.status(SPACE_ID)
    for (const { generation: told, results } of answers) {
      const [result] = results
      if (result?.status !== 'ok') throw new Error('not applied')
      // Applied before the end and repeated after it, or after it: never told as of the life that is over.
      if (told.id === old) expect(result.version).toBeLessThanOrEqual(generation.start)
    }
    expect(head).toBe(5)
  })

  test('I11: rows put back into a server that runs on begin a generation', async () => {
    const before = await generationsOf(one.log, SPACE_ID)
    await askDatabase(url, 'DROP SCHEMA IF EXISTS kept CASCADE; CREATE SCHEMA kept')
    for (const table of TABLES)
      await askDatabase(url, `CREATE TABLE kept.${table} AS SELECT * FROM tidemark.${table}`)
    await a.write(put('2', 0, { x: 2 }))
    await askDatabase(
      url,
      `BEGIN; TRUNCATE ${TABLES.map((name) => `tidemark.${name}`).join(', ')};
       ${TABLES.map((name) => `INSERT INTO tidemark.${name} OVERRIDING SYSTEM VALUE SELECT * FROM kept.${name};`).join('\n')} COMMIT`,
    )
    expect(await codeOf(one.log.pull(SPACE_ID, pullOf(a)))).toBe('lost_history')
    expect((await generationsOf(two.log, SPACE_ID)).slice(0, -1)).toEqual(before)
    await askDatabase(url, 'DROP SCHEMA kept CASCADE')
  })

  test('I11: a copy made by CREATE DATABASE … TEMPLATE is another history; its original goes on', async () => {
    const before = await generationsOf(one.log, SPACE_ID)
    const lives = { url, [Symbol.asyncDispose]: async () => {} }
    await using original = await copyTestDatabase(lives)
    await using node = await openNode(original.url)
    const inOriginal = await generationsOf(node.log, SPACE_ID)
    expect(inOriginal.slice(0, -1)).toEqual(before)
    await using copy = await copyTestDatabase(original)
    await using inCopy = await openNode(copy.url)
    expect((await generationsOf(inCopy.log, SPACE_ID)).slice(0, -1)).toEqual(inOriginal)
    expect(await generationsOf(node.log, SPACE_ID)).toEqual(inOriginal)
    const writer = new Reader(node.log, 'w', SPACE_ID)
    await writer.start()
    await writer.write(put('2', 0, {}))
    await new Reader(inCopy.log, 'v', SPACE_ID).write(put('2', 0, {}))
    expect(await codeOf(inCopy.log.pull(SPACE_ID, pullOf(writer)))).toBe('lost_history')
  })

  test('I11: an older base backup under nodes that go on: clients offer again what was lost, and lose nothing', async () => {
    await using world = createWorld(undefined, one.log)
    const laptop = await world.device('laptop')
    const desktop = await world.device('desktop')
    for (const [id, title] of [
      ['a', 'one'],
      ['b', 'two'],
      ['c', 'three'],
    ] as const)
      laptop.database.write((app) => app.insert('notes', { id, title, body: '' }))
    await settle(laptop, desktop)
    const early = new Reader(two.log, 'early', SPACE_ID)
    await early.start()
    const copy = await server.copyFiles()
    await a.write(put('2', 0, { x: 2 }))
    laptop.database.write((app) => {
      app.update('notes', { id: 'a' }, { title: 'uno' })
      app.remove('notes', { id: 'b' })
    })
    desktop.database.write((app) => app.insert('notes', { id: 'd', title: 'four', body: '' }))
    await settle(laptop, desktop)

    await server.kill()
    await server.restoreFiles(copy)
    laptop.database.write((app) => app.insert('notes', { id: 'e', title: 'five', body: 'meanwhile' }))
    desktop.database.write((app) => app.update('notes', { id: 'c' }, { body: 'edited meanwhile' }))
    await server.start()
    // Who is past it loses history, and who is not goes on; versions given twice are not mistaken for each other.
    expect(await codeOf(persist(() => two.log.pull(SPACE_ID, pullOf(a))))).toBe('lost_history')
    expect(await codeOf(persist(() => a.push([put('3', 0, {})])))).toBe('lost_history')
    expect((await early.pull()).records).toEqual([])
    await early.write(...Array.from({ length: 9 }, (_, at) => put(`again-${at}`, 0, {})))
    expect(await codeOf(two.log.pull(SPACE_ID, pullOf(a)))).toBe('lost_history')
    await settle(laptop, desktop)
    const expected = [
      { id: 'a', title: 'uno', body: '' },
      { id: 'c', title: 'three', body: 'edited meanwhile' },
      { id: 'd', title: 'four', body: '' },
      { id: 'e', title: 'five', body: 'meanwhile' },
    ]
    for (const device of [laptop, desktop]) {
      expect(notesOf(device)).toEqual(expected)
      expect(await device.store.listInbox({ open: true })).toEqual([])
      expect((await device.engine.status()).lastReset?.why).toBe('lost_history')
    }
    const fresh = await world.device('fresh')
    await settle(fresh)
    expect(notesOf(fresh)).toEqual(expected)
  })

  const notesOf = ({ database }: Device) =>
    [...database.rows('notes')].sort((x, y) => (String(x['id']) < String(y['id']) ? -1 : 1))

  /** Rounds of all, until they hold the same. */
  async function settle(...devices: readonly Device[]): Promise<void> {
    for (let round = 0; round < 4; round++) for (const device of devices) await persist(() => device.sync())
  }
})
