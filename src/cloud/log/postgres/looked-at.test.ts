import { randomUUID } from 'node:crypto'

import { expect, test } from 'vitest'

import { openTestDatabase } from '../../../../test/postgres/database.ts'
import { systemClock } from '../../../kernel/clock.ts'
import type { Change } from '../../../protocol/records.ts'
import { silentMetrics } from '../../metrics.ts'
import { migrate } from '../../postgres/migrate.ts'
import { MIGRATIONS } from '../../postgres/migrations.ts'
import { openDatabase, type Database } from '../../postgres/pool.ts'
import { openPostgresLog } from '../postgres.ts'
import { Histories } from './space.ts'
import { writeAcks } from './upkeep.ts'

const ROWS = 3_000
const PAGE = 10
/** Rows of each table that a call may look at, where it answers a page of ten. */
const LOOKED_AT = 3 * PAGE

const FILL = `
  INSERT INTO tidemark.tables (space, no, name, live) SELECT no, 10 + t, 't' || t, ${ROWS} FROM tidemark.spaces, generate_series(1, 25) t;
  INSERT INTO tidemark.writers (space, no, id) SELECT no, 10 + w, 'r' || w FROM tidemark.spaces, generate_series(1, ${ROWS}) w;
  INSERT INTO tidemark.replicas (space, id, mutation, hashes, base, answer, acked, seen)
    SELECT no, 'r' || w, 0, '[]', 0, '[]', 1, 1 FROM tidemark.spaces, generate_series(1, ${ROWS}) w;
  INSERT INTO tidemark.records (space, tbl, version, hlc, writer, key, fields)
    SELECT no, 11, 10 + v, 1, 10 + v, '["' || v || '"]', '{}' FROM tidemark.spaces, generate_series(1, ${ROWS}) v;
  UPDATE tidemark.spaces SET head = 10 + ${ROWS}`

const CALLS: Readonly<Record<string, string>> = {
  pull: `SELECT tidemark.pull_1('{space}', '{nobody}', '{0}', '{0}', '{${PAGE}}', 1000000, NULL)`,
  'pull of some tables': `SELECT tidemark.pull_1('{space}', '{nobody}', '{0}', '{0}', '{${PAGE}}', 1000000, '{t1,t2}')`,
  hydrate: `SELECT tidemark.hydrate_1('space', 't1', '["2000"]', ${PAGE}, 1000000, '{t1}')`,
  view: `SELECT tidemark.view_1('{space}', '{1,1}', '{r7,r8}', '{1,1}', '{1,1}', '{t1,t2}', '{1,1,2}', '{"[\\"5\\"]",x,x}', '{1}', '{i}', '{v}', 1000000)`,
}

/** Lets go of the value it had before, and takes another. */
const changeOf = (mutation: number): Change => ({
  table: 'own',
  key: '["own"]',
  op: 'put',
  base: mutation === 1 ? 0 : 1,
  hlc: 1,
  fields: {},
  claims: { index: String(mutation) },
})
const ACKED = 'SELECT id FROM tidemark.replicas WHERE acked = 2 ORDER BY id'

test('what is asked for is looked up by index and read in its order, though tables were empty when it was planned', async () => {
  await using empty = await openTestDatabase()
  await using database = openDatabase({ ...empty, limits: { connections: 1 } })
  await migrate(database, MIGRATIONS, systemClock)
  await database.query(`SELECT tidemark.ensure_space_1('space', 'epoch', 'generation')`)
  const storage = {
    database,
    clock: systemClock,
    metrics: silentMetrics,
    newId: randomUUID,
    histories: new Histories(),
  }
  const calls = Object.entries(CALLS).map(
    ([name, text]) => [name, () => database.query({ name, text })] as const,
  )
  await using log = openPostgresLog({ database, clock: systemClock })
  let mutation = 0
  const push = (mutation: number) =>
    log.push('space', {
      request: { space: 'name', replica: 'own', mutation, cursor: null, changes: [changeOf(mutation)] },
      hash: String(mutation),
    })
  const ack = { acked: 2, seen: 2 }
  const all: readonly (readonly [string, () => Promise<unknown>])[] = [
    ...calls,
    ['push', () => push(++mutation)],
    [
      'acknowledgements',
      () =>
        writeAcks(
          storage,
          ['r8', 'r7'].map((replica) => ({ space: 'space', replica, ack })),
        ),
    ],
  ]
  for (const [, call] of all) await call()
  await database.query(FILL)
  for (const [name, call] of all) {
    const before = await lookedAt(database)
    await call()
    const after = await lookedAt(database)
    const looked = [...after].map(([table, rows]) => [table, rows - (before.get(table) ?? 0)] as const)
    if (name === 'acknowledgements') expect(await database.query(ACKED)).toEqual([{ id: 'r7' }, { id: 'r8' }])
    expect([name, looked.filter(([, rows]) => rows > LOOKED_AT)]).toEqual([name, []])
  }
})

/** Rows of each table that this one connection has looked at until now. */
async function lookedAt(database: Database): Promise<Map<string, number>> {
  // Told at the end of this statement, and not of one soon after.
  await database.query('SELECT pg_stat_force_next_flush()')
  const rows = await database.query<{ table: string; rows: number }>(
    `SELECT relname AS table, seq_tup_read + idx_tup_fetch AS rows FROM pg_stat_user_tables
     WHERE schemaname = 'tidemark'`,
  )
  return new Map(rows.map(({ table, rows }) => [table, rows]))
}
