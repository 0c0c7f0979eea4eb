import type { Handler } from '../../../src/cloud/handler/handler.ts'
import { SyncEngine } from '../../../src/engine/engine.ts'
import type { Provider } from '../../../src/engine/provider.ts'
import { systemClock, type Clock } from '../../../src/kernel/clock.ts'
import { TidemarkError } from '../../../src/kernel/errors.ts'
import { seededRandom } from '../../../src/kernel/random.ts'
import type { Fields } from '../../../src/kernel/values.ts'
import type { Connection, Driver } from '../../../src/stores/sqlite/driver/driver.ts'
import { readRows, temporaryFile } from '../../../src/stores/sqlite/store/harness.ts'
import { attachFile, openSqliteStore } from '../../../src/stores/sqlite/store/open.ts'
import type { SqliteStore } from '../../../src/stores/sqlite/store/store.ts'
import { SPACE, tokenOf } from '../../../sim/directory.ts'
import { handlerProvider } from '../../devices/handler-provider.ts'

/** Time stands still, so that a seed is the same life each time; what comes later is told by the hybrid clocks. */
export const STILL: Clock = { now: () => 1_000_000, after: systemClock.after }

/** A file under sync, the application's connection to it, and a real engine. */
export interface Device extends AsyncDisposable {
  readonly name: string
  readonly app: Connection
  readonly store: SqliteStore
  readonly provider: Provider
  /** One cycle; a cloud out of reach is no error. */
  sync(): Promise<void>
  /** Runs one transaction of the application; statements that SQLite refuses are left out. */
  edit(statements: readonly string[]): void
  rows(table: string): readonly Fields[]
}

const quick = (native: unknown): void => {
  if (typeof native === 'object' && native !== null && 'exec' in native && typeof native.exec === 'function')
    native.exec('PRAGMA synchronous = OFF')
}

export async function openDevice(options: {
  readonly name: string
  readonly handler: Handler
  readonly driver: Driver
  readonly statements: readonly string[]
  /** True: this request or answer is lost. */
  readonly fails: () => boolean
}): Promise<Device> {
  const { name, handler, driver, statements, fails } = options
  const { file, remove } = temporaryFile()
  const app = driver.open(file, { create: true, setup: quick })
  app.exec('PRAGMA foreign_keys = 1')
  // Displaced rows fire delete triggers then, without which the application itself breaks its full-text index.
  if (statements.some((sql) => sql.includes('fts5'))) app.exec('PRAGMA recursive_triggers = 1')
  for (const sql of statements) app.exec(sql)
  const random = seededRandom(name.charCodeAt(0))
  const settings = { file, driver, clock: STILL, random, clockExpression: '1000000', setup: quick }
  await attachFile({ ...settings, space: SPACE, replica: name })
  const store = openSqliteStore(settings)
  const provider = handlerProvider(handler, tokenOf(name), fails)
  const guard = {
    verdict: async () => 'same' as const,
    record: async () => {},
    takeBack: async () => {},
    forget: async () => {},
  }
  const engine = new SyncEngine({ store, provider, guard, clock: STILL, random, listen: false })
  await engine.start()
  return {
    name,
    app,
    store,
    provider,
    sync: () =>
      engine.syncNow().then(
        () => {},
        (error: unknown) => {
          if (!(error instanceof TidemarkError) || error.code !== 'network') throw error
        },
      ),
    edit(edits) {
      app.exec('BEGIN IMMEDIATE')
      for (const sql of edits) {
        try {
          app.exec(sql)
        } catch {
          // The application's own rules: a statement of the random kind may break them.
        }
      }
      try {
        if (app.inTransaction) app.exec('COMMIT')
      } catch {
        app.exec('ROLLBACK')
      }
    },
    rows: (table) => readRows(app, table),
    async [Symbol.asyncDispose]() {
      await engine.stop()
      await store[Symbol.asyncDispose]()
      app.close()
      remove()
    },
  }
}
