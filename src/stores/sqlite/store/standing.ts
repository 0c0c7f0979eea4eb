import type { LocalRow } from '../../../engine/store.ts'
import type { Hlc } from '../../../kernel/hlc.ts'
import type { Fields } from '../../../kernel/values.ts'
import type { Bounds } from './bind.ts'
import { claimsOf } from './claims.ts'
import type { JoinedRow } from './joined-rows.ts'
import type { Parked } from './parking.ts'
import type { Session } from './session.ts'
import { NO_STATE, type RowState } from './states.ts'
import type { SyncedTable } from './synced-table.ts'
import { NO_WAIT, type Wait } from './waiting.ts'

/** Everything that is known of one row, in one place. */
export interface Standing {
  readonly table: SyncedTable
  readonly key: string
  readonly fields: Fields | null
  readonly state: RowState
  /** Time of the mark; null when there is none. */
  readonly markedAt: Hlc | null
  /** Time of the mark that was taken off while the row waits. */
  readonly heldAt: Hlc | null
  /** The newest version it met while it waited; see `Wait`. */
  readonly met: number
  readonly parked: Parked | null
  /** Columns that differ from the image, once that was asked. */
  changes?: readonly string[]
}

/** A key that no row of the table can have stands nowhere, but may be parked. */
export function readStanding(
  session: Session,
  table: SyncedTable,
  key: string,
  bound?: Bounds | null,
): Standing {
  const bounds = bound === undefined ? table.bindKey(key) : bound
  const known = { table, key, ...asideOf(session, table, key) }
  if (bounds === null) return { ...known, fields: null, state: NO_STATE, markedAt: null }
  const state = table.states.read(bounds) ?? NO_STATE
  return { ...known, fields: table.rows.read(bounds), state, markedAt: table.states.readMark(bounds) }
}

/** What lies beside the rows of a table, read at once: nothing else can be read while its rows are being read. */
export interface Aside {
  readonly waiting: ReadonlyMap<string, Wait>
  /** Parked records that are offered. */
  readonly offered: ReadonlyMap<string, Parked>
}

export function readAside(session: Session, table: SyncedTable): Aside {
  const offered = session.parking.listOffered(table.number)
  return {
    waiting: session.waiting.list(table.number),
    offered: new Map(offered.map((parked) => [parked.key, parked])),
  }
}

export function standingOf(table: SyncedTable, row: JoinedRow, aside: Aside): Standing {
  const { key, fields, at } = row
  const { at: heldAt, met } = aside.waiting.get(key) ?? NO_WAIT
  const parked = aside.offered.get(key) ?? null
  return { table, key, fields, state: row.state ?? NO_STATE, markedAt: at, heldAt, met, parked }
}

function asideOf(
  session: Session,
  table: SyncedTable,
  key: string,
): Pick<Standing, 'heldAt' | 'met' | 'parked'> {
  const { number } = table
  const { at: heldAt, met } = session.waiting.read(number, key)
  return { heldAt, met, parked: session.parking.read(number, key) }
}

/** True when the row is not what was agreed, marked or not. */
export function differs(row: Standing): boolean {
  if (row.state.image === null || row.fields === null)
    return (row.state.image === null) !== (row.fields === null)
  return changesOf(row).length > 0
}

/** Columns that differ from the image; none where there is no row or no image. */
export function changesOf(row: Standing): readonly string[] {
  const { table, fields, state } = row
  if (state.image === null || fields === null) return []
  return (row.changes ??= changedColumns(table, fields, state.image))
}

export function changedColumns(table: SyncedTable, fields: Fields, image: Uint8Array): readonly string[] {
  // Equal bytes are the rule. Unequal ones may still mean the same: cells that are absent, columns that are gone.
  return Buffer.compare(table.codec.encode(fields), image) === 0 ? [] : table.codec.changed(fields, image)
}

export const equalsImage = (table: SyncedTable, fields: Fields, image: Uint8Array): boolean =>
  changedColumns(table, fields, image).length === 0

/** True when a marked row has to be sent: it differs, met what it does not know, or is offered again. */
export function hasNews(row: Standing): boolean {
  return (
    row.state.was !== null || row.met > 0 || (row.parked !== null && row.parked.was !== null) || differs(row)
  )
}

/** Marked, and with news; while a mutation is in flight only its answer tells whether there is news. */
export function isDirty(row: Standing, inFlight: boolean): boolean {
  return row.markedAt !== null && (inFlight || hasNews(row))
}

export const isHeld = (row: Standing, inFlight: boolean): boolean =>
  row.heldAt !== null && !isDirty(row, inFlight)

/** True when the row is agreed with the cloud as it is: nothing here is unsent. */
export function isAgreed(row: Standing): boolean {
  return (
    row.state.agreed === 'live' &&
    row.heldAt === null &&
    row.met === 0 &&
    row.state.was === null &&
    !differs(row)
  )
}

/**
 * A dirty row of which nothing was ever agreed, and nothing waits or is parked, as the engine sees it; null for any
 * other. What `toLocalRow` comes to, for the rows of a first upload. SQLite computes none of the table's claims.
 */
export function newLocalRow(table: SyncedTable, row: JoinedRow, aside: Aside): LocalRow | null {
  const { key, fields, state, at } = row
  if (state !== null || fields === null || at === null) return null
  if (aside.waiting.size > 0 || aside.offered.size > 0) return null
  return {
    table: table.name,
    key,
    dirty: true,
    held: false,
    at,
    fields,
    base: 0,
    agreed: 'none',
    changed: table.names,
    claims: table.shape.unique.length === 0 ? NO_CLAIMS : claimsOf(table, key, fields, null),
    was: null,
  }
}

const NO_CLAIMS = {}

/** The row as the engine sees it. */
export function toLocalRow(row: Standing, inFlight: boolean): LocalRow {
  const { table, key, state, fields, parked } = row
  const dirty = isDirty(row, inFlight)
  const held = isHeld(row, inFlight)
  const at = dirty ? (row.markedAt ?? 0) : held ? (row.heldAt ?? 0) : 0
  const place = { table: table.name, key, dirty, held, at }
  if (parked !== null && parked.was !== null && !differs(row)) {
    // Offered is the parked record, not the table's row.
    const { record, was } = parked
    const whole = record.fields ?? {}
    const claims = claimsOf(table, key, table.own(whole), null)
    return {
      ...place,
      fields: whole,
      base: record.version,
      agreed: 'live',
      changed: Object.keys(whole),
      claims,
      was,
    }
  }
  const { version: base, agreed, was } = state
  if (fields === null) return { ...place, fields, base, agreed, changed: [], claims: {}, was }
  if (agreed !== 'live' || was !== null || state.image === null) {
    // Whole rows carry what newer replicas know of them, or it would be lost with the row the cloud has not.
    const whole = state.extra === null ? fields : { ...state.extra, ...fields }
    return {
      ...place,
      fields: whole,
      base,
      agreed,
      changed: Object.keys(whole),
      claims: claimsOf(table, key, fields, null),
      was,
    }
  }
  const changed = changesOf(row)
  return { ...place, fields, base, agreed, changed, claims: claimsOf(table, key, fields, changed), was }
}
