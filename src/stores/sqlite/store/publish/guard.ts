import { sameFields } from '../../../../kernel/values.ts'
import type { LocalRow, Publication, RowKey } from '../../../../engine/store.ts'
import type { WireRecord } from '../../../../protocol/records.ts'
import type { Session } from '../session.ts'
import { isDirty, isHeld, readStanding, toLocalRow } from '../standing.ts'
import { NO_STATE, type RowState } from '../states.ts'
import type { SyncedTable } from '../synced-table.ts'
import type { Acknowledged } from './acknowledge.ts'
import { tellsMore, type CleanRecord } from './apply.ts'

/** Merged rows that no longer are as they were read. */
export function movedReadings(session: Session, { merged }: Publication): readonly RowKey[] {
  const inFlight = session.mutations.isInFlight
  return merged
    .filter(({ read }) => {
      const table = session.table(read.table)
      return (
        table === undefined ||
        !isSameReading(read, toLocalRow(readStanding(session, table, read.key), inFlight))
      )
    })
    .map(({ read: { table, key } }) => ({ table, key }))
}

/** True when two readings of a row are of the same row: what a merge was decided on still holds. */
function isSameReading(a: LocalRow, b: LocalRow): boolean {
  if (a.base !== b.base || a.agreed !== b.agreed || a.dirty !== b.dirty || a.held !== b.held) return false
  if (a.at !== b.at || a.was !== b.was) return false
  if (a.fields === null || b.fields === null) return a.fields === b.fields
  return sameFields(a.fields, b.fields)
}

/** The records of one table that say something new, or of which that is not known yet. */
export interface TableNews {
  readonly table: SyncedTable
  readonly records: readonly (Omit<CleanRecord, 'bounds'> & {
    readonly bounds: CleanRecord['bounds'] | null
  })[]
}

export interface News {
  readonly tables: readonly TableNews[]
  /** Rows that have become dirty or held. */
  readonly moved: readonly RowKey[]
}

/** The newest record of each row, without those that are merged and those of tables that are not synced. */
export function newestRecords({
  records,
  merged,
  imagesOnly,
}: Publication): ReadonlyMap<string, ReadonlyMap<string, WireRecord>> {
  const decided = new Set(imagesOnly === true ? [] : merged.map(({ read }) => `${read.table}\0${read.key}`))
  const tables = new Map<string, Map<string, WireRecord>>()
  for (const record of records) {
    if (decided.size > 0 && decided.has(`${record.table}\0${record.key}`)) continue
    let newest = tables.get(record.table)
    if (newest === undefined) tables.set(record.table, (newest = new Map()))
    const other = newest.get(record.key)
    if (other === undefined || other.version < record.version) newest.set(record.key, record)
  }
  return tables
}

/**
 * What the records say that is not known, and whose rows are in their way. In a table where nothing is marked,
 * waits or is parked no row can be; there states are compared while applying, if rows are likely to be new.
 */
export function readNews(session: Session, publication: Publication, acknowledged: Acknowledged): News {
  const tables: TableNews[] = []
  const moved: RowKey[] = []
  for (const [name, newest] of newestRecords(publication)) {
    const table = session.table(name)
    if (table === undefined) continue
    const known = acknowledged.get(name)
    const isQuiet =
      !table.states.hasMarks() &&
      session.waiting.isEmpty(table.number) &&
      session.parking.isEmpty(table.number)
    const records: TableNews['records'][number][] = []
    for (const record of newest.values()) {
      const bounds = table.bindKey(record.key)
      if (isQuiet && publication.place !== undefined && known === undefined) {
        records.push({ record, bounds, state: undefined })
        continue
      }
      const state = bounds === null ? NO_STATE : (table.states.read(bounds) ?? NO_STATE)
      const isNew = isNews(session, table, record, state, known?.has(record.key) === true)
      const isMore = publication.place !== undefined && tellsMore(table, record, state)
      if (!isNew && !isMore) continue
      const isInTheWay = !isQuiet && publication.imagesOnly !== true && isTouched(session, table, record.key)
      // A known record is never merged with an edit of its row: it would be in the way for ever.
      if (isInTheWay && !isNew) continue
      records.push({ record, bounds, state })
      if (isInTheWay) moved.push({ table: name, key: record.key })
    }
    tables.push({ table, records })
  }
  return { tables, moved }
}

function isNews(
  session: Session,
  table: SyncedTable,
  record: WireRecord,
  { version }: RowState,
  isAcknowledged: boolean,
): boolean {
  // The answer to a push may hold more than was pushed, at the very version that the push got.
  if (isAcknowledged && record.version >= version) return true
  const parked = session.parking.read(table.number, record.key)
  return record.version > Math.max(version, parked?.record.version ?? 0)
}

function isTouched(session: Session, table: SyncedTable, key: string): boolean {
  const row = readStanding(session, table, key)
  // The mutation that was in flight is settled by now.
  return isDirty(row, false) || isHeld(row, false)
}
