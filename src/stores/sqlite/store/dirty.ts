import { MAX_KEY_BYTES, utf8Bytes } from '../../../kernel/keys.ts'
import { MAX_ROW_BYTES } from '../../../protocol/limits.ts'
import type { DirtyLimit, DirtyRows, LocalRow, RowKey } from '../../../engine/store.ts'
import type { Encoded, Fields } from '../../../kernel/values.ts'
import { takeSweeps } from '../capture/capture.ts'
import { TABLES_TABLE } from '../capture/names.ts'
import { isPlain } from './claims.ts'
import { suspect } from './compare.ts'
import { withhold } from './holding.ts'
import { markedRows } from './joined-rows.ts'
import { hasLarge, largeBytes } from './large.ts'
import type { Session } from './session.ts'
import {
  changesOf,
  isDirty,
  newLocalRow,
  readAside,
  readStanding,
  standingOf,
  toLocalRow,
  type Standing,
} from './standing.ts'
import { isKeyTooLong, type SyncedTable } from './synced-table.ts'

/** A row met on the way that must not be met again: its mark goes, or it goes into the quarantine. */
interface Met {
  readonly table: string
  readonly key: string
  readonly at: number
  /** Why it cannot be carried; null: it equals its image. */
  readonly fault: string | null
}

/** Rows settled under one lock. */
const SETTLE_CHUNK_ROWS = 1_000

export function readDirty(session: Session, limit: DirtyLimit): DirtyRows {
  const { rows, more, met } = session.read(() => collectDirty(session, limit))
  return { rows, more, refused: settleMet(session, met) }
}

/** Where rows may have been displaced without a mark, those that are gone have to be found before anyone looks. */
export function suspectDisplaced(session: Session): void {
  if (!session.read(() => mayBeDisplaced(session))) return
  session.write(() => {
    for (const name of takeSweeps(session.connection)) suspect(session, name, { goneOnly: true })
  })
}

export const mayBeDisplaced = ({ connection }: Session): boolean =>
  connection.value(`SELECT 1 FROM ${TABLES_TABLE} WHERE "sweep" = 1 LIMIT 1`) !== null

function collectDirty(
  session: Session,
  limit: DirtyLimit,
): { readonly rows: readonly LocalRow[]; readonly more: boolean; readonly met: readonly Met[] } {
  const { after } = limit
  const asked = limit.tables === undefined ? null : new Set(limit.tables)
  // Rows behind those in flight are not in flight themselves.
  const inFlight = session.mutations.isInFlight && after === undefined
  const found: (Standing | LocalRow)[] = []
  const met: Met[] = []
  let bytes = 0
  const isFull = (): boolean => found.length >= limit.rows || (found.length > 0 && bytes >= limit.bytes)
  const isEnough = session.tables.some((table) => {
    if (asked !== null && !asked.has(table.name)) return false
    if (after !== undefined && table.name < after.table) return false
    if (!table.states.hasMarks()) return false
    const aside = readAside(session, table)
    const hasPlainClaims = table.shape.unique.every((index) => isPlain(table, index))
    for (const joined of markedRows(table, after?.table === table.name ? table.bindKey(after.key) : null)) {
      const fresh = hasPlainClaims ? newLocalRow(table, joined, aside) : null
      if (fresh !== null && joined.fields !== null) {
        const size = bytesOfFields(joined.fields)
        if (size * 6 <= MAX_ROW_BYTES && !isKeyTooLong(fresh.key)) {
          if (isFull()) return true
          found.push(fresh)
          bytes += size
          continue
        }
      }
      const row = standingOf(table, joined, aside)
      const isNews = isDirty(row, inFlight)
      const size = isNews ? bytesOf(row) : 0
      const fault = isNews ? faultOf(row, size) : null
      if (!isNews || fault !== null)
        met.push({ table: table.name, key: row.key, at: row.markedAt ?? 0, fault })
      else if (isFull()) return true
      else {
        found.push(row)
        bytes += size
      }
    }
    return false
  })
  // Claims may have to be computed by SQLite, which is not possible while marks are being read.
  const rows = found.map((row) => ('dirty' in row ? row : toLocalRow(row, inFlight)))
  return { rows, more: isEnough, met }
}

function faultOf(row: Standing, size: number): string | null {
  if (isKeyTooLong(row.key)) return `the key is longer than ${MAX_KEY_BYTES} bytes`
  // An estimate is never below the truth by more than escapes and non-ASCII text can make it, nor above it by half:
  // the text of a row that large may be more than a string can hold.
  return size > 2 * MAX_ROW_BYTES || (size * 6 > MAX_ROW_BYTES && exactBytes(row) > MAX_ROW_BYTES)
    ? `the row is larger than ${MAX_ROW_BYTES} bytes`
    : null
}

function changedFields(row: Standing): Fields {
  const { fields, state } = row
  if (fields === null) return {}
  if (state.was !== null || state.image === null) return fields
  return Object.fromEntries(changesOf(row).map((name) => [name, fields[name] ?? null]))
}

const exactBytes = (row: Standing): number => utf8Bytes(JSON.stringify(changedFields(row)))

/** Bytes of what would be sent, about. */
const bytesOf = (row: Standing): number => bytesOfFields(changedFields(row))

function bytesOfFields(fields: Fields): number {
  let bytes = 0
  for (const name in fields) bytes += name.length + 4 + sizeOf(fields[name] ?? null)
  return bytes
}

function sizeOf(value: Encoded): number {
  if (typeof value === 'string') return value.length + 2
  if (typeof value !== 'object' || value === null) return 10
  let size = 4 + largeBytes(value)
  for (const part of Object.values(value)) size += typeof part === 'string' ? part.length + 8 : 16
  return size
}

/** Takes off idle marks and sets apart what cannot be carried, unless it has changed meanwhile. */
function settleMet(session: Session, met: readonly Met[]): number {
  let refused = 0
  for (let from = 0; from < met.length; from += SETTLE_CHUNK_ROWS) {
    const chunk = met.slice(from, from + SETTLE_CHUNK_ROWS)
    session.write(() => {
      const inFlight = session.mutations.isInFlight
      for (const one of chunk) if (settleOne(session, one, inFlight)) refused++
    })
  }
  return refused
}

function settleOne(session: Session, { table: name, key, at, fault }: Met, inFlight: boolean): boolean {
  const table = session.table(name)
  const bounds = table?.bindKey(key) ?? null
  if (table === undefined || bounds === null) return false
  const row = readStanding(session, table, key, bounds)
  if (row.markedAt !== at) return false
  if (!isDirty(row, inFlight)) {
    dropIdleMark(session, row)
    return false
  }
  if (fault === null || faultOf(row, bytesOf(row)) === null) return false
  const op = row.fields === null ? 'delete' : 'put'
  session.quarantine.add(
    table.number,
    key,
    { op, code: 'payload_too_large', message: fault },
    session.clock.now(),
    session.random,
  )
  withhold(session, table, key, bounds, session.time)
  return true
}

/** A mark whose row equals its image. Nothing waits in such a row either, and nothing of it is refused any more. */
function dropIdleMark(session: Session, { table, key }: Standing): void {
  const bounds = table.bindKey(key)
  if (bounds !== null) table.states.removeMark(bounds)
  session.waiting.remove(table.number, key)
  session.quarantine.remove(table.number, key)
}

export function readTouched(session: Session, rows: readonly RowKey[]): readonly LocalRow[] {
  const { touched, met } = session.read(() => collectTouched(session, rows))
  settleMet(session, met)
  if (met.every(({ fault }) => fault === null)) return touched
  return session.read(() => collectTouched(session, rows)).touched
}

function collectTouched(
  session: Session,
  rows: readonly RowKey[],
): { readonly touched: readonly LocalRow[]; readonly met: readonly Met[] } {
  const inFlight = session.mutations.isInFlight
  const quiet = new Map<SyncedTable, boolean>()
  const touched: LocalRow[] = []
  const met: Met[] = []
  for (const { table: name, key } of rows) {
    const table = session.table(name)
    if (table === undefined) continue
    let isQuiet = quiet.get(table)
    if (isQuiet === undefined) {
      isQuiet = !table.states.hasMarks() && session.waiting.isEmpty(table.number)
      quiet.set(table, isQuiet)
    }
    if (isQuiet) continue
    const bounds = table.bindKey(key)
    if (bounds === null) continue
    const markedAt = table.states.readMark(bounds)
    if (markedAt === null && session.waiting.read(table.number, key).at === null) continue
    const row = readStanding(session, table, key, bounds)
    // An idle mark ends the waiting too: the application took its change back.
    if (markedAt !== null && !isDirty(row, inFlight))
      met.push({ table: name, key, at: markedAt, fault: null })
    // It is held before anything is merged with it: what was not read could not be kept.
    else if (markedAt !== null && hasLarge(row.fields))
      met.push({ table: name, key, at: markedAt, fault: faultOf(row, bytesOf(row)) })
    else touched.push(toLocalRow(row, inFlight))
  }
  return { touched, met }
}
