import { TidemarkError } from '../kernel/errors.ts'
import type { HydrateStart } from '../protocol/pull.ts'
import type { Cursor } from '../protocol/records.ts'
import type { MachineEvent } from './machine.ts'
import { publishRecords } from './pull.ts'
import { clearStaging } from './staging.ts'
import type { HydrateState, ReplicaState } from './store.ts'
import { PUBLISH_CHUNK_ROWS, withGeneration, type Work } from './work.ts'

/** Tries of one chunk against rows that move. */
const MAX_CHUNK_TRIES = 50

/**
 * Reads tables of the space from the cloud: all of them at first and after an expired cursor (`sweep`), else
 * those not covered. A hydrate that was cut off goes on where it was, if the cloud is still in the generation in
 * which it began.
 */
export async function hydrate(work: Work, sweep: boolean, signal: AbortSignal): Promise<MachineEvent> {
  clearStaging(work.staging)
  work.prefetched = null
  const state = await work.store.state()
  const under = sweep && state.hydrating?.sweep !== true ? null : state.hydrating
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
      if (place !== null && under?.cursor.generation !== head.generation.id) return restart(work, under)
      current = await begin(work, head, under, tables, sweep)
      continue
    }
    if (current === null || head === null) throw new TidemarkError('bad_answer', 'records came before the start')
    for (let at = 0; at < chunk.records.length; at += PUBLISH_CHUNK_ROWS) {
      const records = chunk.records.slice(at, at + PUBLISH_CHUNK_ROWS)
      const last = records.at(-1)
      if (last === undefined) break
      const to = { head: current.cursor.version, table: last.table, key: last.key }
      for (let tries = 0; ; tries++) {
        const result = await publishRecords(work, records, { place: to })
        if (result.status === 'done') break
        if (result.status === 'stale' || tries > MAX_CHUNK_TRIES) throw new TidemarkError('database_locked')
      }
      done += records.length
      work.report({ type: 'progress', task: 'hydrate', done, total: Math.max(done, head.count) })
    }
  }
  if (current === null || head === null) throw new TidemarkError('bad_answer', 'the hydrate had no start')
  await work.store.finishHydrate(state.cursor === null || current.sweep ? current.cursor : null)
  return { type: 'hydrated' }
}

/** Null: all tables. Tables that are new to a replica with a cursor are read alone. */
async function missingTables(work: Work, state: ReplicaState, sweep: boolean): Promise<readonly string[] | null> {
  const names = (await work.store.schema()).tables.map(({ name }) => name)
  if (state.cursor === null || sweep) return names
  const covered = new Set(state.covered)
  return names.filter((name) => !covered.has(name))
}

async function begin(
  work: Work,
  head: HydrateStart,
  under: HydrateState | null,
  tables: readonly string[] | null,
  sweep: boolean,
): Promise<HydrateState> {
  if (under !== null && under.place !== null) return under
  const cursor: Cursor = { epoch: head.epoch, generation: head.generation.id, version: head.head, high: head.head }
  const hydrating: HydrateState = { cursor, tables, place: null, sweep: sweep || under?.sweep === true }
  await work.store.startHydrate(hydrating)
  const { cursor: kept, generations } = await work.store.state()
  const known = kept?.epoch === head.epoch ? generations : []
  await work.store.publish({ records: [], merged: [], notes: [], generations: withGeneration(known, head.generation) })
  return hydrating
}

/** The cloud was started anew since: what was read may be of another history. From the start, then. */
async function restart(work: Work, under: HydrateState | null): Promise<MachineEvent> {
  if (under !== null) await work.store.startHydrate({ ...under, place: null })
  throw new TidemarkError('network', 'the cloud was restarted during the first read; it begins again')
}
