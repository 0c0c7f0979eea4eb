import type { Store } from '../../../engine/store.ts'
import type { WireRecord } from '../../../protocol/records.ts'
import { readCounts, listParked } from './counts.ts'
import { compareTable } from './compare.ts'
import { readDirty, readTouched } from './dirty.ts'
import { finishHydrate, startHydrate } from './hydrate.ts'
import { dropQuarantined, retryQuarantined, settleEntry } from './inbox.ts'
import { publish } from './publish/publish.ts'
import { repairSchema } from './repair.ts'
import { adopt, rebase } from './resets.ts'
import { Session, type SessionOptions } from './session.ts'
import { Watch } from './watch.ts'

/** A store on an SQLite file, and what only this one can do. */
export interface SqliteStore extends Store {
  /** The application has committed a write in this process: watchers are told at once. */
  notify(): void
}

export interface StoreOptions extends SessionOptions {
  /** Called when the store is disposed: closes the connection, unless it is the application's. */
  readonly close: () => void
}

/** A store on a connection to an attached file. */
export function createStore(options: StoreOptions): SqliteStore {
  const session = new Session(options, { repair: repairSchema, compare: compareTable })
  const watch = new Watch(options.connection, options.clock)

  /** One method: atomic, because it is synchronous and its writes are one transaction. */
  async function perform<T>(work: () => T): Promise<T> {
    await Promise.resolve()
    session.assertOpen()
    return watch.own(work)
  }
  const { meta, mutations } = session

  return {
    state: () =>
      perform(() =>
        session.read(() => ({
          ...meta.get('identity'),
          mutation: mutations.number,
          inFlight: mutations.read(),
          cursor: meta.get('cursor'),
          generations: meta.get('generations'),
          hydrating: meta.get('hydrating'),
          covered: meta.get('covered'),
          publishedSchema: meta.get('publishedSchema'),
          overwriting: meta.get('overwriting'),
        })),
      ),
    schema: () => perform(() => session.read(() => session.catalogue.schema)),
    readDirty: (limit) => perform(() => readDirty(session, limit)),
    readTouched: (rows) => perform(() => readTouched(session, rows)),

    saveMutation: (mutation) => perform(() => session.write(() => mutations.save(mutation))),
    freeMutation: (number) => perform(() => session.write(() => mutations.settle(number, true))),
    publish: (publication) => perform(() => publish(session, publication)),

    startHydrate: (hydrate) => perform(() => startHydrate(session, hydrate)),
    finishHydrate: (cursor) => perform(() => finishHydrate(session, cursor)),
    saveCursor: (cursor, generations) =>
      perform(() =>
        session.write(() => {
          meta.set('cursor', cursor)
          meta.set('generations', generations)
        }),
      ),
    adopt: (replica) => perform(() => session.write(() => adopt(session, replica))),
    rebase: (cursor, common, generations) =>
      perform(() => ({ offered: session.write(() => rebase(session, cursor, common, generations)) })),
    startOverwrite: () => perform(() => session.write(() => meta.set('overwriting', meta.get('covered')))),
    savePublishedSchema: (fingerprint) =>
      perform(() => session.write(() => meta.set('publishedSchema', fingerprint))),

    counts: () => perform(() => session.read(() => readCounts(session))),
    listParked: (limit) => perform(() => session.read(() => listParked(session, limit))),
    listInbox: (filter) => perform(() => session.read(() => session.notebook.list(filter))),
    readInbox: (id) => perform(() => session.read(() => session.notebook.find(id)?.entry ?? null)),
    async settleInbox(id, settlement) {
      await perform(() => session.edit(() => settleEntry(session, id, settlement)))
      watch.notify()
    },
    listQuarantine: (limit) =>
      perform(() =>
        session.read(() => session.quarantine.list(limit, (number) => session.tableName(number))),
      ),
    async retryQuarantine(id) {
      const done = await perform(() => retryQuarantined(session, id))
      watch.notify()
      return done
    },
    dropQuarantine: (id: string, record: WireRecord | null) =>
      perform(() => dropQuarantined(session, id, record)),

    watch: (changed) => watch.add(changed),
    notify: () => watch.notify(),

    async [Symbol.asyncDispose]() {
      await Promise.resolve()
      watch.stop()
      if (session.isClosed) return
      session.close()
      options.close()
    },
  }
}
