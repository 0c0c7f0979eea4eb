import type { Fields } from '../../../kernel/values.ts'
import { TidemarkError } from '../../../kernel/errors.ts'
import type { WireRecord } from '../../../protocol/records.ts'
import type { Settlement } from '../../../engine/store.ts'
import { setApplying } from '../capture/capture.ts'
import { SqliteFailure } from '../driver/failure.ts'
import { release } from './holding.ts'
import { noteIntegrity } from './integrity.ts'
import { applyToTable } from './publish/apply.ts'
import { withoutPoison, type Poison } from './publish/obstacle.ts'
import { liveState } from './publish/settle.ts'
import { rowAfter, type Outcome, type Target } from './publish/target.ts'
import { deleteRow, writeRow } from './publish/write-row.ts'
import type { Session } from './session.ts'
import { hasNews, readStanding } from './standing.ts'
import { NO_STATE, type RowState } from './states.ts'
import type { SyncedTable } from './synced-table.ts'
import { Unfit } from './unfit.ts'
import { withoutSyncedTriggers } from './user-triggers.ts'

/** Closes an entry; see the port. Runs inside a transaction. */
export function settleEntry(session: Session, id: string, settlement: Settlement): void {
  const stored = session.notebook.find(id)
  if (stored === null) throw new TidemarkError('not_found', 'there is no such inbox entry')
  const { entry, lost } = stored
  const table = session.table(entry.table)
  if (entry.chosen === 'waits' && table !== undefined) {
    if (settlement.agree !== undefined && !lost) agreeOn(session, settlement.agree)
    release(session, table, entry.key)
  }
  if (settlement.edit !== undefined) edit(session, settlement.edit)
  session.notebook.settle(id, settlement.status, settlement.choice)
}

/** The image becomes the record; the row stays, so that what differs is an edit of it. */
function agreeOn(session: Session, record: WireRecord): void {
  const table = session.table(record.table)
  const bounds = table?.bindKey(record.key) ?? null
  if (table === undefined || bounds === null) return
  const before = table.states.read(bounds) ?? NO_STATE
  if (before.version > record.version) return
  const parked = session.parking.read(table.number, record.key)
  if (parked !== null && parked.record.version <= record.version)
    session.parking.remove(table.number, record.key)
  // While it was held it may have met a newer one than this.
  const wait = session.waiting.read(table.number, record.key)
  session.waiting.write(table.number, record.key, { ...wait, met: wait.met > record.version ? wait.met : 0 })
  const state: RowState =
    record.deleted === true
      ? { ...NO_STATE, version: record.version, agreed: 'deleted', extra: before.extra }
      : { ...liveState(table, before, record, null), own: before.own }
  table.states.write(bounds, state)
}

/** The named columns of a row; all of them when none are named. */
function pickFields(fields: Fields | null, columns: readonly string[] | undefined): Fields | null {
  if (fields === null || columns === undefined) return fields
  return Object.fromEntries(Object.entries(fields).filter(([column]) => columns.includes(column)))
}

/** Writes a row as the application would: its triggers and capture's see it, its constraints hold. */
function edit(
  session: Session,
  { table: name, key, fields: whole, columns }: NonNullable<Settlement['edit']>,
): void {
  const table = session.table(name)
  const bounds = table?.bindKey(key) ?? null
  if (table === undefined) throw new TidemarkError('unprocessable', 'the table of this row is gone')
  if (bounds === null) throw new TidemarkError('unprocessable', 'the row has another key')
  const now = table.rows.read(bounds)
  const fields = now === null ? whole : pickFields(whole, columns)
  const target: Target = { key, bounds, record: null, kind: 'keep', fields, at: 0, fresh: true }
  const row = rowAfter(table, target, now)
  try {
    if (row !== null) writeRow(table, key, bounds, row, now)
    else if (now !== null) deleteRow(table, bounds)
  } catch (error) {
    if (error instanceof Unfit) throw new TidemarkError('unprocessable', error.message, { cause: error })
    if (!(error instanceof SqliteFailure) || error.constraint === null) throw error
    const details = { constraint: error.constraint, names: error.names }
    throw new TidemarkError('unprocessable', 'the row breaks a rule of its table', { details, cause: error })
  }
  table.states.addMark(bounds, session.time)
}

export function retryQuarantined(session: Session, id: string): boolean {
  return session.write(() => {
    const found = session.quarantine.find(id)
    if (found === null) return false
    session.quarantine.remove(found.table, found.key)
    const table = tableOf(session, found.table)
    if (table !== undefined) release(session, table, found.key)
    return true
  })
}

/** Gives a refused change up: the row becomes the record, or goes. */
export function dropQuarantined(session: Session, id: string, record: WireRecord | null): boolean {
  return withoutPoison((poison) => dropOnce(session, id, record, poison))
}

function dropOnce(session: Session, id: string, record: WireRecord | null, poison: Poison): boolean {
  const outcome: Outcome = { applied: 0, tables: new Map(), parked: 0, touched: new Map() }
  let schemaVersion = 0
  const done = session.apply(() => {
    const found = session.quarantine.find(id)
    if (found === null) return false
    session.quarantine.remove(found.table, found.key)
    const table = tableOf(session, found.table)
    if (table !== undefined) dropChange(session, table, found.key, record, { outcome, poison })
    schemaVersion = session.schemaVersion
    return true
  })
  if (done) session.keepCatalogue(schemaVersion)
  noteIntegrity(session, outcome.touched ?? new Map())
  return done
}

function dropChange(
  session: Session,
  table: SyncedTable,
  key: string,
  record: WireRecord | null,
  { outcome, poison }: { readonly outcome: Outcome; readonly poison: Poison },
): void {
  const row = readStanding(session, table, key)
  // Changed again since: that change is in the outbox, and giving up the old one must not take it along (I1).
  if (row.markedAt !== null && hasNews(row)) return
  if (record !== null && record.version < row.state.version) {
    throw new TidemarkError('invariant', 'the record is older than what the row agreed on')
  }
  if (record !== null && (record.table !== table.name || record.key !== key)) {
    throw new TidemarkError('invariant', 'the record is of another row')
  }
  const target: Target = {
    key,
    bounds: table.bindKey(key),
    record,
    kind: 'take',
    fields: null,
    at: 0,
    fresh: true,
  }
  setApplying(session.connection, true)
  withoutSyncedTriggers(session, [table.name], () =>
    applyToTable(
      session,
      { table, clean: [], targets: [target], acknowledged: new Map() },
      poison.get(table.name) ?? new Set(),
      outcome,
    ),
  )
  setApplying(session.connection, false)
  meetAgain(session, table, target, row.met)
}

/** Something newer came while the record was on its way: the row is sent as it is, for the answer brings that again (I4). */
function meetAgain(session: Session, table: SyncedTable, { key, bounds, record }: Target, met: number): void {
  if (record === null || bounds === null || met <= record.version) return
  if (session.parking.read(table.number, key) !== null) return
  session.waiting.write(table.number, key, { at: null, met })
  table.states.addMark(bounds, session.time)
}

const tableOf = (session: Session, number: number): SyncedTable | undefined =>
  session.tables.find((table) => table.number === number)
