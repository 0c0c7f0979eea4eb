import { TidemarkError } from '../../kernel/errors.ts'
import type { HydratePlace } from '../../protocol/pull.ts'
import type { Cursor } from '../../protocol/records.ts'
import type { HydrateState, Publication } from '../../engine/store.ts'
import { rowId, type MemoryFile } from './file.ts'
import type { Touched } from './integrity.ts'
import { isAgreed } from './local-row.ts'
import { UNKNOWN } from './row-state.ts'
import type { MemoryTable } from './table.ts'

export function startHydrate(file: MemoryFile, hydrating: HydrateState): void {
  const names = file.syncedTables().map(({ name }) => name)
  file.came.clear()
  file.setReplica({ hydrating })
  file.setMeta({ hydrated: hydrating.tables ?? names })
}

/** Where the hydrate goes on, and which rows it brought, so that the sweep spares them. */
export function noteArrivals(file: MemoryFile, publication: Publication, place: HydratePlace): void {
  const { records, merged } = publication
  const { hydrating } = file.replica
  if (hydrating === null) return
  file.setReplica({ hydrating: { ...hydrating, place, cursor: cursorAfter(hydrating.cursor, publication) } })
  if (!hydrating.sweep) return
  for (const record of records) file.came.set(rowId(record), true)
  for (const { read } of merged) file.came.set(rowId(read), true)
}

/** Rows may be newer than the head at which the hydrate began: a history lost later is noticed by them (I11). */
function cursorAfter(cursor: Cursor, { records, merged, generations, read }: Publication): Cursor {
  let { high } = cursor
  for (const { version } of records) high = Math.max(high, version)
  for (const { record } of merged) high = Math.max(high, record?.version ?? 0)
  const last = Math.max(cursor.read ?? 0, read ?? 0)
  return {
    ...cursor,
    high,
    ...(last > 0 ? { read: last } : {}),
    generation: generations?.at(-1)?.id ?? cursor.generation,
  }
}

/** The end of a hydrate: what the cloud no longer has goes, its tables are covered. */
export function finishHydrate(
  file: MemoryFile,
  cursor: Cursor | null,
): { readonly deleted: number; readonly touched: Touched } {
  const { hydrating } = file.replica
  if (hydrating === null) throw new TidemarkError('invariant', 'no hydrate is under way')
  const { hydrated, covered } = file.meta.get()
  const tables = hydrated.flatMap((name) => file.synced(name) ?? [])
  let deleted = 0
  if (hydrating.sweep) for (const table of tables) deleted += sweep(file, table, hydrating.cursor.version)
  file.came.clear()
  file.setReplica({ hydrating: null, ...(cursor === null ? {} : { cursor }) })
  const names = new Set([...covered, ...tables.map(({ name }) => name)])
  // Live records are all that came: what was deleted before they were read left no tombstone here.
  const forgotten = Math.max(file.meta.get().forgotten, hydrating.cursor.version, hydrating.cursor.read ?? 0)
  file.setMeta({ hydrated: [], covered: [...names].sort(), forgotten })
  return { deleted, touched: new Map(tables.map((table) => [table, 'all'])) }
}

function sweep(file: MemoryFile, table: MemoryTable, head: number): number {
  let deleted = 0
  for (const key of table.stateKeys()) {
    if (file.came.has(rowId({ table: table.name, key }))) continue
    const state = table.state(key)
    if (state.parked !== null && state.parked.was === null && state.parked.record.version <= head) {
      table.setState(key, { ...state, parked: null })
    }
    if (state.agreed !== 'live' || state.version > head || !isAgreed(table, key)) continue
    if (file.replica.overwriting?.includes(table.name) === true) {
      table.marks.set(key, file.time)
      table.setState(key, { ...UNKNOWN, parked: table.state(key).parked })
      continue
    }
    table.drop(key)
    table.marks.delete(key)
    table.setState(key, { ...UNKNOWN, parked: table.state(key).parked })
    deleted++
  }
  return deleted
}
