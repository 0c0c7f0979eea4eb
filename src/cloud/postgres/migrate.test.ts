import { spawn } from 'node:child_process'

import type pg from 'pg'
import { expect, test } from 'vitest'

import { someWaitForLock } from '../../../test/postgres/barrier.ts'
import { openTestDatabase } from '../../../test/postgres/database.ts'
import { openLogNodes, type LogNodes } from '../../../test/postgres/log-nodes.ts'
import { describeOwnPostgres } from '../../../test/postgres/own.ts'
import { askDatabase } from '../../../test/postgres/running-node.ts'
import { startPostgres } from '../../../test/postgres/server.ts'
import type { Watch } from '../../../test/postgres/watched-database.ts'
import { systemClock } from '../../kernel/clock.ts'
import { failureOf } from '../../testing/failures.ts'
import { put, Reader } from '../../testing/log-contract/harness.ts'
import type { Log } from '../log/log.ts'
import { COMMIT } from '../log/postgres/sql/commit.ts'
import { migrate, readLevel, type Migration } from './migrate.ts'
import { MIGRATIONS } from './migrations.ts'
import { openDatabase } from './pool.ts'

/** A database is brought up to date in place, while nodes of the level before are at work. */

const NOW = MIGRATIONS.length
const REPLACED = 'tidemark.commit_1('
/** The next level: a column, and a commit that counts in it, beside that of the level before. */
const ADDITIVE: Migration = {
  number: NOW + 1,
  readableFrom: 1,
  sql: `ALTER TABLE tidemark.spaces ADD COLUMN pushes bigint NOT NULL DEFAULT 0;
    ${COMMIT.replace(REPLACED, 'tidemark.commit_next(').replace('SET head = a.head + a.total,', 'SET head = a.head + a.total, pushes = s.pushes + 1,')}`,
}
/** And one that the old commit is not safe with. */
const FENCE: Migration = {
  number: NOW + 2,
  readableFrom: NOW + 1,
  sql: `DO $$ BEGIN EXECUTE (SELECT 'DROP FUNCTION ' || oid::regprocedure FROM pg_proc WHERE proname = 'commit_1'); END $$`,
}
const NEXT = [...MIGRATIONS, ADDITIVE]
const FENCED = [...NEXT, FENCE]
const QUICK = { lockMs: 100, pauseMs: 100 }

/** What makes a node one of the next level. */
const OF_NEXT: Watch = {
  change: ({ name, values }) =>
    name === 'tidemark commit'
      ? `SELECT to_json(tidemark.commit_next(${values.map((_, at) => `$${at + 1}`).join(', ')}))::text AS heads`
      : undefined,
}

async function bringTo(url: string, migrations: readonly Migration[], waits = QUICK): Promise<void> {
  await using database = openDatabase({ url })
  await migrate(database, migrations, systemClock, waits)
}

async function levelOf(url: string): Promise<number> {
  await using database = openDatabase({ url })
  return (await readLevel(database)).number
}

interface Load {
  readonly done: number
  /** Rejects with what any of them met. */
  stop(): Promise<void>
  /** Fulfilled after so many more pushes. */
  more(count: number): Promise<void>
}

/** Replicas that push and pull all the time, each through its node. */
async function load(space: string, names: string, logs: readonly Log[]): Promise<Load> {
  let [running, done] = [true, 0]
  let failure: unknown = null
  const waiting: { readonly at: number; readonly go: () => void }[] = []
  const work = async (log: Log, name: string): Promise<void> => {
    const reader = new Reader(log, name, space)
    await reader.start()
    while (running) {
      await reader.write(put(`${name} ${done}`, 0, { x: done }))
      await reader.pull()
      done++
      for (const { at, go } of waiting) if (done >= at) go()
    }
  }
  const all = logs.map((log, at) =>
    work(log, `${names}-${at}`).catch((error: unknown) => {
      failure ??= error
      for (const { go } of waiting) go()
    }),
  )
  return {
    get done() {
      return done
    },
    async more(count) {
      if (failure === null) await new Promise<void>((go) => waiting.push({ at: done + count, go }))
    },
    async stop() {
      running = false
      await Promise.all(all)
      if (failure !== null) throw failure
    },
  }
}

async function pushesOf({ admin }: LogNodes, space: string): Promise<number> {
  const { rows } = await admin.query<{ n: string }>('SELECT pushes AS n FROM tidemark.spaces WHERE id = $1', [
    space,
  ])
  return Number(rows[0]?.n)
}

test('nodes of the level before push and pull on while a new one takes the next step, and after it', async () => {
  await using nodes = await openLogNodes()
  const space = await nodes.space()
  const under = await load(space, 'old', [nodes.node(), nodes.node()])
  await under.more(5)
  await bringTo(nodes.url, NEXT)
  const started = await load(space, 'new', [nodes.node({ watch: OF_NEXT })])
  await Promise.all([under.more(10), started.more(10)])
  await started.stop()
  await under.stop()
  expect(await levelOf(nodes.url)).toBe(NOW + 1)
  expect(await pushesOf(nodes, space)).toBe(started.done)
  expect((await nodes.node().status(space)).records).toBe(under.done + started.done)
})

test('a step that is not safe for older nodes: they say so, do nothing by halves, and can be read from', async () => {
  await using nodes = await openLogNodes()
  const space = await nodes.space()
  const old = nodes.node()
  const reader = new Reader(old, 'old', space)
  // Its statements are prepared by now.
  for (let at = 0; at < 8; at++) await reader.write(put(`k${at}`, 0, { x: at }))
  await bringTo(nodes.url, FENCED)
  for (const log of [old, nodes.node()]) {
    const refused = await failureOf(
      new Reader(log, `of ${String(log === old)}`, space).push([put('no', 0, {})]),
    )
    expect(refused).toMatchObject({ code: 'needs_upgrade', status: 426 })
    expect(refused.message).toContain('A newer version of Tidemark has changed this database')
  }
  expect(await failureOf(reader.push([put('no', 0, {})]))).toMatchObject({ code: 'needs_upgrade' })
  expect(await old.status(space)).toMatchObject({ head: 8, records: 8, replicas: 1 })
  const other = new Reader(nodes.node({ watch: OF_NEXT }), 'new', space)
  expect(await other.write(put('yes', 0, {}))).toEqual([9])
  // Nothing of what was refused is known: the same replica goes on through another node.
  reader.log = other.log
  expect(await reader.write(put('yes, too', 0, {}))).toEqual([10])
})

test('an older program does not start on a database that it would damage, and says why', async () => {
  await using database = await openTestDatabase()
  await bringTo(database.url, FENCED)
  const refused = await failureOf(bringTo(database.url, MIGRATIONS))
  expect(refused).toMatchObject({
    code: 'needs_upgrade',
    details: { database: NOW + 1, program: NOW },
  })
  expect(refused.message).toContain('A newer version of Tidemark has changed this database')
  expect(await levelOf(database.url)).toBe(NOW + 2)
})

test('an older program starts where newer steps leave it safe', async () => {
  await using database = await openTestDatabase()
  await bringTo(database.url, NEXT)
  await bringTo(database.url, MIGRATIONS)
  expect(await levelOf(database.url)).toBe(NOW + 1)
})

test('of many new nodes one takes each step', async () => {
  await using database = await openTestDatabase()
  // Nothing in it would fail a second time.
  const counted = {
    ...ADDITIVE,
    sql: 'CREATE TABLE IF NOT EXISTS public.taken (n int); INSERT INTO public.taken VALUES (1)',
  }
  await Promise.all(Array.from({ length: 6 }, () => bringTo(database.url, [...MIGRATIONS, counted])))
  expect(await askDatabase(database.url, 'SELECT n FROM public.taken')).toEqual([{ n: 1 }])
})

test('a migration that cannot get its lock lets the others go on, and comes to its end when it can', async () => {
  await using nodes = await openLogNodes()
  const space = await nodes.space()
  // A dump, or a report: it reads for a long time.
  const report = await nodes.connect()
  await report.query('BEGIN; SELECT FROM tidemark.spaces')
  const under = await load(space, 'old', [nodes.node(), nodes.node()])
  await under.more(2)
  const upgrade = bringTo(nodes.url, NEXT)
  for (let round = 0; round < 3; round++) {
    await someWaitForLock(nodes.admin)
    await under.more(5)
  }
  expect(await levelOf(nodes.url)).toBe(NOW)
  await report.query('COMMIT')
  await upgrade
  await under.more(5)
  await under.stop()
  expect(await levelOf(nodes.url)).toBe(NOW + 1)
})

/** Stands in the middle of a step for as long as somebody holds the lock; no time-out of locks ends it. */
const BARRIER = `DO $$ BEGIN WHILE NOT pg_try_advisory_xact_lock(42) LOOP PERFORM pg_sleep(0.005); END LOOP; END $$;`
const HELD = { ...ADDITIVE, sql: `${ADDITIVE.sql}; ${BARRIER}` }
const IN_THE_MIDDLE = `SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()`

async function untilInTheMiddle(admin: pg.ClientBase): Promise<void> {
  await expect
    .poll(async () => (await admin.query(IN_THE_MIDDLE)).rowCount, { timeout: 30_000, interval: 5 })
    .toBe(1)
}

test('a node killed in the middle of a step leaves the level before, and another takes it up', async () => {
  await using nodes = await openLogNodes()
  const space = await nodes.space()
  await nodes.admin.query('SELECT pg_advisory_lock(42)')
  const child = spawn(process.execPath, ['--input-type=module', '-e', MIGRATE_FROM_INPUT, nodes.url], {
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.stdin.end(JSON.stringify([...MIGRATIONS, HELD]))
  await untilInTheMiddle(nodes.admin)
  child.kill('SIGKILL')
  await gone
  // Its process at the server has not noticed yet, and holds what it held.
  const next = bringTo(nodes.url, NEXT)
  await nodes.admin.query('SELECT pg_advisory_unlock(42)')
  await next
  expect(await levelOf(nodes.url)).toBe(NOW + 1)
  await new Reader(nodes.node({ watch: OF_NEXT }), 'a', space).write(put('1', 0, {}))
  expect(await pushesOf(nodes, space)).toBe(1)
})

const here = (file: string) => JSON.stringify(new URL(file, import.meta.url).href)
const MIGRATE_FROM_INPUT = `
const { migrate } = await import(${here('migrate.ts')})
const { openDatabase } = await import(${here('pool.ts')})
const { systemClock } = await import(${here('../../kernel/clock.ts')})
let text = ''
for await (const part of process.stdin) text += part
await migrate(openDatabase({ url: process.argv[1] }), JSON.parse(text), systemClock)
`

describeOwnPostgres('a server of its own', () => {
  test('killed in the middle of a step it comes back with the level before, and the step is taken again', async () => {
    await using server = await startPostgres({ flags: ['fsync=off'] })
    await bringTo(server.url, MIGRATIONS)
    const nodes = await openLogNodes(server)
    const space = await nodes.space()
    await new Reader(nodes.node(), 'a', space).write(put('1', 0, {}))
    await nodes.admin.query('SELECT pg_advisory_lock(42)')
    const failed = failureOf(bringTo(server.url, [...MIGRATIONS, HELD]))
    await untilInTheMiddle(nodes.admin)
    await server.kill()
    expect(await failed).toMatchObject({ code: 'unavailable' })
    // Its connections are gone; those of the pools go.
    await Promise.resolve(nodes[Symbol.asyncDispose]()).catch(() => {})
    await server.start()
    expect(await levelOf(server.url)).toBe(NOW)
    await bringTo(server.url, NEXT)
    await using after = await openLogNodes(server)
    expect((await after.node().status(space)).records).toBe(1)
    await new Reader(after.node({ watch: OF_NEXT }), 'b', space).write(put('2', 0, {}))
    expect(await pushesOf(after, space)).toBe(1)
  })
})
