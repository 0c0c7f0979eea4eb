import { sameValue, type Fields } from '../../kernel/values.ts'
import type { PushRequest } from '../../protocol/push.ts'
import type { Change, Cursor, Generation } from '../../protocol/records.ts'
import { rowId, type MemoryFile } from './file.ts'
import { release } from './holding.ts'
import { differs } from './local-row.ts'
import { UNKNOWN } from './row-state.ts'
import type { MemoryTable } from './table.ts'

/** Offers everything above `common` again; see the port. */
export function rebase(
  file: MemoryFile,
  cursor: Cursor,
  common: number,
  generations: readonly Generation[],
): number {
  let offered = 0
  for (const table of file.syncedTables()) {
    for (const key of table.stateKeys()) if (rebaseRow(file, table, key, common)) offered++
  }
  for (const [id, stored] of file.inbox.entries()) {
    const { remote } = stored.entry
    if (remote !== null && remote.version > common) file.inbox.set(id, { ...stored, lost: true })
  }
  file.setReplica({ cursor, generations, asides: [] })
  // Rows whose deletion was lost are live in the cloud again, and nothing here tells which: they have to be read.
  if (common < file.meta.get().forgotten) file.setMeta({ covered: [], forgotten: 0 })
  return offered
}

function rebaseRow(file: MemoryFile, table: MemoryTable, key: string, common: number): boolean {
  if (!file.quarantine.has(rowId({ table: table.name, key }))) release(table, key)
  const state = table.state(key)
  const isLost = state.agreed !== 'none' && state.version > common
  const row = isLost ? { ...state, version: common, was: state.was ?? state.version } : state
  const { parked } = row
  if (parked === null || parked.record.version <= common) {
    table.setState(key, row)
    if (isLost && row.heldAt === null) offer(table, key, row.hlc)
    return isLost
  }
  // A dirty row at the key is what this replica has to say of it; the parked record waits for the cloud's.
  const stands = table.marks.has(key) && differs(table, key)
  const record = { ...parked.record, version: common }
  const was = stands ? null : (parked.was ?? parked.record.version)
  table.setState(key, { ...row, parked: { ...parked, record, was, lost: stands } })
  if (!stands || isLost) offer(table, key, record.hlc)
  return true
}

/** A lost value is older than any edit made since, so the mark is not of now. */
function offer(table: MemoryTable, key: string, at: number): void {
  if (!table.marks.has(key)) table.marks.set(key, Math.max(1, at))
}

/** Another identity. What the dropped mutation may have done in the cloud must not undo what was written since. */
export function adopt(file: MemoryFile, replica: string): void {
  const { inFlight } = file.replica
  for (const change of inFlight?.parts.flatMap(changesOf) ?? []) {
    const table = file.synced(change.table)
    if (table !== undefined) doubt(file, table, change)
  }
  file.setReplica({ replica, mutation: 0, inFlight: null })
}

const changesOf = (body: string): readonly Change[] => (JSON.parse(body) as PushRequest).changes

/** Where the row went back to its image since it was pushed, the image becomes what was pushed. */
function doubt(file: MemoryFile, table: MemoryTable, { key, op, base, fields = {} }: Change): void {
  if (differs(table, key)) return doubtColumns(table, key, fields)
  const row = table.rows.get(key)
  const state = table.state(key)
  if (op === 'delete' && row !== undefined) {
    table.setState(key, {
      ...UNKNOWN,
      version: base,
      hlc: state.hlc,
      by: state.by,
      agreed: 'deleted',
      parked: state.parked,
    })
  } else if (op === 'put' && row === undefined && state.agreed !== 'live') {
    table.setState(key, { ...state, version: base, agreed: 'live', image: fields, own: true })
  } else doubtColumns(table, key, fields)
  if (differs(table, key) && !table.marks.has(key)) table.marks.set(key, file.time)
}

function doubtColumns(table: MemoryTable, key: string, pushed: Fields): void {
  const row = table.rows.get(key)
  const state = table.state(key)
  if (row === undefined || state.agreed !== 'live') return
  const image: { [column: string]: Fields[string] } = { ...state.image }
  for (const [column, value] of Object.entries(pushed)) {
    if (sameValue(row[column], state.image[column]) && !sameValue(row[column], value)) image[column] = value
  }
  table.setState(key, { ...state, image })
}
