import { sleep } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { MAX_WAIT_S } from '../protocol/limits.ts'
import type { PullAnswer } from '../protocol/pull.ts'
import type { Cursor, WireRecord } from '../protocol/records.ts'
import { placeOf, withAside } from './asides.ts'
import type { MachineEvent } from './machine.ts'
import { reconcileRecords } from './reconcile.ts'
import { clearStaging, stageRecords } from './staging.ts'
import type { Publication, PublishResult, ReplicaState, StoreSchema } from './store.ts'
import {
  advanceCursor,
  afterPage,
  ATOMIC_ROWS,
  PUBLISH_CHUNK_ROWS,
  tablesByName,
  newGenerations,
  withRead,
  type Work,
} from './work.ts'

/** Between two long polls of which the first was answered at once and brought nothing, in milliseconds. */
const LISTEN_PAUSE_MS = 1_000

/** Publishes that found rows moved, in a row, after which the writer in the way gets a pause. */
const MAX_MOVES = 50

/** True when a hydrate comes before everything else: never hydrated, in the midst of one, or tables not covered. */
export function isUncovered(
  state: ReplicaState,
  schema: StoreSchema,
  asked: readonly string[] | null,
): boolean {
  if (state.cursor === null || state.hydrating !== null) return true
  const covered = new Set(state.covered)
  return schema.tables.some(({ name }) => !covered.has(name) && (asked === null || asked.includes(name)))
}

/** Fetches one page and stages it. */
export async function pullPage(work: Work, signal: AbortSignal): Promise<MachineEvent> {
  const { staging } = work
  const state = await work.store.state()
  if (staging.cursor === null) {
    if (isUncovered(state, await work.store.schema(), work.tables) || state.cursor === null)
      return { type: 'uncovered' }
    staging.cursor = placeOf(state, state.cursor, tablesAsked(work, state))
  }
  const answer = await nextPage(work, state, staging.cursor, signal)
  stageRecords(staging, answer.records)
  staging.cursor = afterPage(staging.cursor, answer)
  // The first answer of a generation tells those before it.
  if (staging.generation?.id !== answer.generation.id) staging.generation = answer.generation
  staging.floor = answer.floor
  if (answer.records.length > 0) work.report({ type: 'pulled', records: answer.records.length })
  // Past the atomic size nothing is gained by holding more in memory: publish, then go on from there (I6).
  staging.more = answer.has_more && staging.records.size >= ATOMIC_ROWS
  return { type: 'page', more: answer.has_more && !staging.more }
}

async function nextPage(
  work: Work,
  state: ReplicaState,
  cursor: Cursor,
  signal: AbortSignal,
): Promise<PullAnswer> {
  const { space, replica } = state
  const early = work.prefetched
  work.prefetched = null
  // A push that was answered meanwhile may have come from another history: a pull tells, this page does not (I11).
  const isOfHistory = early?.answer.generation.id === cursor.generation
  if (early !== null && isOfHistory && early.version === cursor.version)
    return { ...early.answer, records: foreign(early.answer.records, replica, cursor) }
  const tables = tablesAsked(work, state)
  return work.provider.pull(
    { space, replica, cursor, ...(tables === null ? {} : { tables: [...tables] }) },
    signal,
  )
}

/** A wish to overwrite is for all tables: it is fulfilled with all of them. */
const tablesAsked = (work: Work, { overwriting }: ReplicaState): readonly string[] | null =>
  overwriting === null ? work.tables : null

/** Waits for news of the cloud; a page that came with them is kept for the next pull. */
export async function listenForNews(work: Work, signal: AbortSignal): Promise<void> {
  const { cursor, space, replica } = await work.store.state()
  if (cursor === null) return
  work.sent = 0
  let from = cursor
  for (;;) {
    const begun = work.clock.now()
    const answer = await work.provider.pull({ space, replica, cursor: from, wait: MAX_WAIT_S }, signal)
    const held = (await work.store.state()).cursor
    if (held === null || foreign(answer.records, replica, held).length > 0) {
      // What lies between the stored cursor and this page were own writes: the page covers both.
      work.prefetched = { version: cursor.version, answer }
      return
    }
    // A cloud that has no room for another waiting request answers at once: it is not asked again at once.
    if (answer.next === from.version && work.clock.now() - begun < LISTEN_PAUSE_MS) {
      await sleep(work.clock, LISTEN_PAUSE_MS, signal)
    }
    from = advanceCursor(afterPage(from, answer), answer.generation, { high: held.high })
  }
}

/**
 * Without what this replica pushed itself while it was listening: the cloud can't know, by the cursor of before,
 * that it was no copy of it.
 */
function foreign(records: PullAnswer['records'], replica: string, { high }: Cursor): PullAnswer['records'] {
  return records.filter(({ by, version }) => by !== replica || version > high)
}

/** Applies what is staged, whole where it is small enough. */
export async function publishStaged(work: Work): Promise<MachineEvent> {
  const { staging } = work
  const { cursor, generation } = staging
  if (cursor === null) throw new TidemarkError('invariant', 'nothing is staged to publish')
  const state = await work.store.state()
  const records = [...staging.records.values()]
  const { more } = staging
  const overwrites = state.overwriting !== null
  const tables = tablesAsked(work, state)
  const held = state.cursor === null ? null : placeOf(state, state.cursor, tables)
  const quiet = records.length === 0 && !more && !overwrites && isSameCursor(held, cursor)
  // Every publish tries parked rows again: what stood in their way may have gone without a push.
  if (quiet && (await work.store.counts()).parked === 0) {
    clearStaging(staging)
    return { type: 'published', more }
  }
  const last = {
    ...(tables === null || state.cursor === null || generation === null
      ? { cursor }
      : {
          asides: withAside(state.asides, { tables, cursor }),
          cursor: withRead(
            advanceCursor(state.cursor, generation, { high: cursor.high }),
            Math.max(state.cursor.read ?? 0, cursor.read ?? 0),
          ),
        }),
    floor: staging.floor,
    ...(overwrites && !more ? { overwritten: true } : {}),
    ...(generation === null ? {} : newGenerations(state.generations, generation)),
  }
  const chunked = records.length > ATOMIC_ROWS
  const rows = chunked ? PUBLISH_CHUNK_ROWS : Math.max(1, records.length)
  for (let at = 0; at === 0 || at < records.length; at += rows) {
    const chunk = records.slice(at, at + rows)
    const result = await publishRecords(work, chunk, at + rows >= records.length ? last : {})
    if (result.status !== 'done') return moved(work, result)
    if (chunked) {
      for (const record of chunk) staging.records.delete(`${record.table}\0${record.key}`)
      work.report({ type: 'progress', task: 'publish', done: at + chunk.length, total: records.length })
    }
  }
  work.moves = 0
  clearStaging(staging)
  return { type: 'published', more }
}

const isSameCursor = (a: Cursor | null, b: Cursor): boolean =>
  a !== null &&
  a.epoch === b.epoch &&
  a.generation === b.generation &&
  a.version === b.version &&
  a.high === b.high &&
  a.read === b.read

/** What a publication says beside its rows. */
type Rest = Pick<
  Publication,
  'asides' | 'cursor' | 'floor' | 'generations' | 'overwritten' | 'place' | 'read'
>

/** Merges these records with the rows they meet, and publishes both. */
export async function publishRecords(
  work: Work,
  records: readonly WireRecord[],
  rest: Rest,
): Promise<PublishResult> {
  const state = await work.store.state()
  const overwritten = new Set(state.overwriting)
  const images = overwritten.size === 0 ? [] : records.filter(({ table }) => overwritten.has(table))
  const news = images.length === 0 ? records : records.filter(({ table }) => !overwritten.has(table))
  if (images.length > 0) {
    // Only the last of two publications moves the cursor: a crash between them repeats the first, without effect.
    const isLast = news.length === 0
    const own = { records: images, merged: [], notes: [], imagesOnly: true, ...(isLast ? rest : {}) }
    const result = await work.store.publish(own)
    if (isLast || result.status !== 'done') return result
  }
  const touched = news.length === 0 ? [] : await work.store.readTouched(news)
  const tables = tablesByName(await work.store.schema())
  const reconciled = await reconcileRecords(news, touched, {
    tables,
    resolvers: work.resolvers(state.replica),
  })
  const result = await work.store.publish({ ...reconciled, ...rest })
  if (result.status === 'done') reportPublished(work, result)
  return result
}

export function reportPublished(
  work: Work,
  result: Extract<PublishResult, { readonly status: 'done' }>,
): void {
  if (result.applied + result.parked > 0) {
    const { applied: rows, tables, parked, lockMs } = result
    work.report({ type: 'applied', rows, tables, parked, lockMs })
  }
  if (result.notes > 0) work.report({ type: 'conflicts', count: result.notes })
}

/** A publish that was refused: once more, merged anew; but not for ever against a writer that never rests. */
export function moved(work: Work, result: PublishResult): MachineEvent {
  if (result.status === 'stale')
    throw new TidemarkError('invariant', 'a mutation is in flight while publishing')
  work.moves++
  if (work.moves <= MAX_MOVES) return { type: 'moved' }
  work.moves = 0
  throw new TidemarkError('database_locked', 'rows keep changing faster than they can be merged')
}
