import { sameValue, setOwn, type Encoded, type Fields } from '../../../kernel/values.ts'
import type { PushRequest } from '../../../protocol/push.ts'
import type { Change, Cursor, Generation } from '../../../protocol/records.ts'
import { keyColumn } from '../capture/names.ts'
import type { Bounds } from './bind.ts'
import { release } from './holding.ts'
import { markSql } from './joined-rows.ts'
import { stateTable } from './names.ts'
import type { Session } from './session.ts'
import { differs, readStanding } from './standing.ts'
import { StateFlag } from './state-tables.ts'
import { NO_STATE, type RowState } from './states.ts'
import type { SyncedTable } from './synced-table.ts'

/** A lost value is older than any edit made since, so the mark of an offered row is of the first moment there was. */
const LOST_AT = 1n

/** Offers everything above `common` again; see the port. */
export function rebase(
  session: Session,
  cursor: Cursor,
  common: number,
  generations: readonly Generation[],
): number {
  let offered = 0
  for (const table of session.tables) offered += rebaseTable(session, table, common)
  session.notebook.loseAbove(common)
  const { meta } = session
  meta.set('cursor', cursor)
  meta.set('generations', generations)
  meta.set('asides', [])
  // The floor is one of the new history from here on.
  meta.set('floor', 0)
  // Rows whose deletion was lost are live in the cloud again, and nothing here tells which: they have to be read.
  if (common < meta.get('forgotten')) {
    meta.set('covered', [])
    meta.set('forgotten', 0)
  }
  return offered
}

function rebaseTable(session: Session, table: SyncedTable, common: number): number {
  const { connection } = session
  const kept: Bounds[] = []
  for (const [key, { at }] of session.waiting.list(table.number)) {
    if (!session.quarantine.has(table.number, key)) release(session, table, key)
    else if (at !== null) {
      const bounds = table.bindKey(key)
      // Refused rows go on waiting, without a mark.
      if (bounds !== null && table.states.readMark(bounds) === null) kept.push(bounds)
    }
  }
  const parked = session.parking.list(table.number).filter(({ record }) => record.version > common)
  const isStanding = new Map(parked.map(({ key }) => [key, hasOwnRow(session, table, key)]))
  const state = stateTable(table.number)
  const keys = table.keyNames.map((_, at) => keyColumn(at)).join(', ')
  const lost = `version > ? AND agreed & ${StateFlag.live | StateFlag.deleted}`
  connection
    .prepare(markSql(table, `SELECT ${keys}, ? FROM ${state} WHERE ${lost}`))
    .run(LOST_AT, BigInt(common))
  const { changes } = connection
    .prepare(`UPDATE ${state} SET was = ifnull(was, version), version = ? WHERE ${lost}`)
    .run(BigInt(common), BigInt(common))
  for (const bounds of kept) table.states.removeMark(bounds)
  let offered = changes
  for (const { key, record, reason, was, unseen } of parked) {
    const bounds = table.bindKey(key)
    const stands = isStanding.get(key) === true
    const isCounted = bounds !== null && table.states.read(bounds)?.was != null
    const lostRecord = { ...record, version: common }
    session.parking.write(
      table.number,
      key,
      { record: lostRecord, reason, was: stands ? null : (was ?? record.version), lost: stands, unseen },
      null,
    )
    if (bounds !== null && !stands) table.states.addMark(bounds, Math.max(1, record.hlc))
    if (!isCounted) offered++
  }
  return offered
}

/** A dirty row at the key is what this replica has to say of it; the parked record waits for the cloud's. */
function hasOwnRow(session: Session, table: SyncedTable, key: string): boolean {
  const row = readStanding(session, table, key)
  return row.markedAt !== null && differs(row)
}

/** Another identity. What the dropped mutation may have done in the cloud must not undo what was written since. */
export function adopt(session: Session, replica: string): void {
  const inFlight = session.mutations.read()
  for (const change of inFlight?.parts.flatMap(changesOf) ?? []) {
    const table = session.table(change.table)
    const bounds = table?.bindKey(change.key) ?? null
    if (table !== undefined && bounds !== null) doubt(session, table, bounds, change)
  }
  session.mutations.reset()
  session.meta.set('identity', { ...session.meta.get('identity'), replica })
}

const changesOf = (body: string): readonly Change[] => (JSON.parse(body) as PushRequest).changes

/** Where the row went back to its image since it was pushed, the image becomes what was pushed. */
function doubt(
  session: Session,
  table: SyncedTable,
  bounds: Bounds,
  { key, op, base, fields = {} }: Change,
): void {
  const row = readStanding(session, table, key, bounds)
  const pushed = table.own(fields)
  if (differs(row)) return doubtColumns(table, bounds, row.fields, row.state, pushed)
  if (op === 'delete' && row.fields !== null) {
    table.states.write(bounds, { ...NO_STATE, version: base, agreed: 'deleted' })
  } else if (op === 'put' && row.fields === null && row.state.agreed !== 'live') {
    const image = Uint8Array.from(table.codec.encode(pushed))
    table.states.write(bounds, { ...row.state, version: base, agreed: 'live', image, own: true })
  } else doubtColumns(table, bounds, row.fields, row.state, pushed)
  if (differs(readStanding(session, table, key, bounds))) table.states.addMark(bounds, session.time)
}

function doubtColumns(
  table: SyncedTable,
  bounds: Bounds,
  row: Fields | null,
  state: RowState,
  pushed: Fields,
): void {
  if (row === null || state.agreed !== 'live' || state.image === null) return
  const changed = new Set(table.codec.changed(row, state.image))
  const doubted: { [name: string]: Encoded } = {}
  for (const name of table.names) {
    const value = pushed[name]
    if (value !== undefined && !changed.has(name) && !sameValue(row[name], value))
      setOwn(doubted, name, value)
  }
  const image = Uint8Array.from(table.codec.encode(doubted, state.image))
  table.states.write(bounds, { ...state, image })
}
