import { existsSync } from 'node:fs'
import { join } from 'node:path'

import Database from 'better-sqlite3'

import type { Folders } from '../../machine/folders.ts'
import { parseEndpoint } from '../../providers/cloud/endpoint.ts'
import { openPrivateDatabase } from '../private-database.ts'
import { countPending } from './batch-sync.ts'
import { openKnownProtocols, type Protocol } from './probe.ts'
import { openProgress, type Progress } from './progress.ts'
import { countRowsAfter } from './rows.ts'

/** What the files of a data folder say of the upload, whether or not a daemon runs. */
export interface StoredUpload {
  /** Milliseconds; null: never. */
  readonly lastSyncAt: number | null
  readonly pending: { readonly [table: string]: number }
  readonly refused: number
}

/** Null where the endpoint is not one that is uploaded to, as far as is known. Writes nothing, and makes no file. */
export function readUpload(
  folders: Folders,
  endpoint: string,
  setting: Protocol | 'auto',
): StoredUpload | null {
  const { base } = parseEndpoint(endpoint)
  if (setting === 'tidemark') return null
  const file = join(folders.data, 'daemon.db')
  if (!existsSync(file)) return setting === 'batch' ? { lastSyncAt: null, pending: {}, refused: 0 } : null
  const database = new Database(file, { readonly: true, timeout: 5_000 })
  try {
    if (setting === 'auto' && openKnownProtocols(database).get(base) !== 'batch') return null
    const progress = openProgress(database, base)
    return {
      lastSyncAt: progress.lastSyncAt(),
      pending: readPending(folders, progress),
      refused: progress.countRefused(),
    }
  } finally {
    database.close()
  }
}

function readPending(folders: Folders, progress: Progress): { readonly [table: string]: number } {
  if (!existsSync(folders.agents)) return {}
  const agents = new Database(folders.agents, { readonly: true, timeout: 5_000 })
  try {
    const changed = agents
      .prepare<[number], [string, number]>(
        'SELECT table_name, count(DISTINCT row_id) FROM local_changes WHERE seq > ? GROUP BY table_name',
      )
      .raw()
    return countPending(
      {
        feed: { waiting: ({ seq }) => Object.fromEntries(changed.all(seq)) },
        rows: { countAfter: (table, id) => countRowsAfter(agents, table, id) },
      },
      progress.place(),
    )
  } finally {
    agents.close()
  }
}

/** All rows are sent again with the next upload, and the endpoint is asked anew what it speaks. */
export function resetUpload(folders: Folders, endpoint: string): void {
  const { base } = parseEndpoint(endpoint)
  const database = openPrivateDatabase(folders)
  try {
    openProgress(database, base).reset()
    openKnownProtocols(database).forget(base)
  } finally {
    database.close()
  }
}
