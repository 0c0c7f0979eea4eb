import { bookmarkOf, type ChangeFeed } from '../changes/change-feed.ts'
import type { Place } from './progress.ts'
import type { BatchRows } from './rows.ts'
import { BATCH_TABLES, type BatchRecord, type BatchTable } from './send.ts'

/** What is to be sent next, and how far it is with that. */
export interface NextBatch {
  /** Empty: the lines were of nothing that is sent. */
  readonly records: readonly BatchRecord[]
  readonly place: Place
}

/** Lines looked at in one go: some milliseconds. */
const MAX_LINES = 2_000
/** Characters of a body, which holds one record at least: most servers take less than their users believe. */
const MAX_BODY_CHARS = 4 * 1024 * 1024

/** Where all rows are to be sent: what is committed from now on comes as lines behind them. */
export const beginFull = (feed: ChangeFeed): Place => ({
  bookmark: feed.end(),
  full: { table: BATCH_TABLES[0], after: '' },
})

/** Null: nothing waits. Deletes are not sent: the JSON has no word for them. */
export function collectBatch(
  options: { readonly feed: ChangeFeed; readonly rows: BatchRows; readonly size: number },
  place: Place,
): NextBatch | null {
  return place.full === null ? collectLines(options, place) : collectRows(options, place, place.full)
}

function collectRows(
  { rows, size }: { readonly rows: BatchRows; readonly size: number },
  place: Place,
  { table, after }: NonNullable<Place['full']>,
): NextBatch {
  const ids = rows.idsAfter(table, after, size)
  if (ids.length === 0) {
    const next = BATCH_TABLES[BATCH_TABLES.indexOf(table) + 1]
    return { records: [], place: { ...place, full: next === undefined ? null : { table: next, after: '' } } }
  }
  const records: BatchRecord[] = []
  let chars = 0
  let passed = after
  for (const id of ids) {
    const record = rows.read(table, id)
    chars += record?.json.length ?? 0
    if (records.length > 0 && chars > MAX_BODY_CHARS) break
    if (record !== null) records.push(record)
    passed = id
  }
  return { records, place: { ...place, full: { table, after: passed } } }
}

function collectLines(
  { feed, rows, size }: { readonly feed: ChangeFeed; readonly rows: BatchRows; readonly size: number },
  place: Place,
): NextBatch | null {
  const page = feed.read(place.bookmark, MAX_LINES)
  // The place is gone: another file stands there, or the lines were deleted.
  if (page === null) return { records: [], place: beginFull(feed) }
  if (page.next.seq === place.bookmark.seq) return null
  const records: BatchRecord[] = []
  const seen = new Set<string>()
  let chars = 0
  let passed = place.bookmark
  for (const row of page.rows) {
    const key = `${row.table} ${row.rowId}`
    if (isBatchTable(row.table) && !seen.has(key)) {
      const record = rows.read(row.table, row.rowId)
      chars += record?.json.length ?? 0
      if (records.length >= size || (records.length > 0 && chars > MAX_BODY_CHARS))
        return { records, place: { bookmark: passed, full: null } }
      seen.add(key)
      if (record !== null) records.push(record)
    }
    passed = bookmarkOf(row)
  }
  return { records, place: { bookmark: page.next, full: null } }
}

const isBatchTable = (table: string): table is BatchTable => table === 'sessions' || table === 'messages'
