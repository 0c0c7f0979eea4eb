import { DatabaseSync } from 'node:sqlite'

import Database from 'better-sqlite3'
import knexOf, { type Knex } from 'knex'
import { describe, expectTypeOf, it } from 'vitest'

import {
  ConflictResolverFactory,
  ConflictResolvers,
  createSyncManager,
  migrate,
  RetryQueue,
  type ConflictResolver,
  type DetectedConflict,
  type Row,
  type SyncConflict,
  type SyncDatabase,
  type SyncEvent,
  type SyncManager,
  type SyncResult,
  type TableCounts,
  type TidemarkError,
} from '../../src/library/index.ts'

/** Held by tsc; nothing of this runs but the functions around it. */

interface Note {
  readonly id: string
  readonly title: string
  readonly pinned: 0 | 1
}

interface Project {
  readonly id: number
  readonly name: string
  readonly status: 'open' | 'closed'
}

interface AppTables {
  readonly notes: Note
  readonly projects: Project
}

type AppTablesAsType = { notes: Note; projects: Project }

declare const database: SyncDatabase
declare const manager: SyncManager<AppTables>
declare const untyped: SyncManager

/** Looked at by the compiler alone. */
const compiled = (_code: () => unknown): void => {}

describe('types of an application’s tables', () => {
  it('flow from an interface and from a type', () => {
    compiled(async () => {
      expectTypeOf(await createSyncManager<AppTables>(database)).toEqualTypeOf<SyncManager<AppTables>>()
      expectTypeOf(await createSyncManager<AppTablesAsType>(database)).toEqualTypeOf<
        SyncManager<AppTablesAsType>
      >()
      expectTypeOf(await createSyncManager(database)).toEqualTypeOf<SyncManager>()
      // @ts-expect-error tables are an object type
      await createSyncManager<string>(database)
    })
  })

  it('narrow a conflict by its table', () => {
    const resolver: ConflictResolver<AppTables> = (conflict) => {
      expectTypeOf(conflict.entityType).toEqualTypeOf<'notes' | 'projects'>()
      expectTypeOf(conflict.localTimestamp).toBeNumber()
      expectTypeOf(conflict.remoteTimestamp).toBeNumber()
      if (conflict.entityType === 'projects') {
        expectTypeOf(conflict.localData).toEqualTypeOf<Project>()
        expectTypeOf(conflict.remoteData.status).toEqualTypeOf<'open' | 'closed'>()
        expectTypeOf(conflict.fields).toEqualTypeOf<readonly (keyof Project)[]>()
        // @ts-expect-error of the other table
        void conflict.localData.title
        return { status: 'closed' }
      }
      expectTypeOf(conflict.localData).toEqualTypeOf<Note>()
      return conflict.localData.pinned === 1 ? 'local' : 'remote'
    }
    compiled(() => manager.sync(undefined, resolver))
    compiled(() =>
      manager.sync(undefined, async (conflict) => {
        expectTypeOf(conflict).toEqualTypeOf<SyncConflict<AppTables>>()
        return conflict.fields.length > 1 ? 'wait' : 'remote'
      }),
    )
    compiled(() => {
      // @ts-expect-error no answer of that name
      void manager.sync(undefined, () => 'newest')
      // @ts-expect-error no column of that name in any table
      void manager.sync(undefined, () => ({ colour: 'red' }))
    })
  })

  it('are those of resolvers of single tables', () => {
    compiled(() =>
      createSyncManager<AppTables>(database, {
        resolver: ConflictResolvers.newestWins,
        resolvers: {
          notes: (conflict) => {
            expectTypeOf(conflict.entityType).toEqualTypeOf<'notes'>()
            expectTypeOf(conflict.remoteData).toEqualTypeOf<Note>()
            return { title: `${conflict.localData.title} / ${conflict.remoteData.title}` }
          },
          projects: ConflictResolvers.remoteWins,
        },
      }),
    )
    compiled(() => {
      for (const resolver of Object.values(ConflictResolvers)) void manager.sync(undefined, resolver)
      manager.updateConfig({
        resolver: ConflictResolverFactory.createSettingsResolver({ keepLocal: ['pinned'] }),
        resolvers: {
          notes: ConflictResolverFactory.createNotificationResolver(),
          projects: ConflictResolverFactory.createProjectResolver(),
        },
      })
      void untyped.sync(undefined, ConflictResolvers.notificationResolver)
    })
    compiled(() => {
      // @ts-expect-error no table of that name
      manager.updateConfig({ resolvers: { labels: ConflictResolvers.localWins } })
      // @ts-expect-error the columns of another table
      manager.updateConfig({ resolvers: { notes: () => ({ status: 'closed' }) } })
    })
  })

  it('name the tables that an operation takes', () => {
    compiled(() => {
      void manager.seed(['notes', 'projects'])
      void manager.hydrate(['notes'])
      void manager.sync(['projects'])
      void untyped.sync(['anything'])
      // @ts-expect-error no table of that name
      void manager.seed(['labels'])
      // @ts-expect-error no table of that name
      void manager.hydrate(['labels'])
      // @ts-expect-error no table of that name
      void manager.sync(['labels'])
      // @ts-expect-error a list
      void manager.sync('notes')
    })
  })

  it('are carried by events', () => {
    compiled(() => {
      manager.addEventListener('sync_started', ({ type, timestamp, data }) => {
        expectTypeOf(type).toEqualTypeOf<'sync_started'>()
        expectTypeOf(timestamp).toEqualTypeOf<Date>()
        expectTypeOf(data.operation).toEqualTypeOf<'seed' | 'hydrate' | 'sync'>()
        expectTypeOf(data.tables).toEqualTypeOf<readonly ('notes' | 'projects')[] | null>()
      })
      manager.addEventListener('sync_progress', ({ data }) => {
        expectTypeOf(data.progress.percentage).toBeNumber()
        expectTypeOf(data.progress.message).toBeString()
      })
      manager.addEventListener('sync_completed', ({ data }) => {
        expectTypeOf(data.result).toEqualTypeOf<SyncResult<AppTables>>()
      })
      manager.addEventListener('sync_error', ({ data }) => {
        expectTypeOf(data.error).toEqualTypeOf<TidemarkError>()
      })
      manager.addEventListener('conflict_detected', ({ data }) => {
        expectTypeOf(data).toEqualTypeOf<DetectedConflict<AppTables>>()
        if (data.entityType === 'notes') expectTypeOf(data.localData).toEqualTypeOf<Note | null>()
      })
      const listener = (event: SyncEvent<'sync_started', AppTables>): void => void event
      manager.removeEventListener('sync_started', listener)
      // @ts-expect-error the listener of another event
      manager.addEventListener('sync_error', listener)
      // @ts-expect-error no event of that name
      manager.addEventListener('sync_stopped', () => {})
      // @ts-expect-error another event's data
      manager.addEventListener('sync_error', ({ data }) => data.result)
    })
  })

  it('are those of a result', () => {
    compiled(async () => {
      const result = await manager.sync()
      expectTypeOf(result.recordsProcessed).toBeNumber()
      expectTypeOf(result.tables.notes).toEqualTypeOf<TableCounts | undefined>()
      // @ts-expect-error no table of that name
      void result.tables.labels
      for (const conflict of result.conflicts) {
        if (conflict.entityType === 'projects')
          expectTypeOf(conflict.remoteData).toEqualTypeOf<Project | null>()
      }
      const [entry] = await manager.getConflicts({ open: true })
      expectTypeOf(entry).toEqualTypeOf<DetectedConflict<AppTables> | undefined>()
      const plain = await untyped.sync()
      expectTypeOf(plain.conflicts[0]!.localData).toEqualTypeOf<Row | null>()
      expectTypeOf(plain.tables.notes).toEqualTypeOf<TableCounts | undefined>()
    })
  })
})

describe('databases', () => {
  it('are taken as their libraries type them', () => {
    compiled(() => {
      const knex = knexOf({ client: 'better-sqlite3' })
      expectTypeOf(knex).toExtend<SyncDatabase>()
      expectTypeOf<Knex>().toExtend<SyncDatabase>()
      expectTypeOf<Knex<Note>>().toExtend<SyncDatabase>()
      expectTypeOf<Knex<Note, Note[]>>().toExtend<SyncDatabase>()
      expectTypeOf<Database.Database>().toExtend<SyncDatabase>()
      expectTypeOf<DatabaseSync>().toExtend<SyncDatabase>()
      expectTypeOf<string>().toExtend<SyncDatabase>()
      void createSyncManager(knex)
      void createSyncManager<AppTables>(new Database('notes.db'))
      void createSyncManager(new DatabaseSync('notes.db'))
      void migrate(knex)
      return new RetryQueue(knex)
    })
  })

  it('are nothing else', () => {
    compiled(() => {
      // @ts-expect-error no database
      void createSyncManager({})
      // @ts-expect-error no database
      void createSyncManager(null)
      // @ts-expect-error the library, not a database of it
      void createSyncManager(Database)
      // @ts-expect-error a number of a file
      void migrate(7)
    })
  })
})

describe('settings', () => {
  it('have their types', () => {
    compiled(() => {
      manager.updateConfig({ autoSyncEnabled: true, autoSyncInterval: 15, live: true })
      expectTypeOf(manager.getConfig().batchSize).toBeNumber()
      // @ts-expect-error minutes are a number
      manager.updateConfig({ autoSyncInterval: '15' })
      // @ts-expect-error yes or no
      manager.updateConfig({ live: 'always' })
      // @ts-expect-error no setting of that name
      manager.updateConfig({ autoSync: true })
      // @ts-expect-error not to be changed
      manager.getConfig().batchSize = 1
    })
  })
})
