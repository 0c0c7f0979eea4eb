import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { MemoryBus } from '../../src/cloud/bus/memory.ts'
import { MemoryDirectory } from '../../src/cloud/directory/memory.ts'
import { alone } from '../../src/cloud/exclusive.ts'
import { MemoryLog } from '../../src/cloud/log/memory.ts'
import { openStorage, type Storage } from '../../src/cloud/server/storage.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { seededRandom } from '../../src/kernel/random.ts'

/** Opens a storage of its own, empty; disposing of it takes away what it lay on. */
export type OpenStorage = () => Promise<Storage>

/** The storages that need nothing but this process, by name: suites over a storage run on each, and on PostgreSQL. */
export const STORAGES = { memory: openMemory, sqlite: openSqlite } satisfies {
  readonly [name: string]: OpenStorage
}

export type StorageName = keyof typeof STORAGES

/** On an empty database of PostgreSQL. */
export async function openPostgres(database: { readonly url: string } & AsyncDisposable): Promise<Storage> {
  const storage = await openStorage({ database: { url: database.url } }, { clock: systemClock })
  return {
    ...storage,
    async [Symbol.asyncDispose]() {
      await storage[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

async function openMemory(): Promise<Storage> {
  const random = seededRandom(1)
  const log = new MemoryLog({ clock: systemClock, random })
  const directory = new MemoryDirectory({ clock: systemClock, random })
  return {
    log,
    directory,
    bus: new MemoryBus().join(),
    exclusive: alone,
    check: async () => {},
    async [Symbol.asyncDispose]() {
      await directory[Symbol.asyncDispose]()
      await log[Symbol.asyncDispose]()
    },
  }
}

async function openSqlite(): Promise<Storage> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-storage-'))
  const storage = await openStorage({ data: folder }, { clock: systemClock })
  return {
    ...storage,
    async [Symbol.asyncDispose]() {
      await storage[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
