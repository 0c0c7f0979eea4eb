import { TidemarkError } from '../../../kernel/errors.ts'
import type { Store } from '../../../engine/store.ts'
import type { WireRecord } from '../../../protocol/records.ts'
import { readCounts, listParked } from './counts.ts'
import { Comparison } from './compare.ts'
import { mayBeDisplaced, readDirty, readTouched, suspectDisplaced } from './dirty.ts'
import { finishHydrate, startHydrate } from './hydrate.ts'
import { dropQuarantined, retryQuarantined, settleEntry } from './inbox.ts'
import { publish } from './publish/publish.ts'
import { repairSchema } from './repair.ts'
import { adopt, rebase } from './resets.ts'
import { Session, Suspected, type SessionOptions } from './session.ts'
import { atOnce, type Turn } from './turn.ts'
import { Watch } from './watch.ts'

/** How often a table may turn suspect again while it is being compared. */
const MAX_COMPARISONS = 20

/** A store on an SQLite file, and what only this one can do. */
export interface SqliteStore extends Store {
  /** The application has committed a write in this process: watchers are told at once. */
  notify(): void
}

export interface StoreOptions extends SessionOptions {
  /** Called when the store is disposed: closes the connection, unless it is the application's. */
  readonly close: () => void
  /** When its work may begin. Default: at once. */
  readonly turn?: Turn
}

/** True when nothing has to be told beside dirty rows: no change of the schema, no rows displaced without a mark. */
const isNothingElse = (session: Session): boolean =>
  session.meta.get('publishedSchema') === session.catalogue.schema.fingerprint && !mayBeDisplaced(session)

/** A store on a connection to an attached file. */
export function createStore(options: StoreOptions): SqliteStore {
  const session = new Session(options, repairSchema)
  const watch = new Watch(options.connection, options.clock)
  const { turn = atOnce } = options
  const own = <T>(work: () => T, sawAll?: (result: T) => boolean): Promise<T> =>
    turn(() => {
      session.assertOpen()
      return watch.own(work, sawAll)
    })
  const comparison = new Comparison(session, (work) => own(work))

  /** One method: atomic, because it is synchronous and its writes are one transaction. */
  const perform = own

  /** Only looks, and at once, whoever writes just now; unless the schema has changed and capture is to follow it. */
  async function look<T>(work: () => T): Promise<T> {
    await Promise.resolve()
    session.assertOpen()
    return session.isCurrent ? watch.own(() => session.read(work)) : perform(() => session.read(work))
  }

  /** The same for what counts on every edit being marked: tables in which writes may have been missed come first. */
  async function performMarked<T>(work: () => T, sawAll?: (result: T) => boolean): Promise<T> {
    for (let tries = 0; tries < MAX_COMPARISONS; tries++) {
      try {
        return await perform(() => session.whenAllMarked(work), sawAll)
      } catch (error) {
        if (!(error instanceof Suspected)) throw error
        await comparison.settle()
      }
    }
    throw new TidemarkError('database_locked', 'the schema of the file keeps changing')
  }

  /** The same for what looks at rows that may have been displaced without a mark. */
  async function performWhole<T>(work: () => T, sawAll?: (result: T) => boolean): Promise<T> {
    await perform(() => suspectDisplaced(session))
    return performMarked(work, sawAll)
  }
  const { meta, mutations } = session

  return {
    state: () =>
      look(() => ({
        ...meta.get('identity'),
        mutation: mutations.number,
        inFlight: mutations.read(),
        cursor: meta.get('cursor'),
        generations: meta.get('generations'),
        asides: meta.get('asides'),
        hydrating: meta.get('hydrating'),
        covered: meta.get('covered'),
        publishedSchema: meta.get('publishedSchema'),
        overwriting: meta.get('overwriting'),
      })),
    schema: () => look(() => session.catalogue.schema),
    readDirty: (limit) =>
      performWhole(
        () => readDirty(session, limit),
        ({ more }) =>
          limit.after === undefined && limit.tables === undefined && !more && isNothingElse(session),
      ),
    readTouched: (rows) => performWhole(() => readTouched(session, rows)),

    saveMutation: (mutation) =>
      perform(() => {
        const packed = session.write(() => mutations.save(mutation))
        mutations.keep(mutation, packed)
      }),
    packedParts: () => perform(() => session.read(() => mutations.readPacked())),
    freeMutation: (number) => perform(() => session.write(() => mutations.settle(number, true))),
    publish: (publication) => performMarked(() => publish(session, publication)),

    startHydrate: (hydrate) => perform(() => startHydrate(session, hydrate)),
    finishHydrate: (cursor) => performMarked(() => finishHydrate(session, cursor)),
    saveCursor: (cursor, generations) =>
      perform(() =>
        session.write(() => {
          meta.set('cursor', cursor)
          meta.set('generations', generations)
        }),
      ),
    adopt: (replica) => performMarked(() => session.write(() => adopt(session, replica))),
    rebase: (cursor, common, generations) =>
      performMarked(() => ({ offered: session.write(() => rebase(session, cursor, common, generations)) })),
    startOverwrite: () => perform(() => session.write(() => meta.set('overwriting', meta.get('covered')))),
    savePublishedSchema: (fingerprint) =>
      perform(() => session.write(() => meta.set('publishedSchema', fingerprint))),

    counts: () => look(() => readCounts(session)),
    listParked: (limit) => look(() => listParked(session, limit)),
    listInbox: (filter) => look(() => session.notebook.list(filter)),
    readInbox: (id) => look(() => session.notebook.find(id)?.entry ?? null),
    async settleInbox(id, settlement) {
      await performMarked(() => session.edit(() => settleEntry(session, id, settlement)))
      watch.notify()
    },
    listQuarantine: (limit) =>
      look(() => session.quarantine.list(limit, (number) => session.tableName(number))),
    async retryQuarantine(id) {
      const done = await performMarked(() => retryQuarantined(session, id))
      watch.notify()
      return done
    },
    dropQuarantine: (id: string, record: WireRecord | null) =>
      performMarked(() => dropQuarantined(session, id, record)),

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
