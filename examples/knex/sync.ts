import type { Knex } from 'knex'
import { ConflictResolverFactory, createSyncManager, type SyncManager } from 'tidemark'

import type { List, Todo } from './database.ts'

export interface Synced {
  lists: List
  todos: Todo
}

export const openSync = (knex: Knex, home: string): Promise<SyncManager<Synced>> =>
  createSyncManager<Synced>(knex, {
    exclude: ['list_counts'],
    // The title that was written last; of updated_at the later one.
    resolvers: { todos: ConflictResolverFactory.createProjectResolver() },
    // Two devices on one machine, in this example. Leave it out.
    home,
  })
