import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import knexOf, { type Knex } from 'knex'

import { AsyncDisposableStack } from '../../src/kernel/disposable-stack.ts'
import { createSyncManager, type SyncConfig } from '../../src/library/create.ts'
import type { SyncDatabase } from '../../src/library/database/database.ts'
import type { SyncManager } from '../../src/library/manager.ts'
import { serveTestCloud, type ServedCloud } from '../cloud/test-cloud.ts'

/** A cloud behind a real port, and devices with folders of their own. */
export interface LibraryWorld extends AsyncDisposable {
  readonly cloud: ServedCloud
  /** A path in the folder of the device, which is made. */
  path(device: string, name?: string): string
  config(device: string, more?: Partial<SyncConfig>): SyncConfig
  better(device: string): Database.Database
  knex(device: string, pool?: Knex.PoolConfig): Knex
  manager(device: string, database: SyncDatabase, more?: Partial<SyncConfig>): Promise<SyncManager>
}

export async function createLibraryWorld(
  options: Parameters<typeof serveTestCloud>[0] = {},
): Promise<LibraryWorld> {
  const root = mkdtempSync(join(tmpdir(), 'tidemark-library-'))
  await using stack = new AsyncDisposableStack()
  stack.defer(() => rmSync(root, { recursive: true, force: true }))
  const cloud = stack.use(await serveTestCloud(options))
  const path = (device: string, name = 'app.db') => {
    mkdirSync(join(root, device), { recursive: true })
    return join(root, device, name)
  }
  const config = (device: string, more: Partial<SyncConfig> = {}): SyncConfig => ({
    endpoint: cloud.url,
    token: cloud.token,
    home: path(device, 'tidemark'),
    environment: {},
    ...more,
  })
  const owned = stack.move()
  return {
    cloud,
    path,
    config,
    better: (device) => owned.adopt(new Database(path(device)), (database) => void database.close()),
    knex: (device, pool) =>
      owned.adopt(
        knexOf({
          client: 'better-sqlite3',
          connection: { filename: path(device) },
          useNullAsDefault: true,
          ...(pool === undefined ? {} : { pool }),
        }),
        (knex) => knex.destroy(),
      ),
    manager: async (device, database, more) =>
      owned.use(await createSyncManager(database, config(device, more))),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
