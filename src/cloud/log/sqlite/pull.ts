import { TidemarkError } from '../../../kernel/errors.ts'
import { DEFAULT_PULL_RECORDS, MAX_PULL_BYTES } from '../../../protocol/limits.ts'
import type { PullRequest } from '../../../protocol/pull.ts'
import { checkFloor, checkHistory } from '../history.ts'
import type { HydratePage } from '../log.ts'
import { compareText } from '../text-order.ts'
import { readSpace, type Space, type Storage } from './space.ts'
import type { RecordRow } from './statements.ts'

export interface Page<T> {
  readonly space: Space
  readonly records: readonly T[]
  readonly next: number
  readonly more: boolean
}

/**
 * One page of a pull, inside one read transaction: the head and the records are of one moment (I4). `give` makes
 * of a row what the caller wants.
 */
export function readPage<T>(
  storage: Storage,
  id: string,
  request: PullRequest,
  give: (space: Space) => (row: RecordRow) => T,
): Page<T> {
  const { statements, names } = storage
  const space = readSpace(storage, id)
  checkHistory(space, request.cursor)
  checkFloor(space, request.cursor.version)
  const { byName } = names.tables(space.no)
  const asked = request.tables === undefined ? null : new Set(request.tables.map((name) => byName.get(name)))
  const limit = request.limit ?? DEFAULT_PULL_RECORDS
  const own = names.writerIfKnown(request.replica)
  const giveRow = give(space)
  const records: T[] = []
  let bytes = 0
  let next = request.cursor.version
  // Own writes above `high` were made by another copy of this replica: the one that asks never saw them (I4).
  const { no, head } = space
  for (const row of statements.recordsSince.iterate(no, next, no, head, own, no, request.cursor.high)) {
    if (asked !== null && !asked.has(row[1])) continue
    if (records.length >= limit || bytes >= MAX_PULL_BYTES) return { space, records, next, more: true }
    records.push(giveRow(row))
    bytes += row[8]?.length ?? 0
    next = row[0]
  }
  return { space, records, next: space.head, more: false }
}

/** Rows read in one go: between two of them the memory of a page is looked at. */
const CHUNK = 250

/** The texts of the next live records, in the order of tables and keys. */
export function readHydratePage(
  storage: Storage,
  id: string,
  after: { readonly table: string; readonly key: string } | null,
  limit: number,
  tables: readonly string[] | undefined,
): HydratePage {
  const { statements, names } = storage
  const { no, head } = readSpace(storage, id)
  const asked = tables === undefined ? null : new Set(tables)
  const inOrder = names.tablesInOrder(no)
  const first = after === null ? 0 : inOrder.findIndex((name) => compareText(name, after.table) >= 0)
  const lines: string[] = []
  let bytes = 0
  let last: HydratePage['last'] = null
  for (const table of first < 0 ? [] : inOrder.slice(first)) {
    const number = names.tables(no).byName.get(table)
    if (number === undefined || (asked !== null && !asked.has(table))) continue
    const start = `{"table":${JSON.stringify(table)},"key":`
    let key = table === after?.table ? after.key : ''
    for (let more = true; more && lines.length < limit;) {
      const count = Math.min(CHUNK, limit - lines.length)
      const rows = statements.liveTexts.all(start, number, key, count)
      more = rows.length === count
      for (const [next, short] of rows) {
        const line = short ?? statements.liveText.get(start, number, next)
        if (line === undefined) throw new TidemarkError('invariant', 'a record went during one read')
        lines.push(line)
        bytes += line.length
        key = next
        last = { table, key }
        if (bytes >= MAX_PULL_BYTES) return { head, lines, last }
      }
    }
    if (lines.length >= limit) break
  }
  return { head, lines, last }
}
