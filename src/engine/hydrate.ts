import { TidemarkError, toTidemarkError } from '../kernel/errors.ts'
import type { HydratePlace, HydrateStart } from '../protocol/pull.ts'
import type { Cursor, WireRecord } from '../protocol/records.ts'
import type { HydrateChunk } from './provider.ts'
import type { MachineEvent } from './machine.ts'
import { publishRecords } from './pull.ts'
import { clearStaging, createStaging, stageRecords } from './staging.ts'
import type { HydrateState, ReplicaState } from './store.ts'
import {
  advanceCursor,
  afterPage,
  ATOMIC_ROWS,
  PUBLISH_CHUNK_ROWS,
  withGeneration,
  withRead,
  type Work,
} from './work.ts'

/** Tries of one chunk against rows that move. */
const MAX_CHUNK_TRIES = 50

/**
 * Reads tables of the space from the cloud: all of them at first and after an expired cursor (`sweep`), else
 * those not covered. A hydrate that was cut off goes on where it was. Whenever the cloud was started anew since
 * the replica last knew it, a pull from what is held asks first whether that is still its history: rows that only
 * a lost one had would else be swept, or stay for ever and be offered to nobody (I11).
 */
export async function hydrate(work: Work, sweep: boolean, signal: AbortSignal): Promise<MachineEvent> {
  clearStaging(work.staging)
  work.prefetched = null
  const state = await work.store.state()
  // An expired cursor may be that of the hydrate under way: going on from its place would expire for ever (I8).
  const under = sweep ? null : state.hydrating
  const tables = under === null ? await missingTables(work, state, sweep) : under.tables
  const place = under?.place ?? null
  const request = {
    space: state.space,
    replica: state.replica,
    ...(tables === null ? {} : { tables }),
    ...(place === null ? {} : { resume: place }),
  }
  let current: HydrateState | null = under
  let head: HydrateStart | null = null
  let done = 0
  for await (const chunk of work.provider.hydrate(request, signal)) {
    if (chunk.kind === 'start') {
      head = chunk.start
      await confirmHistory(work, state, head, signal)
      current = await begin(work, head, { under, before: state.hydrating, tables, sweep })
      continue
    }
    if (current === null || head === null)
      throw new TidemarkError('bad_answer', 'records came before the start')
    for (let at = 0; at < chunk.records.length;) {
      const records = nextRecords(chunk.records, at, state.overwriting !== null)
      const last = records.at(-1)
      if (last === undefined) break
      at += records.length
      const to = { head: current.cursor.version, table: last.table, key: last.key }
      await publishChunk(work, records, to, chunk.read)
      done += records.length
      work.report({ type: 'progress', task: 'hydrate', done, total: Math.max(done, head.count) })
    }
    if (chunk.records.length === 0 && chunk.read !== undefined) await noteRead(work, current, chunk.read)
  }
  if (current === null || head === null) throw new TidemarkError('bad_answer', 'the hydrate had no start')
  await finish(work, current, head, signal)
  return { type: 'hydrated' }
}

/**
 * A replica that has read nothing and only sends: it knows the history that its pushes are of, and stands at its very
 * beginning. Whatever it reads later, it reads from there.
 */
export async function joinUnread(work: Work, signal: AbortSignal): Promise<MachineEvent> {
  const { space, replica, hydrating } = await work.store.state()
  // Rows of a first read that was cut off are here, and what they are of must not be forgotten: it goes on.
  if (hydrating !== null) return hydrate(work, false, signal)
  const { epoch, generation } = await readStart(work.provider.hydrate({ space, replica }, signal))
  const cursor: Cursor = { epoch, generation: generation.id, version: 0, high: 0 }
  await work.store.startHydrate({ cursor, tables: null, place: null, sweep: false })
  await work.store.publish({
    records: [],
    merged: [],
    notes: [],
    generations: withGeneration([], generation),
  })
  await work.store.finishHydrate(cursor)
  return { type: 'hydrated' }
}

/** The start of a hydrate, of which nothing else is read. */
async function readStart(chunks: AsyncIterable<HydrateChunk>): Promise<HydrateStart> {
  for await (const chunk of chunks) if (chunk.kind === 'start') return chunk.start
  throw new TidemarkError('bad_answer', 'the hydrate had no start')
}

/** The records of one publish; `apart`: of one table, for they are published each in its own way. */
function nextRecords(records: readonly WireRecord[], from: number, apart: boolean): readonly WireRecord[] {
  const next = records.slice(from, from + PUBLISH_CHUNK_ROWS)
  const end = apart ? next.findIndex(({ table }) => table !== next[0]?.table) : -1
  return end < 0 ? next : next.slice(0, end)
}

/** Throws `lost_history` when what the replica holds is not of the history that the cloud now has. */
async function confirmHistory(
  work: Work,
  { cursor, hydrating, space, replica }: ReplicaState,
  head: HydrateStart,
  signal: AbortSignal,
): Promise<void> {
  for (const held of [cursor, hydrating?.cursor]) {
    if (held === null || held === undefined) continue
    if (held.epoch === head.epoch && held.generation === head.generation.id) continue
    try {
      await work.provider.pull({ space, replica, cursor: held, limit: 1 }, signal)
    } catch (thrown) {
      // The history is looked at before the floor: an expired cursor lies in it.
      if (toTidemarkError(thrown).code !== 'cursor_expired') throw thrown
    }
  }
}

/** A cursor that stays is in the history that was confirmed; else the cursor is that of what was read. */
async function finish(
  work: Work,
  current: HydrateState,
  head: HydrateStart,
  signal: AbortSignal,
): Promise<void> {
  const { cursor, generations } = await work.store.state()
  const known = withGeneration(
    cursor === null || cursor.epoch === head.epoch ? generations : [],
    head.generation,
  )
  if (cursor !== null && !current.sweep) {
    const kept = advanceCursor(cursor, head.generation, {})
    await work.store.saveCursor(await catchUp(work, kept, head, signal), known)
    await work.store.finishHydrate(null)
    return
  }
  const { version } = current.cursor
  const begun = { epoch: head.epoch, generation: head.generation.id, version, high: version }
  const read = await catchUp(work, begun, head, signal)
  if (cursor !== null) await work.store.saveCursor(cursor, known)
  await work.store.finishHydrate(read)
}

/**
 * The cursor that covers everything that came, from this one on. Rows are newer than a cursor that stays, and may be
 * newer than the head at which the hydrate began: what happened up to them is read before the end, so that no cursor
 * stands below what is held while its history is lost (I11).
 */
async function catchUp(work: Work, from: Cursor, head: HydrateStart, signal: AbortSignal): Promise<Cursor> {
  const { hydrating, space, replica } = await work.store.state()
  const place = hydrating?.place ?? null
  const held = hydrating?.cursor.high ?? 0
  const known = withRead(from, Math.max(from.read ?? 0, hydrating?.cursor.read ?? 0))
  if (place === null || (held <= from.high && known.read === undefined)) return known
  const staging = createStaging()
  for (let cursor = known; ;) {
    const answer = await work.provider.pull({ space, replica, cursor }, signal)
    if (answer.generation.id !== head.generation.id) {
      throw new TidemarkError('network', 'the cloud was started anew during the first read; it goes on')
    }
    stageRecords(staging, answer.records)
    cursor = afterPage(cursor, answer)
    if (answer.has_more && staging.records.size < ATOMIC_ROWS) continue
    // At once, where it is small enough: tables that were covered before may be read meanwhile (I6).
    await publishChunk(work, [...staging.records.values()], place)
    if (!answer.has_more) return cursor
    clearStaging(staging)
  }
}

/** Nothing more came, and that was so at this version. */
async function noteRead(work: Work, current: HydrateState, read: number): Promise<void> {
  const { hydrating } = await work.store.state()
  const { place, cursor } = hydrating ?? current
  if (place !== null) await publishChunk(work, [], place, read)
  else
    await work.store.startHydrate({ ...current, cursor: withRead(cursor, Math.max(cursor.read ?? 0, read)) })
}

async function publishChunk(
  work: Work,
  records: readonly WireRecord[],
  place: HydratePlace,
  read?: number,
): Promise<void> {
  for (let tries = 0; ; tries++) {
    const result = await publishRecords(work, records, { place, ...(read === undefined ? {} : { read }) })
    if (result.status === 'done') return
    if (result.status === 'stale' || tries > MAX_CHUNK_TRIES) throw new TidemarkError('database_locked')
  }
}

/** Null: all tables. Tables that are new to a replica with a cursor are read alone. */
async function missingTables(
  work: Work,
  state: ReplicaState,
  sweep: boolean,
): Promise<readonly string[] | null> {
  const names = (await work.store.schema()).tables.map(({ name }) => name)
  if (sweep) return names
  const asked = work.tables === null ? names : names.filter((name) => work.tables?.includes(name))
  if (state.cursor === null) return asked
  const covered = new Set(state.covered)
  return asked.filter((name) => !covered.has(name))
}

/**
 * What comes from here on is of the generation that answers now. Under the one before, whose end it lies past, it
 * would look like rows of a lost history.
 */
async function goOn(
  work: Work,
  under: HydrateState,
  place: HydratePlace,
  { generation }: HydrateStart,
): Promise<HydrateState> {
  if (under.cursor.generation === generation.id) return under
  const { generations } = await work.store.state()
  const known = withGeneration(generations, generation)
  await work.store.publish({ records: [], merged: [], notes: [], generations: known, place })
  return { ...under, cursor: { ...under.cursor, generation: generation.id } }
}

interface Beginning {
  /** What to go on with; null: from the start. */
  readonly under: HydrateState | null
  /** What was under way: rows of it are here, whether it goes on or not. */
  readonly before: HydrateState | null
  readonly tables: readonly string[] | null
  readonly sweep: boolean
}

async function begin(
  work: Work,
  head: HydrateStart,
  { under, before, tables, sweep }: Beginning,
): Promise<HydrateState> {
  if (under !== null && under.place !== null) return await goOn(work, under, under.place, head)
  const cursor: Cursor = {
    epoch: head.epoch,
    generation: head.generation.id,
    version: head.head,
    high: Math.max(head.head, before?.cursor.epoch === head.epoch ? before.cursor.high : 0),
  }
  const hydrating: HydrateState = { cursor, tables, place: null, sweep: sweep || before?.sweep === true }
  await work.store.startHydrate(hydrating)
  // A replica without a cursor knows the histories that its hydrate has met.
  const { cursor: kept, generations } = await work.store.state()
  if (kept === null) {
    const known = before?.cursor.epoch === head.epoch ? generations : []
    await work.store.publish({
      records: [],
      merged: [],
      notes: [],
      generations: withGeneration(known, head.generation),
    })
  }
  return hydrating
}
