import type { Provider } from '../engine/provider.ts'
import type { RowKey, Store, ReplicaState } from '../engine/store.ts'
import type { Clock } from '../kernel/clock.ts'
import { TidemarkError, toTidemarkError } from '../kernel/errors.ts'
import type { Random } from '../kernel/random.ts'
import type { WireRecord } from '../protocol/records.ts'
import { isKeyTooLong } from '../stores/sqlite/store/synced-table.ts'
import type { Book } from './book.ts'
import { toEntityId } from './conflict.ts'
import {
  chooseRetries,
  isEmpty,
  nextRetryAt,
  observe,
  rowName,
  type OpenOperation,
  type Operation,
  type Sight,
} from './retry-book.ts'
import { readBook, readCompleted, removeCompleted, saveChanges, type StoredBook } from './retry-rows.ts'

export interface Retries {
  readonly store: Pick<
    Store,
    'counts' | 'dropQuarantine' | 'listQuarantine' | 'readTouched' | 'retryQuarantine' | 'schema' | 'state'
  >
  readonly book: Book
  readonly clock: Clock
  readonly random: Random
  /** After so many failures an operation is `failed`. */
  readonly maxRetries: number
}

export interface RetryStats {
  /**
   * Rows that wait to be sent (`StoreCounts.pending`, which may count some that equal what the cloud has), and refused
   * ones that wait for their next try. A refused row that was changed again counts as both until it is sent.
   */
  readonly pending: number
  /** Refused rows that failed `maxRetries` times; while one is on its way again, it is pending. */
  readonly failed: number
  /** Operations that are settled, as far as they were not cleared. */
  readonly completed: number
  readonly total: number
}

/** A refused row, for people. */
export interface RetryOperation {
  readonly entityType: string
  /** The key of the row; an array where it has several columns. */
  readonly entityId: unknown
  readonly op: 'put' | 'delete'
  /** Of one that is on its way again: `pending`. */
  readonly status: 'pending' | 'failed' | 'completed'
  /** How often the cloud refused it. */
  readonly attempts: number
  /** Why, the last time. */
  readonly code: string
  readonly message: string
  /** Null: it goes with the next sync, waits in the conflict inbox, or is completed. */
  readonly nextRetryAt: Date | null
  readonly completedAt: Date | null
}

/** Somebody else may write the book between our look and our write; after this many times we leave it to him. */
const MAX_LOOKS = 10
/** Rows looked at under one lock. */
const TOUCHED_CHUNK_ROWS = 1_000
/** Operations whose next turn is written in one transaction. */
const RETRY_CHUNK = 500
/** Records asked for in one request: of the largest rows, as many as a request may carry. */
const READ_CHUNK = 100
const EVERYTHING = Number.MAX_SAFE_INTEGER

/**
 * Brings the book up to what the store has: after every sync, and whenever somebody may have looked after the
 * quarantine himself. Writes nothing when nothing changed, for a write would wake the engine. Answers when the next
 * operation is due.
 */
export async function observeRetries(retries: Retries): Promise<{ readonly nextRetryAt: number | null }> {
  return { nextRetryAt: nextRetryAt(await bringUpToDate(retries)) }
}

/**
 * Marks the rows that are due, so that the sync that follows sends them: before every sync. Answers how many, and
 * when the next one is due. A row's next turn is in the book before the row is touched: after a crash anywhere
 * between, the row is retried again, but no sooner than it would have been, and no failure is forgotten.
 */
export async function retryDue(
  retries: Retries,
): Promise<{ readonly retried: number; readonly nextRetryAt: number | null }> {
  const book = await bringUpToDate(retries)
  const chosen = chooseRetries(book, nowOf(retries), retries)
  if (chosen.length === 0) return { retried: 0, nextRetryAt: nextRetryAt(book) }
  const retried = await retryAll(retries, chosen)
  // Of those that were retried, the time at which they would be looked at again if nothing came of it (I8).
  const planned = new Map(chosen.map(({ before, after }) => [before, after]))
  const after = book.map(({ operation, waits }) => ({
    operation: planned.get(operation) ?? operation,
    waits,
  }))
  return { retried, nextRetryAt: nextRetryAt(after) }
}

/** Marks every failed operation again, for the next sync. Answers how many. They stay failed until the cloud takes them. */
export async function retryAllFailed(retries: Retries): Promise<number> {
  const book = await bringUpToDate(retries)
  return await retryAll(retries, chooseRetries(book, nowOf(retries), { ...retries, onDemand: true }))
}

/** Only looks, at once, whoever writes to the file meanwhile. */
export async function getStats(retries: Retries): Promise<RetryStats> {
  const { book, completed } = await look(retries)
  const counts = await retries.store.counts()
  const marked = Object.values(counts.pending).reduce((sum, count) => sum + count, 0)
  const waiting = (status: Operation['status']): number =>
    book.filter(({ waits, operation }) => waits && operation.status === status).length
  const pending = marked + waiting('pending')
  const failed = waiting('failed')
  return { pending, failed, completed, total: pending + failed + completed }
}

/** Every operation that is not completed, then the completed, the newest first. Only looks. */
export async function listOperations(
  retries: Retries,
  limit: number = EVERYTHING,
): Promise<readonly RetryOperation[]> {
  const { book } = await look(retries)
  const open = [...book].reverse().slice(0, limit)
  const completed = await retries.book.read((connection) => readCompleted(connection, limit - open.length))
  return [...open.map(describe), ...completed.map((operation) => describe({ operation, waits: false }))]
}

/** Forgets operations that were completed this many hours ago or longer. Answers how many. */
export async function clearCompleted(retries: Retries, hours: number): Promise<number> {
  if (!(hours >= 0)) throw new TidemarkError('bad_request', 'hours must be a number that is not negative')
  const now = nowOf(retries)
  // Looked at first: without the table there is nothing to write.
  if ((await retries.book.read((connection) => readBook(connection, now))).completed === 0) return 0
  return await retries.book.write((connection) => removeCompleted(connection, hours * 3_600_000, now))
}

/**
 * Gives the failed operations up: each row becomes what the cloud has, or goes when the cloud has none. A row that was
 * changed again since stays as it is, and is sent. Answers how many were given up. Rejects with the reason, and every
 * row of which the cloud could not be asked is as it was: `not_connected` without a provider, `network` offline.
 */
export async function clearFailed(
  retries: Retries,
  provider: Provider | null,
  signal: AbortSignal,
): Promise<number> {
  const book = await bringUpToDate(retries)
  const failed = book.flatMap(({ waits, operation }) =>
    waits && operation.status === 'failed' ? [operation] : [],
  )
  if (failed.length === 0) return 0
  if (provider === null)
    throw new TidemarkError(
      'not_connected',
      'Not connected: a refused change is given up for what the cloud has, so the cloud must be asked',
    )
  let given = 0
  let first: TidemarkError | null = null
  for (const chunk of chunksOf(failed, READ_CHUNK)) {
    const records = await readRecords(provider, await retries.store.state(), chunk, signal)
    const dropped: Operation[] = []
    for (const [at, operation] of chunk.entries()) {
      try {
        if (await retries.store.dropQuarantine(operation.entry, records[at] ?? null)) dropped.push(operation)
      } catch (thrown) {
        // One row that cannot be given up now leaves the others to be (I9).
        first ??= toTidemarkError(thrown)
      }
    }
    if (dropped.length === 0) continue
    given += dropped.length
    // Cut off before this, they count as completed: nothing is left of them.
    await retries.book.write((connection) =>
      saveChanges(connection, { added: [], changed: [], removed: dropped }, nowOf(retries)),
    )
  }
  if (first !== null) throw first
  return given
}

/**
 * What the cloud has of each row, null where none. It can have none whose key no request can carry: those are not asked.
 * Throws `lost_history` for another cloud than the one that the file is in step with, or one restored since: that it
 * has no such row says nothing.
 */
export async function readRecords(
  provider: Provider,
  { space, cursor }: Pick<ReplicaState, 'space' | 'cursor'>,
  rows: readonly RowKey[],
  signal: AbortSignal,
): Promise<readonly (WireRecord | null)[]> {
  const asked = rows.filter(({ key }) => !isKeyTooLong(key)).map(({ table, key }) => ({ table, key }))
  if (asked.length === 0) return rows.map(() => null)
  if (cursor !== null) await requireHistory(provider, space, cursor.epoch, signal)
  const { records } = await provider.read({ space, records: asked }, signal)
  if (records.length !== asked.length)
    throw new TidemarkError('bad_answer', 'the answer has another number of records')
  const answers = [...records]
  return rows.map(({ key }) => (isKeyTooLong(key) ? null : (answers.shift() ?? null)))
}

async function requireHistory(
  provider: Provider,
  space: string,
  epoch: string,
  signal: AbortSignal,
): Promise<void> {
  const status = await provider.status(space, signal).catch((thrown: unknown) => {
    if (toTidemarkError(thrown).code === 'space_not_found') return null
    throw thrown
  })
  if (status?.epoch === epoch) return
  throw new TidemarkError(
    'lost_history',
    'The cloud has another history than the one that this file is in step with: it is another cloud, or it was restored; nothing was changed, sync first',
  )
}

/**
 * Book, quarantine, rows: in this order, so that whatever is written meanwhile is seen in the later one, or by the
 * book's own check when it is written.
 */
async function bringUpToDate(retries: Retries): Promise<readonly OpenOperation[]> {
  for (let looks = 1; ; looks++) {
    const now = nowOf(retries)
    const stored = await retries.book.read((connection) => readBook(connection, now))
    const sight = await see(retries, stored)
    const { book, changes } = observe(stored.open, await withRows(retries, stored, sight), now, retries)
    if (looks > MAX_LOOKS || (isEmpty(changes) && !stored.expired)) return book
    await retries.book.write((connection) => saveChanges(connection, changes, now))
  }
}

/** The book as it would be written; rows that are on their way are taken for unsettled. */
async function look(
  retries: Retries,
): Promise<{ readonly book: readonly OpenOperation[]; readonly completed: number }> {
  const now = nowOf(retries)
  const stored = await retries.book.read((connection) => readBook(connection, now))
  const sight = await see(retries, stored)
  const unsettled = new Set(stored.open.map(rowName))
  return {
    book: observe(stored.open, { ...sight, unsettled }, now, retries).book,
    completed: stored.completed,
  }
}

async function see({ store }: Retries, { open }: StoredBook): Promise<Omit<Sight, 'unsettled'>> {
  const { quarantined } = await store.counts()
  if (quarantined === 0 && open.length === 0) return { quarantine: [], synced: new Set() }
  const quarantine = quarantined === 0 ? [] : await store.listQuarantine(EVERYTHING)
  const { tables } = await store.schema()
  return { quarantine, synced: new Set(tables.map(({ name }) => name)) }
}

/** Asks for the rows that are no longer in the quarantine. */
async function withRows(
  { store }: Retries,
  { open }: StoredBook,
  sight: Omit<Sight, 'unsettled'>,
): Promise<Sight> {
  const refused = new Set(sight.quarantine.map(rowName))
  const asked = open.filter((operation) => !refused.has(rowName(operation)))
  const unsettled = new Set<string>()
  for (const chunk of chunksOf(asked, TOUCHED_CHUNK_ROWS)) {
    const touched = await store.readTouched(chunk.map(({ table, key }) => ({ table, key })))
    for (const row of touched) unsettled.add(rowName(row))
  }
  return { ...sight, unsettled }
}

async function retryAll(retries: Retries, chosen: ReturnType<typeof chooseRetries>): Promise<number> {
  let retried = 0
  for (const changed of chunksOf(chosen, RETRY_CHUNK)) {
    const planned = await retries.book.write((connection) =>
      saveChanges(connection, { added: [], changed, removed: [] }, nowOf(retries)),
    )
    // Somebody else has retried some of them just now: the next sync does the rest.
    if (!planned) return retried
    for (const { before } of changed) if (await retries.store.retryQuarantine(before.entry)) retried++
  }
  return retried
}

function describe({ operation, waits }: OpenOperation): RetryOperation {
  const { table, key, op, status, failures, code, message, nextAt, completedAt } = operation
  return {
    entityType: table,
    entityId: toEntityId(key),
    op,
    status: waits || status === 'completed' ? status : 'pending',
    attempts: failures,
    code,
    message,
    nextRetryAt: waits ? new Date(nextAt) : null,
    completedAt: completedAt === null ? null : new Date(completedAt),
  }
}

const nowOf = ({ clock }: Retries): number => Math.floor(clock.now())

function chunksOf<T>(list: readonly T[], size: number): readonly (readonly T[])[] {
  const count = Math.ceil(list.length / size)
  return Array.from({ length: count }, (_, at) => list.slice(at * size, (at + 1) * size))
}
