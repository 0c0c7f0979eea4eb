import { TidemarkError } from '../../../kernel/errors.ts'
import type { Encoded } from '../../../kernel/values.ts'
import type { HydratePlace } from '../../../protocol/pull.ts'
import type { Cursor } from '../../../protocol/records.ts'
import type { HydrateState, Publication } from '../../../engine/store.ts'
import { setApplying } from '../capture/capture.ts'
import { keyColumn } from '../capture/names.ts'
import { decodeValue, placesOf, selectList } from './decode.ts'
import { noteIntegrity, type Touched } from './integrity.ts'
import { stateTable } from './names.ts'
import { failureOf, isPoisoned, withoutPoison, type Poison } from './publish/obstacle.ts'
import { deleteRow, writing } from './publish/write-row.ts'
import type { Session } from './session.ts'
import { isAgreed, readStanding } from './standing.ts'
import { StateFlag } from './state-tables.ts'
import { NO_STATE } from './states.ts'
import type { SyncedTable } from './synced-table.ts'
import { withoutSyncedTriggers } from './user-triggers.ts'

export function startHydrate(session: Session, hydrating: HydrateState): void {
  session.write(() => {
    const { meta } = session
    const names = hydrating.tables ?? session.tables.map(({ name }) => name)
    meta.set('hydrating', hydrating)
    meta.set('hydrated', names)
    if (!hydrating.sweep) return
    for (const name of names) {
      const table = session.table(name)
      if (table !== undefined) expectAll(session, table, hydrating.cursor.version)
    }
  })
}

/** Every row that the cloud should have is unseen until it comes. What is written meanwhile is not swept. */
function expectAll(session: Session, table: SyncedTable, head: number): void {
  session.connection
    .prepare(
      `UPDATE ${stateTable(table.number)} SET agreed = agreed | ${StateFlag.unseen} WHERE image IS NOT NULL AND version <= ?`,
    )
    .run(BigInt(head))
  session.parking.expectAll(table.number, head)
}

/** Where the hydrate goes on, and which rows it brought, so that the sweep spares them. */
export function noteArrivals(session: Session, publication: Publication, place: HydratePlace): void {
  const { records, merged } = publication
  const hydrating = session.meta.get('hydrating')
  if (hydrating === null) return
  session.meta.set('hydrating', { ...hydrating, place, cursor: cursorAfter(hydrating.cursor, publication) })
  if (!hydrating.sweep) return
  for (const { table: name, key } of [...records, ...merged.map(({ read }) => read)]) {
    const table = session.table(name)
    const bounds = table?.bindKey(key) ?? null
    if (table === undefined) continue
    session.parking.see(table.number, key)
    if (bounds !== null) table.states.see(bounds)
  }
}

/** Rows may be newer than the head at which the hydrate began: a history lost later is noticed by them (I11). */
function cursorAfter(cursor: Cursor, { records, merged, generations, read }: Publication): Cursor {
  let { high } = cursor
  for (const { version } of records) if (version > high) high = version
  for (const { record } of merged) if (record !== null && record.version > high) high = record.version
  const last = Math.max(cursor.read ?? 0, read ?? 0)
  return {
    ...cursor,
    high,
    ...(last > 0 ? { read: last } : {}),
    generation: generations?.at(-1)?.id ?? cursor.generation,
  }
}

/** The end of a hydrate: what the cloud no longer has goes, its tables are covered. */
export function finishHydrate(session: Session, cursor: Cursor | null): { readonly deleted: number } {
  return withoutPoison((poison) => finishOnce(session, cursor, poison))
}

function finishOnce(session: Session, cursor: Cursor | null, poison: Poison): { readonly deleted: number } {
  const touched: Touched = new Map()
  let schemaVersion = 0
  const deleted = session.apply(() => {
    const { meta } = session
    const hydrating = meta.get('hydrating')
    if (hydrating === null) throw new TidemarkError('invariant', 'no hydrate is under way')
    const tables = meta.get('hydrated').flatMap((name) => session.table(name) ?? [])
    for (const table of tables) touched.set(table.number, 'all')
    const swept = hydrating.sweep ? sweepTables(session, tables, poison) : 0
    meta.set('hydrating', null)
    // Live records are all that came: what was deleted before they were read left no tombstone here.
    meta.set(
      'forgotten',
      Math.max(meta.get('forgotten'), hydrating.cursor.version, hydrating.cursor.read ?? 0),
    )
    if (cursor !== null) meta.set('cursor', cursor)
    meta.set('covered', [...new Set([...meta.get('covered'), ...tables.map(({ name }) => name)])].sort())
    meta.set('hydrated', [])
    schemaVersion = session.schemaVersion
    return swept
  })
  session.keepCatalogue(schemaVersion)
  noteIntegrity(session, touched)
  return { deleted }
}

function sweepTables(session: Session, tables: readonly SyncedTable[], poison: Poison): number {
  setApplying(session.connection, true)
  const deleted = withoutSyncedTriggers(
    session,
    tables.map(({ name }) => name),
    () => tables.reduce((sum, table) => sum + sweep(session, table, poison), 0),
  )
  setApplying(session.connection, false)
  return deleted
}

function sweep(session: Session, table: SyncedTable, poison: Poison): number {
  session.parking.removeUnseen(table.number)
  return unseenKeys(table).filter(
    (key) => !isPoisoned(poison, table.name, key) && sweepRow(session, table, key),
  ).length
}

function sweepRow(session: Session, table: SyncedTable, key: string): boolean {
  const bounds = table.bindKey(key)
  if (bounds === null || !isAgreed(readStanding(session, table, key, bounds))) return false
  if (session.meta.get('overwriting')?.includes(table.name) === true) {
    table.states.addMark(bounds, session.time)
    table.states.write(bounds, NO_STATE)
    return false
  }
  try {
    writing(table, key, () => deleteRow(table, bounds))
  } catch (error) {
    // The application's own rules keep the row; it is an ordinary row of this file then.
    if (failureOf(error) === null) throw error
    return false
  }
  table.states.removeMark(bounds)
  table.states.write(bounds, NO_STATE)
  return true
}

function unseenKeys(table: SyncedTable): readonly string[] {
  const keys = selectList(
    '',
    table.keyNames.map((_, at) => keyColumn(at)),
    'exact',
  )
  return table.connection
    .prepare(`SELECT ${keys} FROM ${stateTable(table.number)} WHERE agreed & ${StateFlag.unseen}`)
    .all()
    .map((row) => {
      const values = table.keyNames.map((_, at) =>
        decodeValue(row, at * placesOf('exact'), 'exact', table.encoding),
      )
      return table.keyOfValues(values as readonly Encoded[])
    })
}
