import type { Random } from '../../kernel/random.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { Encoded } from '../../kernel/values.ts'
import type { WireRecord } from '../../protocol/records.ts'
import type { InboxDraft } from '../../engine/inbox.ts'
import type { LocalRow, MergedRow, Publication, PublishResult, RowKey } from '../../engine/store.ts'
import { acknowledge } from './acknowledge.ts'
import { applyTargets } from './apply.ts'
import { rowId, type MemoryFile } from './file.ts'
import { withhold } from './holding.ts'
import { noteArrivals } from './hydrate.ts'
import { agreeOnImages } from './images-only.ts'
import type { Touched } from './integrity.ts'
import { isDirty, isHeld, isSameReading, readLocalRow } from './local-row.ts'
import { addNote, noteIntegrity } from './notes.ts'
import { createFollows, createFreshIds, followFields, forgetLocal, rekeyRow, type Follows } from './rekey.ts'
import { UNKNOWN, type RowState } from './row-state.ts'
import type { MemoryTable } from './table.ts'
import type { Target } from './target.ts'

/** One publication; see the port. Runs inside a transaction, and leaves nothing when it is refused. */
export function publish(file: MemoryFile, publication: Publication, random: Random): PublishResult {
  const { inFlight, hydrating } = file.replica
  if ((inFlight?.number ?? null) !== (publication.acknowledge?.mutation ?? null)) return { status: 'stale' }
  if (publication.place !== undefined && hydrating === null)
    throw new TidemarkError('invariant', 'no hydrate is under way')
  const savepoint = file.journal.writes
  const begun = file.clock.now()
  const readings = publication.imagesOnly === true ? [] : movedReadings(file, publication.merged)
  if (readings.length > 0) return { status: 'moved', rows: readings }

  const before =
    publication.acknowledge === undefined
      ? new Map<string, RowState>()
      : acknowledge(file, publication.acknowledge, random)
  const records = newsOf(file, publication, before)
  noteTimes(file, publication)
  let notes: readonly InboxDraft[] = publication.notes
  let counts = { applied: 0, tables: {}, parked: 0, findings: 0 }
  if (publication.imagesOnly === true)
    agreeOnImages(file, [...records, ...publication.merged.flatMap(recordOf)])
  else {
    const moved = records.filter((record) => isTouched(file, record))
    if (moved.length > 0) {
      file.journal.rollbackTo(savepoint)
      return { status: 'moved', rows: moved.map(({ table, key }) => ({ table, key })) }
    }
    const applied = applyAll(file, publication, records, before)
    notes = withFreshKeys(notes, applied.rekeyed)
    const findings = publication.place === undefined ? noteIntegrity(file, applied.touched, random) : 0
    counts = { ...applied, findings }
  }
  if (publication.place !== undefined) noteArrivals(file, publication, publication.place)
  if (publication.cursor !== undefined) {
    file.setReplica({ cursor: publication.cursor })
    const { read = 0 } = publication.cursor
    if (read > file.meta.get().forgotten) file.setMeta({ forgotten: read })
  }
  if (publication.asides !== undefined) file.setReplica({ asides: publication.asides })
  if (publication.overwritten === true) file.setReplica({ overwriting: null })
  if (publication.generations !== undefined) file.setReplica({ generations: publication.generations })
  if (publication.floor !== undefined) forgetTombstones(file, publication.floor)
  for (const note of notes) addNote(file, note, random)
  return {
    status: 'done',
    applied: counts.applied,
    tables: counts.tables,
    parked: counts.parked,
    notes: notes.length + counts.findings,
    lockMs: file.clock.now() - begun,
  }
}

const recordOf = ({ record }: MergedRow): readonly WireRecord[] => (record === null ? [] : [record])

/** Merged rows that no longer are as they were read. */
function movedReadings(file: MemoryFile, merged: readonly MergedRow[]): readonly RowKey[] {
  return merged
    .filter(({ read }) => {
      const table = file.synced(read.table)
      return table === undefined || !isSameReading(read, readLocalRow(file, table, read.key))
    })
    .map(({ read: { table, key } }) => ({ table, key }))
}

/** Records that say something new, the newest of each row; those that are merged come with their decision. */
function newsOf(
  file: MemoryFile,
  { records, merged, imagesOnly }: Publication,
  acknowledged: ReadonlyMap<string, RowState>,
): readonly WireRecord[] {
  const decided = new Set(imagesOnly === true ? [] : merged.map(({ read }) => rowId(read)))
  const news = new Map<string, WireRecord>()
  for (const record of records) {
    const id = rowId(record)
    const table = file.synced(record.table)
    if (table === undefined || decided.has(id)) continue
    const { version, parked } = table.state(record.key)
    const known = Math.max(version, parked?.record.version ?? 0)
    const isCurrent = acknowledged.has(id) && record.version >= version
    const other = news.get(id)
    if ((record.version > known || isCurrent) && (other === undefined || other.version < record.version))
      news.set(id, record)
  }
  return [...news.values()]
}

function isTouched(file: MemoryFile, record: WireRecord): boolean {
  const table = file.synced(record.table)
  return table !== undefined && (isDirty(file, table, record.key) || isHeld(file, table, record.key))
}

/** The receive rule of the hybrid clock: no later mark is stamped below what was seen. */
function noteTimes(file: MemoryFile, { records, merged }: Publication): void {
  let { floor } = file.meta.get()
  for (const { hlc } of records) floor = Math.max(floor, hlc)
  for (const { record } of merged) floor = Math.max(floor, record?.hlc ?? 0)
  if (floor > file.meta.get().floor) file.setMeta({ floor })
}

interface AppliedAll {
  readonly applied: number
  readonly tables: { readonly [table: string]: number }
  readonly parked: number
  readonly touched: Touched
  /** Rows with their fresh keys, by the `rowId` they had. */
  readonly rekeyed: ReadonlyMap<string, { readonly [column: string]: Encoded }>
}

function applyAll(
  file: MemoryFile,
  { merged }: Publication,
  records: readonly WireRecord[],
  acknowledged: ReadonlyMap<string, RowState>,
): AppliedAll {
  const follows = createFollows()
  const rekeyed = rekeyAll(file, merged, records, follows)
  const targets = new Map<string, Target[]>()
  const add = (table: MemoryTable, target: Target): void => {
    const known = targets.get(table.name)
    if (known === undefined) targets.set(table.name, [target])
    else known.push(target)
  }
  for (const record of records) {
    const table = file.synced(record.table)
    if (table !== undefined) add(table, recordTarget(file, table, record, follows))
  }
  for (const { read, decision, record } of merged) {
    const table = file.synced(read.table)
    if (table === undefined) continue
    if (decision.kind === 'hold')
      withhold(table, read.key, read.at || file.time, versionMet(table, read.key, record))
    else if (decision.kind === 'rekey' || follows.movedAway.has(rowId(read))) {
      if (record !== null) add(table, recordTarget(file, table, record, follows))
    } else add(table, mergedTarget(file, read, record, decision, follows))
  }
  const touched: Touched = new Map()
  const tables = new Map<string, number>()
  let applied = 0
  let parked = 0
  for (const table of file.syncedTables()) {
    const result = applyTargets(file, table, targets.get(table.name) ?? [], acknowledged)
    applied += result.applied
    if (result.applied > 0) tables.set(table.name, result.applied)
    parked += result.parked
    if (result.touched.length > 0) touched.set(table, new Set(result.touched))
  }
  for (const id of follows.changed.keys()) {
    const [name = '', key = ''] = id.split('\0')
    const table = file.synced(name)
    const keys = table === undefined ? undefined : touched.get(table)
    if (table === undefined || keys === 'all') continue
    touched.set(table, (keys ?? new Set<string>()).add(key))
  }
  return { applied, tables: Object.fromEntries(tables), parked, touched, rekeyed }
}

/** What a held row met and does not know: a newer record, or that the cloud has none. */
function versionMet(table: MemoryTable, key: string, record: WireRecord | null): number {
  const { agreed, version } = table.state(key)
  if (record === null) return agreed === 'none' ? 0 : version + 1
  return record.version > version ? record.version : 0
}

function rekeyAll(
  file: MemoryFile,
  merged: readonly MergedRow[],
  records: readonly WireRecord[],
  follows: Follows,
): AppliedAll['rekeyed'] {
  const rekeyed = new Map<string, { readonly [column: string]: Encoded }>()
  const freshIds = new Map<string, () => Encoded>()
  for (const { read, decision, record } of merged) {
    if (decision.kind !== 'rekey') continue
    const table = file.synced(read.table)
    if (table === undefined) continue
    if (record === null || table.schema.rowidAlias !== true) {
      throw new TidemarkError('invariant', 'only a row that meets a record under an integer key is re-keyed')
    }
    const taken = [...records, ...merged.flatMap(recordOf)].filter((other) => other.table === table.name)
    const freshId =
      freshIds.get(table.name) ??
      createFreshIds(
        table,
        taken.map(({ key }) => key),
      )
    freshIds.set(table.name, freshId)
    const moved = rekeyRow(file, table, read.key, { freshId, at: read.at || file.time, follows })
    if (moved !== null) rekeyed.set(rowId(read), moved)
  }
  return rekeyed
}

function recordTarget(file: MemoryFile, table: MemoryTable, record: WireRecord, follows: Follows): Target {
  const { key } = record
  const id = rowId(record)
  const fresh = { key, record, fresh: true }
  if (follows.movedAway.has(id)) forgetLocal(table, key)
  else if (record.fields !== undefined && record.deleted !== true) {
    const fields = followFields(follows, id, record.fields)
    const at = table.marks.get(key) ?? file.time
    if (fields !== record.fields) return { ...fresh, kind: 'keep', fields, at }
  }
  return { ...fresh, kind: 'record', fields: null, at: 0 }
}

function mergedTarget(
  file: MemoryFile,
  read: LocalRow,
  record: WireRecord | null,
  decision: Exclude<MergedRow['decision'], { readonly kind: 'hold' | 'rekey' }>,
  follows: Follows,
): Target {
  const target = { key: read.key, record, fresh: true, at: read.at || file.time }
  if (decision.kind === 'take') return { ...target, kind: 'take', fields: null }
  return { ...target, kind: 'keep', fields: followFields(follows, rowId(read), decision.fields) }
}

/** Notes about re-keyed rows show the row as it stands now. */
function withFreshKeys(notes: readonly InboxDraft[], rekeyed: AppliedAll['rekeyed']): readonly InboxDraft[] {
  return notes.map((note) => {
    const local = note.kind === 'rekeyed' ? rekeyed.get(rowId(note)) : undefined
    return local === undefined ? note : { ...note, local }
  })
}

function forgetTombstones(file: MemoryFile, floor: number): void {
  let { forgotten } = file.meta.get()
  for (const table of file.syncedTables()) {
    for (const key of table.tombstones.keys()) {
      const { version, parked, heldAt, was } = table.state(key)
      if (version > floor || parked !== null || heldAt !== null || was !== null) continue
      if (table.rows.has(key) || table.marks.has(key)) continue
      table.setState(key, UNKNOWN)
      forgotten = Math.max(forgotten, version)
    }
  }
  if (forgotten > file.meta.get().forgotten) file.setMeta({ forgotten })
}
