import type { Knex } from 'knex'
import { vi } from 'vitest'

import { AsyncDisposableStack } from '../../src/kernel/disposable-stack.ts'
import type { SyncManager } from '../../src/library/manager.ts'
import { createLibraryWorld, type LibraryWorld } from './world.ts'

/** What the origin's blocks find around them: an application with rows, a cloud in the environment, a second device. */
export interface OriginWorld extends AsyncDisposable {
  readonly world: LibraryWorld
  readonly knex: Knex
  readonly syncManager: SyncManager
  /** Another device of the same person. */
  readonly other: { readonly knex: Knex; readonly syncManager: SyncManager }
  /** Stands for the global one, so that a test reads what a block prints. */
  readonly console: RecordedConsole
  /** Closed with the world. */
  own<T extends AsyncDisposable>(made: T): T
}

export interface RecordedConsole {
  readonly log: (...said: readonly unknown[]) => void
  readonly error: (...said: readonly unknown[]) => void
  readonly lines: string[]
  /** What was given beside a text. */
  readonly values: unknown[]
}

const TABLES = ['notifications', 'projects'] as const

export async function openOriginWorld(): Promise<OriginWorld> {
  await using stack = new AsyncDisposableStack()
  const world = stack.use(await createLibraryWorld())
  stack.defer(() => void vi.unstubAllEnvs())
  vi.stubEnv('TIDEMARK_ENDPOINT', world.cloud.url)
  vi.stubEnv('TIDEMARK_TOKEN', world.cloud.token)
  vi.stubEnv('TIDEMARK_DATA_DIR', world.path('laptop', 'tidemark'))
  vi.stubEnv('TIDEMARK_CONFIG', world.path('laptop', 'config.json'))
  const knex = world.knex('laptop')
  await makeTables(knex)
  await knex('notifications').insert([
    { id: 'n1', title: 'Build passed', status: 'unread' },
    { id: 'n2', title: 'Review asked', status: 'unread' },
  ])
  await knex('projects').insert({ id: 'p1', name: 'Voice terminal' })
  const syncManager = await world.manager('laptop', knex)
  const there = world.knex('desktop')
  await makeTables(there)
  const other = { knex: there, syncManager: await world.manager('desktop', there) }
  const owned = stack.move()
  return {
    world,
    knex,
    syncManager,
    other,
    console: recordConsole(),
    own: (made) => owned.use(made),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function makeTables(knex: Knex): Promise<void> {
  await knex.raw('PRAGMA synchronous = OFF')
  await knex.schema.createTable(TABLES[0], (table) => {
    table.string('id').primary()
    table.string('title')
    table.string('status')
  })
  await knex.schema.createTable(TABLES[1], (table) => {
    table.string('id').primary()
    table.string('name')
  })
}

export function recordConsole(): RecordedConsole {
  const lines: string[] = []
  const values: unknown[] = []
  const record = (...said: readonly unknown[]): void => {
    lines.push(said.filter((one) => typeof one === 'string').join(' '))
    values.push(...said.filter((one) => typeof one !== 'string'))
  }
  return { log: record, error: record, lines, values }
}
