import type { IdentityGuard } from '../../src/engine/identity.ts'
import { SyncEngine } from '../../src/engine/engine.ts'
import type { EngineOptions } from '../../src/engine/options.ts'
import type { Store } from '../../src/engine/store.ts'
import { createHandler, type Handler } from '../../src/cloud/handler/handler.ts'
import type { Log } from '../../src/cloud/log/log.ts'
import { MemoryLog } from '../../src/cloud/log/memory.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { seededRandom, uuidV7 } from '../../src/kernel/random.ts'
import type { SchemaTable } from '../../src/protocol/schema.ts'
import { MemoryDatabase } from '../../src/stores/memory/database.ts'
import { openMemoryStore } from '../../src/stores/memory/store.ts'
import { createDirectory, SPACE, tokenOf } from '../../sim/directory.ts'
import { handlerProvider } from './handler-provider.ts'

export const NOTES: SchemaTable = {
  name: 'notes',
  columns: [
    { name: 'id', type: 'TEXT' },
    { name: 'title', type: 'TEXT' },
    { name: 'body', type: 'TEXT' },
  ],
  key: ['id'],
  unique: [{ claim: 'u(title)', terms: [{ column: 'title' }] }],
  foreignKeys: [],
}

export const TASKS: SchemaTable = {
  name: 'tasks',
  columns: [
    { name: 'id', type: 'INTEGER' },
    { name: 'text', type: 'TEXT' },
    { name: 'note', type: 'TEXT' },
  ],
  key: ['id'],
  rowidAlias: true,
  unique: [],
  foreignKeys: [],
}

export interface Device {
  readonly database: MemoryDatabase
  readonly store: Store
  readonly engine: SyncEngine
  sync(): Promise<void>
}

export interface World extends AsyncDisposable {
  readonly handler: Handler
  device(name: string, options?: Partial<EngineOptions>): Promise<Device>
  /** Another engine on the same device, whose engine was stopped; `started` false: it is not started either. */
  again(name: string, options?: Partial<EngineOptions>, started?: boolean): Promise<Device>
  cut(name: string): void
  mend(name: string): void
  /** Routes that were asked for so far, in order. */
  requests(name: string): readonly string[]
  /** The next answer to a push reaches nobody. */
  loseNextPushAnswer(name: string): void
}

/** Devices with real engines on memory stores, and the real cloud handler; on the memory log unless told which. */
export function createWorld(tables: readonly SchemaTable[] = [NOTES, TASKS], given?: Log): World {
  const random = seededRandom(7)
  const clock = systemClock
  const log = given ?? new MemoryLog({ clock, random })
  const handler = createHandler({ log, directory: createDirectory(), clock, random })
  const cuts = new Set<string>()
  const losing = new Set<string>()
  const asked = new Map<string, string[]>()
  const engines: SyncEngine[] = []
  const parts = new Map<string, Pick<EngineOptions, 'store' | 'provider' | 'guard'>>()
  const databases = new Map<string, MemoryDatabase>()

  async function run(name: string, options: Partial<EngineOptions>, started = true): Promise<Device> {
    const [given, database] = [parts.get(name), databases.get(name)]
    if (given === undefined || database === undefined) throw new Error(`there is no device ${name}`)
    const engine = new SyncEngine({ ...given, clock, random, listen: false, ...options })
    engines.push(engine)
    if (started) await engine.start()
    return { database, store: given.store, engine, sync: async () => void (await engine.syncNow()) }
  }

  return {
    handler,
    async device(name, options = {}) {
      const database = new MemoryDatabase({ clock, tables })
      const replica = uuidV7(clock.now(), random)
      const store = openMemoryStore(database, { clock, random, space: SPACE, replica })
      const guard: IdentityGuard = {
        verdict: async () => 'same',
        record: async () => {},
        takeBack: async () => {},
        forget: async () => {},
      }
      const requests: string[] = []
      asked.set(name, requests)
      const provider = handlerProvider(handler, tokenOf(name), (way, route) => {
        if (way !== 'answer') requests.push(route)
        return way === 'answer' && route === 'push' ? losing.delete(name) || cuts.has(name) : cuts.has(name)
      })
      parts.set(name, { store, provider, guard })
      databases.set(name, database)
      return run(name, options)
    },
    again: (name, options = {}, started = true) => run(name, options, started),
    cut: (name) => void cuts.add(name),
    mend: (name) => void cuts.delete(name),
    requests: (name) => asked.get(name) ?? [],
    loseNextPushAnswer: (name) => void losing.add(name),
    async [Symbol.asyncDispose]() {
      for (const engine of engines) await engine.stop()
      handler.stop()
      if (given === undefined) await log[Symbol.asyncDispose]()
    },
  }
}
