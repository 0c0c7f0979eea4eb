import { join } from 'node:path'

import Database from 'better-sqlite3'
import { expect, onTestFinished, test } from 'vitest'

import { createHandler } from '../../src/cloud/handler/handler.ts'
import { MemoryLog } from '../../src/cloud/log/memory.ts'
import { openAgentsDatabase } from '../../src/daemon/agents/database.ts'
import { AGENT_TABLES } from '../../src/daemon/agents/schema.ts'
import { SyncEngine } from '../../src/engine/engine.ts'
import type { HydrateChunk, Provider } from '../../src/engine/provider.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { seededRandom } from '../../src/kernel/random.ts'
import type { WireRecord } from '../../src/protocol/records.ts'
import type { SchemaTable } from '../../src/protocol/schema.ts'
import { betterSqlite3 } from '../../src/stores/sqlite/driver/better-sqlite3.ts'
import { attachFile, openSqliteStore } from '../../src/stores/sqlite/store/open.ts'
import { createDirectory, SPACE, tokenOf } from '../../sim/directory.ts'
import { openMachine, type Machine } from '../command-line.ts'
import { handlerProvider } from '../devices/handler-provider.ts'

function openFile(file: string): Database.Database {
  const database = openAgentsDatabase(file)
  onTestFinished(() => void database.close())
  return database
}

const rowsOf = (database: Database.Database, sql: string): readonly unknown[] =>
  database.prepare(sql).raw().all()
const linesOf = (database: Database.Database): readonly unknown[] =>
  database
    .prepare("SELECT table_name || ' ' || row_id || ' ' || verb FROM local_changes ORDER BY 1")
    .pluck()
    .all()
const PARTS = `SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE '\\_tidemark\\_%' ESCAPE '\\'
  ORDER BY type, name`

const addOfEach = (database: Database.Database, id: string): void => {
  for (const table of AGENT_TABLES) database.exec(`INSERT INTO ${table} (id) VALUES ('${id}')`)
}

/** A machine whose data folder holds `agents.db`, attached as a daemon does it. */
async function openDevice(
  endpoint: string,
  token: string,
): Promise<Machine & { readonly database: Database.Database }> {
  const machine = await openMachine()
  onTestFinished(() => machine[Symbol.asyncDispose]())
  await machine.ask('config', 'set', 'endpoint', endpoint)
  await machine.ask('config', 'set', 'token', token)
  const database = openFile(join(machine.folder, 'home', 'agents.db'))
  const tables = AGENT_TABLES.join(',')
  await machine.ask(
    'attach',
    database.name,
    '--space',
    'agents',
    '--tables',
    tables,
    '--merge',
    '--no-sync',
    '--yes',
  )
  return { ...machine, database }
}

test('rows of another device arrive, and each is a line of local_changes; a device that comes later gets all', async () => {
  await using server = await openMachine()
  const { url } = await server.serve()
  const token = (
    await server.tidemark('cloud', 'token', 'create', '--data', join(server.folder, 'cloud'))
  ).out.trim()
  const a = await openDevice(url, token)
  const schema = rowsOf(a.database, PARTS)
  addOfEach(a.database, 'first')
  await a.ask('sync', 'now')
  const b = await openDevice(url, token)
  addOfEach(b.database, 'own')
  await b.ask('sync', 'now')
  const inserted = (id: string): readonly string[] => AGENT_TABLES.map((table) => `${table} ${id} insert`)
  expect(linesOf(b.database)).toEqual([...inserted('first'), ...inserted('own')].sort())

  // From now on the way is pull, not the first fill: insert, update, another key, delete.
  b.database.exec('DELETE FROM local_changes')
  a.database.exec(
    "INSERT INTO messages (id) VALUES ('new'); UPDATE sessions SET title = 'seen' WHERE id = 'first'",
  )
  a.database.exec(
    "UPDATE projects SET id = 'moved' WHERE id = 'first'; DELETE FROM memories WHERE id = 'first'",
  )
  await a.ask('sync', 'now')
  await b.ask('sync', 'now')
  expect(linesOf(b.database)).toEqual([
    'memories first delete',
    'messages new insert',
    'projects first delete',
    'projects moved insert',
    'sessions first update',
  ])
  await a.ask('sync', 'now')
  for (const table of AGENT_TABLES) {
    const all = `SELECT * FROM ${table} ORDER BY id`
    expect([table, rowsOf(b.database, all)]).toEqual([table, rowsOf(a.database, all)])
  }
  for (const { database } of [a, b]) {
    expect(rowsOf(database, PARTS)).toEqual(schema)
    expect(database.pragma('integrity_check', { simple: true })).toBe('ok')
  }
  // What was applied is no change to send: nothing goes round in circles.
  for (const device of [a, b]) {
    const { files } = (await device.ask('sync', 'pending')) as {
      readonly files: readonly { readonly pending: object }[]
    }
    expect(files.map(({ pending }) => pending)).toEqual([{}])
  }
})

test('a trigger that was dropped and made again, younger than those of sync, keeps no change from being sent', async () => {
  await using server = await openMachine()
  const { url } = await server.serve()
  const data = join(server.folder, 'cloud')
  const token = (await server.tidemark('cloud', 'token', 'create', '--data', data)).out.trim()
  const [a, b] = [await openDevice(url, token), await openDevice(url, token)]
  for (const device of [a, b]) await device.ask('sync', 'now')
  a.database.exec('DROP TRIGGER messages_inserted; DROP TRIGGER messages_updated')
  openFile(a.database.name).exec("INSERT INTO messages (id, text) VALUES ('m', 'one')")
  await a.ask('sync', 'now')
  a.database.exec("UPDATE messages SET text = 'two'")
  for (const device of [a, b]) await device.ask('sync', 'now')
  expect(rowsOf(b.database, 'SELECT id, text FROM messages')).toEqual([['m', 'two']])
  expect(linesOf(a.database)).toEqual(['messages m insert', 'messages m update'])
})

const HOSTILE = [
  'local_changes',
  'sqlite_sequence',
  'sqlite_schema',
  'sqlite_stat1',
  '_tidemark_meta',
  'evil',
] as const

/** A cloud that tells of rows and tables that nobody asked for, beside each row that it really has. */
function hostileProvider(inner: Provider): Provider {
  const forge = (record: WireRecord): readonly WireRecord[] => [
    record,
    ...HOSTILE.map((table) => ({
      ...record,
      table,
      fields: {
        ...record.fields,
        seq: 9,
        table_name: 'approvals',
        row_id: 'x',
        verb: 'insert',
        name: 'x',
        sql: 'x',
      },
    })),
  ]
  const forgeTables = (tables: readonly SchemaTable[]): SchemaTable[] => [
    ...tables,
    ...tables
      .filter(({ name }) => name === 'sessions')
      .flatMap((table) => HOSTILE.map((name) => ({ ...table, name, indexes: [] }))),
  ]
  return {
    ...inner,
    async pull(request, signal) {
      const answer = await inner.pull(request, signal)
      return { ...answer, records: answer.records.flatMap(forge) }
    },
    async *hydrate(request, signal): AsyncIterable<HydrateChunk> {
      for await (const chunk of inner.hydrate(request, signal)) {
        yield chunk.kind === 'records' ? { ...chunk, records: chunk.records.flatMap(forge) } : chunk
      }
    },
    async readSchema(space, signal) {
      const answer = await inner.readSchema(space, signal)
      return { ...answer, tables: forgeTables(answer.tables) }
    },
    async putSchema(request, signal) {
      const answer = await inner.putSchema(request, signal)
      return { ...answer, tables: forgeTables(answer.tables) }
    },
  }
}

test('no row of a hostile cloud reaches local_changes, or any table but the nine', async () => {
  const machine = await openMachine()
  onTestFinished(() => machine[Symbol.asyncDispose]())
  const random = seededRandom(3)
  const log = new MemoryLog({ clock: systemClock, random })
  const handler = createHandler({ log, directory: createDirectory(), clock: systemClock, random })
  const device = async (name: string, wrap: (provider: Provider) => Provider) => {
    const database = openFile(join(machine.folder, `${name}.db`))
    const file = database.name
    await attachFile({ file, driver: betterSqlite3, space: SPACE, replica: name, tables: AGENT_TABLES })
    const store = openSqliteStore({ file, driver: betterSqlite3 })
    const guard = {
      verdict: async () => 'same' as const,
      record: async () => {},
      takeBack: async () => {},
      forget: async () => {},
    }
    const provider = wrap(handlerProvider(handler, tokenOf(name), () => false))
    const engine = new SyncEngine({ store, provider, guard, clock: systemClock, random, listen: false })
    onTestFinished(async () => {
      await engine.stop()
      await store[Symbol.asyncDispose]()
    })
    return { database, engine }
  }
  const honest = await device('honest', (provider) => provider)
  const victim = await device('victim', hostileProvider)
  const schema = rowsOf(victim.database, PARTS)
  addOfEach(honest.database, 'first')
  await honest.engine.start()
  await honest.engine.syncNow()
  await victim.engine.start().catch(() => {})
  await victim.engine.syncNow().catch(() => {})
  honest.database.exec("INSERT INTO messages (id) VALUES ('second')")
  await honest.engine.syncNow()
  await victim.engine.syncNow().catch(() => {})

  expect(rowsOf(victim.database, PARTS)).toEqual(schema)
  // Every line is of the triggers: one for each row that is really there.
  const real = AGENT_TABLES.map((table) => `${table} first insert`)
  const lines = linesOf(victim.database)
  expect([...real, 'messages second insert'].sort()).toEqual(lines)
  expect(rowsOf(victim.database, 'SELECT seq FROM sqlite_sequence')).toEqual([
    [BigInt(lines.length)].map(Number),
  ])
  handler.stop()
  await log[Symbol.asyncDispose]()
})
