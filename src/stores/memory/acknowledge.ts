import type { Hlc } from '../../kernel/hlc.ts'
import type { Random } from '../../kernel/random.ts'
import { sameFields, sameValue } from '../../kernel/values.ts'
import type { Change } from '../../protocol/records.ts'
import type { AcknowledgedRow, Acknowledgement } from '../../engine/store.ts'
import { rowId, type MemoryFile } from './file.ts'
import { quarantine, withhold } from './holding.ts'
import { differingColumns, differs } from './local-row.ts'
import { addNote } from './notes.ts'
import type { RowState } from './row-state.ts'
import type { MemoryTable } from './table.ts'

/**
 * Settles the mutation in flight. Answers the states that rows had before they were acknowledged, by `rowId`: a
 * `current` that cannot stand must not leave a row that claims to know it.
 */
export function acknowledge(
  file: MemoryFile,
  acknowledgement: Acknowledgement,
  random: Random,
): ReadonlyMap<string, RowState> {
  const { mutation, returned, rows } = acknowledgement
  file.setReplica({ inFlight: null, mutation: returned === true ? mutation - 1 : mutation })
  const before = new Map<string, RowState>()
  let floor = file.meta.get().floor
  for (const row of rows) {
    floor = Math.max(floor, row.change.hlc)
    const table = file.synced(row.change.table)
    if (table === undefined) continue
    if (row.outcome.kind === 'ok') {
      before.set(rowId(row.change), table.state(row.change.key))
      agree(file, table, row.change, row.outcome.version, random)
    } else if (row.outcome.kind === 'refused') {
      refuse(file, table, row.change, row.outcome, random)
    }
  }
  file.setMeta({ floor })
  return before
}

/** The image becomes what was pushed, not what the row is now: an edit made meanwhile stays dirty. */
function agree(file: MemoryFile, table: MemoryTable, change: Change, version: number, random: Random): void {
  const { key } = change
  const state = table.state(key)
  const { parked } = state
  file.quarantine.delete(rowId(change))
  if (
    parked !== null &&
    parked.was !== null &&
    parked.was === change.was &&
    isWhole(parked.record.fields, change)
  ) {
    const record = { ...parked.record, version, hlc: change.hlc, by: file.replica.replica }
    table.setState(key, { ...state, parked: { ...parked, record, was: null } })
    settleMark(file, table, key, change.hlc)
    return
  }
  // An inbox entry settled meanwhile may have agreed on a record that this push is part of.
  if (state.version > version) return
  if (parked?.lost === true) {
    const [local, reason] = [
      table.rows.get(key) ?? null,
      'A row of the lost history could not stand and met another one.',
    ]
    const note = {
      kind: 'rejoined',
      chosen: 'local',
      by: 'parked',
      columns: [],
      local,
      remote: parked.record,
      reason,
    } as const
    addNote(file, { ...note, table: table.name, key }, random)
  }
  const by = file.replica.replica
  const base = { version, hlc: change.hlc, by, own: true, was: null, heldAt: null, met: 0, parked: null }
  if (change.op === 'delete') table.setState(key, { ...base, agreed: 'deleted', image: {} })
  else {
    const kept = state.agreed === 'live' && state.was === null ? state.image : {}
    table.setState(key, { ...base, agreed: 'live', image: { ...kept, ...change.fields } })
  }
  settleMark(file, table, key, change.hlc)
}

const isWhole = (fields: Change['fields'], change: Change): boolean =>
  fields !== undefined &&
  change.fields !== undefined &&
  Object.keys(fields).every((name) => sameValue(fields[name], change.fields?.[name]))

/** A row that equals its image has no mark, a row that differs has one. */
function settleMark(file: MemoryFile, table: MemoryTable, key: string, pushedAt: Hlc): void {
  if (!differs(table, key)) table.marks.delete(key)
  else if (!table.marks.has(key)) table.marks.set(key, Math.max(file.time, pushedAt))
}

function refuse(
  file: MemoryFile,
  table: MemoryTable,
  change: Change,
  { code, message }: Extract<AcknowledgedRow['outcome'], { readonly kind: 'refused' }>,
  random: Random,
): void {
  quarantine(file, { table: table.name, key: change.key, op: change.op, code, message }, random)
  // Edited while in flight: what stands now was never refused.
  if (isAsPushed(table, change)) withhold(table, change.key, change.hlc)
}

function isAsPushed(table: MemoryTable, { op, key, fields }: Change): boolean {
  const row = table.rows.get(key)
  if (row === undefined || op === 'delete' || fields === undefined)
    return row === undefined && op === 'delete'
  const state = table.state(key)
  const whole = state.agreed !== 'live' || state.was !== null
  const changed = whole ? table.columns : differingColumns(table, row, state.image)
  const pushed = Object.fromEntries(changed.map((name) => [name, row[name] ?? null]))
  const sent = Object.fromEntries(Object.entries(fields).filter(([name]) => table.columns.includes(name)))
  return sameFields(pushed, sent)
}
