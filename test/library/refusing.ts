import { SyncEngine } from '../../src/engine/engine.ts'
import type { Provider } from '../../src/engine/provider.ts'
import type { NamedResolver } from '../../src/engine/resolvers.ts'
import type { SyncResult } from '../../src/engine/waiters.ts'
import { createHandler } from '../../src/cloud/handler/handler.ts'
import { MemoryLog } from '../../src/cloud/log/memory.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { TidemarkError } from '../../src/kernel/errors.ts'
import { seededRandom } from '../../src/kernel/random.ts'
import type { Book } from '../../src/library/book.ts'
import type { Retries } from '../../src/library/retries.ts'
import { transact, type Connection, type Driver } from '../../src/stores/sqlite/driver/driver.ts'
import { temporaryFile } from '../../src/stores/sqlite/store/harness.ts'
import { attachFile, openSqliteStore } from '../../src/stores/sqlite/store/open.ts'
import type { SqliteStore } from '../../src/stores/sqlite/store/store.ts'
import { createDirectory, SPACE, tokenOf } from '../../sim/directory.ts'
import { handlerProvider } from '../devices/handler-provider.ts'

/** A key that the cloud takes from nobody, and nobody sends. */
export const LONG_KEY = 'k'.repeat(2_000)

export interface RefusingWorld extends AsyncDisposable {
  readonly app: Connection
  readonly store: SqliteStore
  readonly provider: Provider
  readonly retries: Retries
  /** How often the book was written. */
  readonly writes: number
  elapse(ms: number): void
  /** One whole cycle with the cloud. */
  sync(): Promise<SyncResult>
  cut(): void
  mend(): void
  /** The cloud refuses this row by name, whatever it holds; null: none any more. */
  refuse(key: string | null): void
  /** Another device's row. */
  another(): Promise<RefusingWorld>
}

/** An application's file, a real engine and store on it, and the real cloud's handler. */
export async function openRefusing(
  driver: Driver,
  { shared, resolver }: { readonly shared?: MemoryCloud; readonly resolver?: NamedResolver } = {},
): Promise<RefusingWorld> {
  const cloud = shared ?? createCloud()
  const name = `d${++cloud.devices}`
  const { file, remove } = temporaryFile()
  const app = driver.open(file, { create: true })
  app.exec('PRAGMA synchronous = OFF; CREATE TABLE notes (id TEXT PRIMARY KEY, a TEXT, b TEXT)')
  const random = seededRandom(11)
  await attachFile({ file, driver, space: SPACE, replica: `replica-${name}` })
  const store = openSqliteStore({ file, driver, clock: systemClock, random })
  const own = driver.open(file)
  let now = 1_700_000_000_000
  let writes = 0
  let isCut = false
  let refused: string | null = null
  const book: Book = {
    read: async (work) => work(own),
    async write(work) {
      writes++
      return transact(own, 'immediate', () => work(own))
    },
  }
  const direct = handlerProvider(cloud.handler, tokenOf(name), () => isCut)
  const provider: Provider = {
    ...direct,
    hydrate: (request, signal) => direct.hydrate(request, signal),
    // A request that is refused as a whole: the engine halves it until the row is found.
    async push(body, signal) {
      if (refused !== null && !isCut && body.includes(JSON.stringify(refused).slice(1, -1)))
        throw new TidemarkError('unprocessable', 'refused by rule')
      return await direct.push(body, signal)
    },
  }
  const engine = new SyncEngine({
    store,
    provider,
    guard: {
      verdict: async () => 'same',
      record: async () => {},
      takeBack: async () => {},
      forget: async () => {},
    },
    clock: systemClock,
    random,
    listen: false,
    ...(resolver === undefined ? {} : { resolver }),
  })
  const others: RefusingWorld[] = []
  return {
    app,
    store,
    provider,
    retries: { store, book, clock: { ...systemClock, now: () => now }, random, maxRetries: 3 },
    get writes() {
      return writes
    },
    elapse: (ms) => void (now += ms),
    async sync() {
      if (engine.phase === 'stopped') await engine.start()
      return await engine.syncNow()
    },
    cut: () => void (isCut = true),
    mend: () => void (isCut = false),
    refuse: (key) => void (refused = key),
    async another() {
      const other = await openRefusing(driver, { shared: cloud })
      others.push(other)
      return other
    },
    async [Symbol.asyncDispose]() {
      for (const other of others) await other[Symbol.asyncDispose]()
      await engine[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
      own.close()
      app.close()
      remove()
      if (shared === undefined) await cloud.close()
    },
  }
}

type MemoryCloud = ReturnType<typeof createCloud>

function createCloud() {
  const random = seededRandom(5)
  const log = new MemoryLog({ clock: systemClock, random })
  const handler = createHandler({ log, directory: createDirectory(), clock: systemClock, random })
  return {
    handler,
    devices: 0,
    async close() {
      handler.stop()
      await log[Symbol.asyncDispose]()
    },
  }
}
