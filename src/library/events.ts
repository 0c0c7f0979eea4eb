import { TidemarkError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Row, Tables } from './conflict.ts'
import type { DetectedConflict } from './detected.ts'
import { requireFit } from './given.ts'
import type { SyncProgress } from './progress.ts'
import type { SyncOperation, SyncResult } from './result.ts'

/** What each event carries. Origin 004, lines 186-204. */
export interface SyncEvents<Known extends Tables = { readonly [table: string]: Row }> {
  readonly sync_started: {
    readonly operation: SyncOperation
    /** Null: all. */
    readonly tables: readonly (keyof Known & string)[] | null
  }
  readonly sync_progress: { readonly operation: SyncOperation; readonly progress: SyncProgress }
  readonly sync_completed: { readonly operation: SyncOperation; readonly result: SyncResult<Known> }
  readonly sync_error: { readonly operation: SyncOperation; readonly error: TidemarkError }
  readonly conflict_detected: DetectedConflict<Known>
}

export type SyncEventName = keyof SyncEvents

const NAMES: { readonly [Name in SyncEventName]: true } = {
  sync_started: true,
  sync_progress: true,
  sync_completed: true,
  sync_error: true,
  conflict_detected: true,
}

export interface SyncEvent<
  Name extends SyncEventName = SyncEventName,
  Known extends Tables = { readonly [table: string]: Row },
> {
  readonly type: Name
  readonly timestamp: Date
  readonly data: SyncEvents<Known>[Name]
}

export type SyncListener<
  Name extends SyncEventName,
  Known extends Tables = { readonly [table: string]: Row },
> = (event: SyncEvent<Name, Known>) => void

type AnyListener = (event: never) => void

/** Listeners by event. One that throws stops nothing, and nobody else. */
export class Listeners<Known extends Tables> {
  readonly #lists = new Map<SyncEventName, Set<AnyListener>>()
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Throws `bad_usage`: a name that is misspelt would never be called. */
  add<Name extends SyncEventName>(name: Name, listener: SyncListener<Name, Known>): void {
    if (!Object.hasOwn(NAMES, name)) {
      throw new TidemarkError(
        'bad_usage',
        `There is no such event; there are ${Object.keys(NAMES).join(', ')}`,
      )
    }
    requireFit({ listener })
    const list = this.#lists.get(name) ?? new Set()
    list.add(listener)
    this.#lists.set(name, list)
  }

  remove<Name extends SyncEventName>(name: Name, listener: SyncListener<Name, Known>): void {
    this.#lists.get(name)?.delete(listener)
  }

  emit<Name extends SyncEventName>(name: Name, at: number, data: SyncEvents<Known>[Name]): void {
    const event: SyncEvent<Name, Known> = { type: name, timestamp: new Date(at), data }
    // One that is added meanwhile is not called with this event.
    for (const listener of new Set(this.#lists.get(name))) {
      callSafely(this.#logger, () => (listener as SyncListener<Name, Known>)(event))
    }
  }
}

/** Calls something of the application's, whose failure is not the sync's: asynchronous ones too. */
export function callSafely(logger: Logger, call: () => unknown): void {
  const fail = (thrown: unknown) =>
    logger.warn('a listener threw', { name: thrown instanceof Error ? thrown.name : 'unknown' })
  try {
    const answer = call()
    // Of any kind: Knex's queries are no `Promise`.
    Promise.resolve(answer).catch(fail)
  } catch (thrown) {
    fail(thrown)
  }
}
