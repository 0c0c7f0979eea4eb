import type { Fields } from '../../kernel/values.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { Random } from '../../kernel/random.ts'
import type { WireRecord } from '../../protocol/records.ts'
import type { InboxEntry, QuarantineEntry } from '../../engine/inbox.ts'
import type { Settlement } from '../../engine/store.ts'
import { applyTargets } from './apply.ts'
import { rowId, type MemoryFile } from './file.ts'
import { release } from './holding.ts'
import { differs, extrasOf, hasNews, rowOf } from './local-row.ts'
import { noteIntegrity, setStatus } from './notes.ts'

export function listInbox(
  file: MemoryFile,
  filter: { readonly open?: boolean; readonly limit?: number },
): readonly InboxEntry[] {
  const entries = [...file.inbox.entries()].map(([, { entry }]) => entry).reverse()
  const { open, limit } = filter
  const wanted = open === undefined ? entries : entries.filter(({ status }) => (status === 'open') === open)
  return limit === undefined ? wanted : wanted.slice(0, limit)
}

/** Closes an entry; see the port. */
export function settleEntry(file: MemoryFile, id: string, settlement: Settlement): void {
  const stored = file.inbox.get(id)
  if (stored === undefined) throw new TidemarkError('not_found', 'there is no such inbox entry')
  const { entry } = stored
  const table = file.synced(entry.table)
  if (entry.chosen === 'waits' && table !== undefined) {
    if (settlement.agree !== undefined && !stored.lost) agreeOn(file, settlement.agree)
    release(table, entry.key)
  }
  if (settlement.edit !== undefined) edit(file, settlement.edit)
  setStatus(file, stored, settlement.status)
}

/** The image becomes the record; the row stays, so that what differs is an edit of it. */
function agreeOn(file: MemoryFile, record: WireRecord): void {
  const table = file.synced(record.table)
  if (table === undefined) return
  const state = table.state(record.key)
  if (state.version > record.version) return
  const { version, hlc, by } = record
  const live = record.deleted !== true
  const parked = state.parked !== null && state.parked.record.version <= version ? null : state.parked
  const image = live ? (record.fields ?? {}) : extrasOf(table, state.image)
  const agreed = live ? 'live' : 'deleted'
  // While it was held it may have met a newer one than this.
  const met = state.met > version ? state.met : 0
  table.setState(record.key, { ...state, version, hlc, by, agreed, image, met, was: null, parked })
}

/** The named columns of a row; all of them when none are named. */
function pickFields(fields: Fields | null, columns: readonly string[] | undefined): Fields | null {
  if (fields === null || columns === undefined) return fields
  return Object.fromEntries(Object.entries(fields).filter(([column]) => columns.includes(column)))
}

/** Writes a row as the application would: marked, and within the table's constraints. */
function edit(
  file: MemoryFile,
  { table: name, key, fields: whole, columns }: NonNullable<Settlement['edit']>,
): void {
  const table = file.synced(name)
  if (table === undefined) throw new TidemarkError('unprocessable', 'the table of this row is gone')
  const fields = table.rows.has(key) ? pickFields(whole, columns) : whole
  table.marks.set(key, file.time)
  if (fields === null) return table.drop(key)
  const row = rowOf(table, fields, table.rows.get(key))
  if (table.keyOf(row) !== key) throw new TidemarkError('unprocessable', 'the row has another key')
  const fault = table.faultOf(row)
  if (fault !== null) {
    throw new TidemarkError('unprocessable', `the row breaks a rule of its table: ${fault.rule}`, {
      details: { ...fault },
    })
  }
  const [claim] = table.blockersOf(key, row).keys()
  if (claim !== undefined) {
    throw new TidemarkError('unprocessable', 'another row holds a unique value of this one', {
      details: { claim },
    })
  }
  table.put(key, row)
}

/** The entry with this id, and the key under which it is kept. */
function findQuarantined(file: MemoryFile, id: string): readonly [string, QuarantineEntry] | undefined {
  return [...file.quarantine.entries()].find(([, entry]) => entry.id === id)
}

export function retryQuarantined(file: MemoryFile, id: string): boolean {
  const found = findQuarantined(file, id)
  if (found === undefined) return false
  const [at, entry] = found
  file.quarantine.delete(at)
  const table = file.synced(entry.table)
  if (table !== undefined) release(table, entry.key)
  return true
}

export function dropQuarantined(
  file: MemoryFile,
  id: string,
  record: WireRecord | null,
  random: Random,
): boolean {
  const found = findQuarantined(file, id)
  if (found === undefined) return false
  const [at, { key, table: name }] = found
  file.quarantine.delete(at)
  const table = file.synced(name)
  // Changed again since: that change is in the outbox, and giving up the old one must not take it along (I1).
  if (table === undefined || (table.marks.has(key) && hasNews(table, key))) return true
  const { version, met } = table.state(key)
  if (record !== null && record.version < version) {
    throw new TidemarkError('invariant', 'the record is older than what the row agreed on')
  }
  if (record !== null && rowId(record) !== rowId({ table: name, key })) {
    throw new TidemarkError('invariant', 'the record is of another row')
  }
  const target = { key, record, fields: null, kind: 'take', at: 0, fresh: true } as const
  const { touched } = applyTargets(file, table, [target], new Map())
  // Something newer came while the record was on its way: the answer to a push brings that again (I4).
  if (record !== null && met > record.version && table.state(key).parked === null) {
    table.setState(key, { ...table.state(key), met })
    table.marks.set(key, file.time)
  }
  noteIntegrity(file, new Map([[table, new Set(touched)]]), random)
  return true
}

/** Rows that wait for the inbox, not for the quarantine. */
export function countHeld(file: MemoryFile): number {
  let held = 0
  for (const table of file.syncedTables()) {
    for (const key of table.held.keys()) {
      if (
        !file.quarantine.has(rowId({ table: table.name, key })) &&
        differs(table, key) &&
        !table.marks.has(key)
      )
        held++
    }
  }
  return held
}
