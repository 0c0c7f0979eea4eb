import { join } from 'node:path'

import Database from 'better-sqlite3'
import knexOf from 'knex'

import { createSyncManager } from '../src/library/create.ts'
import { quantile } from './rig.ts'

export type Handle = 'better-sqlite3' | 'knex'

export interface LibraryInput {
  readonly url: string
  readonly token: string
  readonly folder: string
  readonly file: string
  readonly space: string
  readonly handle: Handle
}

export interface LibraryTimes {
  readonly rows: number
  readonly seedMs: number
  readonly hydrateMs: number
  /** Of 100 changed rows, written through the handle and synced. */
  readonly p50: number
}

const CHANGES = 100
const ROUNDS = 30

/** A database as an application has it: by better-sqlite3 itself, or through Knex on it. */
function openHandle(handle: Handle, file: string) {
  if (handle === 'better-sqlite3') {
    const database = new Database(file)
    return {
      database,
      exec: async (sql: string) => void database.exec(sql),
      close: async () => void database.close(),
    }
  }
  const knex = knexOf({ client: 'better-sqlite3', connection: { filename: file }, useNullAsDefault: true })
  return {
    database: knex,
    exec: async (sql: string) => {
      for (const one of sql.split(';').filter((text) => text.trim() !== '')) await knex.raw(one)
    },
    close: () => knex.destroy(),
  }
}

/** The operations of the library on one file and a second, empty one. */
export async function measureLibrary(input: LibraryInput): Promise<LibraryTimes> {
  const { url, token, folder, file, space, handle } = input
  const config = (name: string) => ({
    endpoint: url,
    token,
    space,
    home: join(folder, `home-${space}-${name}`),
    environment: {},
  })
  const first = openHandle(handle, file)
  const second = openHandle(handle, `${file}-2`)
  const source = new Database(file, { readonly: true })
  const sql = source.prepare<[], string>(`SELECT sql FROM sqlite_schema WHERE name = 'cities'`).pluck().get()
  source.close()
  await second.exec(sql ?? '')
  const here = await createSyncManager(first.database, config('a'))
  const there = await createSyncManager(second.database, config('b'))
  const { pushed, duration: seedMs } = await here.seed()
  const { received, duration: hydrateMs } = await there.hydrate()
  if (received !== pushed) throw new Error(`${pushed} rows were sent and ${received} came`)
  const times: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    await first.exec(
      `UPDATE cities SET population = population + 1 WHERE id IN (SELECT id FROM cities LIMIT ${CHANGES} OFFSET ${round * CHANGES})`,
    )
    const begun = performance.now()
    const sent = await here.sync()
    times.push(performance.now() - begun)
    if (sent.pushed !== CHANGES) throw new Error(`${sent.pushed} changes were sent`)
  }
  await here.close()
  await there.close()
  await first.close()
  await second.close()
  return { rows: pushed, seedMs, hydrateMs, p50: quantile(times, 0.5) }
}
