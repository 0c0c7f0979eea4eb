import { sameValue, type Fields } from '../kernel/values.ts'
import type { PushResult } from '../protocol/push.ts'
import type { Change, WireRecord } from '../protocol/records.ts'
import type { SchemaTable } from '../protocol/schema.ts'
import type { InboxDraft } from './inbox.ts'
import { mergedFields, mergeRow, type Merge } from './merge.ts'
import { resolveConflict, type NamedResolver, type Resolution, type ResolverSet } from './resolvers.ts'
import type { AcknowledgedRow, LocalRow, MergedRow, RowKey } from './store.ts'

/**
 * From records and dirty rows to what a publish carries: every meeting decided, by rule or by resolver, outside
 * any lock (resolvers may be slow). The store's guard notices what moved meanwhile.
 */
export interface Reconciled {
  /** Records whose rows are clean: applied as they are. */
  readonly records: readonly WireRecord[]
  readonly merged: readonly MergedRow[]
  readonly notes: readonly InboxDraft[]
}

export interface ReconcileContext {
  readonly tables: ReadonlyMap<string, SchemaTable>
  readonly resolvers: ResolverSet
  /** Round after round ended in conflicts: what was decided for these rows cannot stand here. */
  readonly exhausted?: boolean
}

/** One text for a row's place; table names may hold any character but NUL. */
export const rowId = (row: RowKey): string => `${row.table}\0${row.key}`

/** Remote records against the touched rows among them. */
export async function reconcileRecords(
  records: readonly WireRecord[],
  touched: readonly LocalRow[],
  context: ReconcileContext,
): Promise<Reconciled> {
  if (touched.length === 0) return { records, merged: [], notes: [] }
  const rows = new Map(touched.map((row) => [rowId(row), row]))
  const clean: WireRecord[] = []
  const merged: MergedRow[] = []
  const notes: InboxDraft[] = []
  for (const record of records) {
    const row = rows.get(rowId(record))
    if (row === undefined) clean.push(record)
    // What is not newer than the agreed version is known; only a row of a lost history may meet an older one.
    else if (record.version > row.base || row.was !== null) {
      const merge = mergeRow(row, record, { rowidAlias: isRowidAlias(context, row.table) })
      collect(await settle(merge, context), merged, notes)
    }
    // It changes nothing, but tells a hydrate that sweeps that the cloud has the row still (I4).
    else clean.push(record)
  }
  return { records: clean, merged, notes }
}

export interface AnsweredChange {
  readonly change: Change
  readonly result: PushResult
}

export interface ReconciledAnswer extends Reconciled {
  readonly rows: readonly AcknowledgedRow[]
  /** Rows that were not applied and will be sent again. */
  readonly conflicts: number
}

/** The answers of a push. `touched` are the rows among them that are dirty beside the push's own marks. */
export async function reconcileAnswers(
  answers: readonly AnsweredChange[],
  touched: readonly LocalRow[],
  context: ReconcileContext,
): Promise<ReconciledAnswer> {
  const rowsById = new Map(touched.map((row) => [rowId(row), row]))
  const rows: AcknowledgedRow[] = []
  const records: WireRecord[] = []
  const merged: MergedRow[] = []
  const notes: InboxDraft[] = []
  let conflicts = 0
  for (const { change, result } of answers) {
    // Of a bulk nothing is touched, as a rule.
    const row = rowsById.size === 0 ? undefined : rowsById.get(rowId(change))
    if (result.status === 'rejected') {
      rows.push({ change, outcome: { kind: 'refused', code: result.code, message: result.message } })
      continue
    }
    if (result.status === 'ok') {
      rows.push({ change, outcome: { kind: 'ok', version: result.version } })
      if (result.forgotten === true) notes.push(cameBack(change))
      if (result.current === undefined) continue
      notes.push(...forceNotes(change, result.current, result.lost))
      const left = row === undefined ? undefined : rowSincePush(row, change)
      if (left === undefined) records.push(result.current)
      else {
        const options = { rowidAlias: isRowidAlias(context, row?.table ?? ''), ownVersion: result.version }
        const step = await settle(mergeRow(left, result.current, options), context)
        // The guard compares with the row as it was read, not with the row as it stands after the push.
        collect({ row: { ...step.row, read: row ?? left }, notes: step.notes }, merged, notes)
      }
      continue
    }
    conflicts++
    rows.push({ change, outcome: { kind: 'left' } })
    if (row === undefined) {
      // The row went back to its image meanwhile: the cloud's state is news like any other.
      if (result.current !== null) records.push(result.current)
      continue
    }
    if (context.exhausted === true && !row.held) {
      collect(giveWay(row, result, context), merged, notes)
      continue
    }
    if (result.status === 'taken') {
      const step = mergeTaken(row, change, result, context)
      if (step !== null) collect(step, merged, notes)
    } else {
      const merge = mergeRow(row, result.current, { rowidAlias: isRowidAlias(context, row.table) })
      collect(await settle(merge, context), merged, notes)
    }
  }
  return { rows, records, merged, notes, conflicts }
}

type Settled = { readonly row: MergedRow; readonly notes: readonly InboxDraft[] }

function collect(step: Settled, merged: MergedRow[], notes: InboxDraft[]): void {
  merged.push(step.row)
  notes.push(...step.notes)
}

async function settle(merge: Merge, context: ReconcileContext): Promise<Settled> {
  if (merge.kind === 'decided') return merge
  const resolver = resolverOf(context.resolvers, merge.conflict.table)
  const { resolution, fault } = await resolveConflict(
    merge.conflict,
    resolver,
    context.tables.get(merge.conflict.table)?.key,
  )
  return applyResolution(merge, resolution, resolver.name, fault)
}

function resolverOf(resolvers: ResolverSet, table: string): NamedResolver {
  const { tables = {} } = resolvers
  // A table may be called as what every object has.
  return (Object.hasOwn(tables, table) ? tables[table] : undefined) ?? resolvers.default
}

function applyResolution(
  { row, record, conflict }: Extract<Merge, { readonly kind: 'conflict' }>,
  resolution: Resolution,
  by: string,
  fault: string | null,
): Settled {
  const note = {
    kind: conflict.kind,
    table: row.table,
    key: row.key,
    columns: conflict.columns,
    local: row.fields,
    remote: record,
    by,
  }
  if (resolution === 'wait') {
    const reason = fault ?? 'Both sides changed the row; it waits for a decision.'
    return {
      row: { read: row, record, decision: { kind: 'hold' } },
      notes: [{ ...note, chosen: 'waits', reason }],
    }
  }
  const contested = new Set(conflict.columns)
  const given = typeof resolution === 'object' ? resolution : null
  const fields = {
    ...mergedFields(row, record, (column) => !contested.has(column) || resolution !== 'remote'),
    ...given,
  }
  const chosen =
    given === null ? (resolution as 'local' | 'remote') : chosenSide(given, conflict.columns, row, record)
  const reason = 'Both sides changed the row; one value was chosen, both are kept here.'
  return {
    row: { read: row, record, decision: { kind: 'keep', fields } },
    notes: [{ ...note, chosen, reason }],
  }
}

/** What a resolver's row amounts to, for the inbox. */
function chosenSide(
  given: Fields,
  columns: readonly string[],
  row: LocalRow,
  record: WireRecord,
): 'local' | 'remote' | 'merged' {
  const isSide = (side: Fields | null | undefined) =>
    columns.every((column) => sameValue(given[column] ?? row.fields?.[column], side?.[column]))
  if (isSide(row.fields)) return 'local'
  return isSide(record.fields) ? 'remote' : 'merged'
}

/**
 * Another row holds the unique value: the first wins. An inserted row goes to the inbox whole; an edited one
 * gives up the columns of that index and keeps its other edits. Null when the row has let go of the value since.
 */
function mergeTaken(
  row: LocalRow,
  change: Change,
  result: Extract<PushResult, { readonly status: 'taken' }>,
  context: ReconcileContext,
): Settled | null {
  if (row.held) return null
  if (row.claims[result.index] !== change.claims?.[result.index]) return null
  const { current } = result
  const note: InboxDraft = {
    kind: 'unique',
    table: row.table,
    key: row.key,
    columns: uniqueColumns(context, row.table, result.index),
    local: row.fields,
    remote: current,
    chosen: 'remote',
    by: 'first wins',
    reason: 'Another row holds the same unique value in the cloud.',
  }
  if (current === null || current.deleted === true || row.agreed !== 'live' || note.columns.length === 0) {
    return { row: { read: row, record: current, decision: { kind: 'take' } }, notes: [note] }
  }
  const given = new Set(note.columns)
  const fields = mergedFields(row, current, (column) => !given.has(column))
  return { row: { read: row, record: current, decision: { kind: 'keep', fields } }, notes: [note] }
}

/**
 * The last resort of a row whose decided state a constraint refuses here, so that the same push would meet the same
 * answer for ever (I8): the cloud's row stands, or is parked, and the local one is in the inbox whole (I7).
 */
function giveWay(
  row: LocalRow,
  result: Extract<PushResult, { readonly status: 'conflict' | 'taken' }>,
  context: ReconcileContext,
): Settled {
  const kind =
    result.status === 'taken'
      ? 'unique'
      : row.was !== null
        ? 'rejoined'
        : row.agreed === 'live'
          ? 'field'
          : 'insert'
  const note: InboxDraft = {
    kind,
    table: row.table,
    key: row.key,
    columns: result.status === 'taken' ? uniqueColumns(context, row.table, result.index) : row.changed,
    local: row.fields,
    remote: result.current,
    chosen: 'remote',
    by: 'last resort',
    reason:
      'What was decided for this row cannot stand here beside the other rows; the row of the cloud was taken.',
  }
  return { row: { read: row, record: result.current, decision: { kind: 'take' } }, notes: [note] }
}

/** The columns of a unique index; empty when a term is an expression. */
function uniqueColumns(context: ReconcileContext, table: string, claim: string): readonly string[] {
  const index = context.tables.get(table)?.unique.find((unique) => unique.claim === claim)
  if (index === undefined || index.terms.some((term) => term.column === undefined)) return []
  return index.terms.map((term) => term.column as string)
}

/** The row against the image that the push makes; undefined when nothing differs from it. */
function rowSincePush(row: LocalRow, change: Change): LocalRow | undefined {
  if (change.op === 'delete')
    return row.fields === null ? undefined : { ...row, agreed: 'deleted', base: change.base }
  if (row.fields === null) return { ...row, agreed: 'live', changed: [] }
  const pushed = change.fields ?? {}
  const fields = row.fields
  const changed = Object.keys(fields).filter((column) =>
    Object.hasOwn(pushed, column) ? !sameValue(fields[column], pushed[column]) : row.changed.includes(column),
  )
  return changed.length === 0 ? undefined : { ...row, agreed: 'live', changed, was: null }
}

/** A row of a lost history that the cloud did not have: nobody can tell any more whether it had been deleted (I7). */
function cameBack(change: Change): InboxDraft {
  return {
    kind: 'rejoined',
    table: change.table,
    key: change.key,
    columns: [],
    local: change.fields ?? null,
    remote: null,
    chosen: 'local',
    by: 'offered again',
    reason:
      'The cloud lost history and has forgotten old deletions: it did not have this row, which was kept and may have been deleted elsewhere.',
  }
}

/** What `force` chose, for the inbox: values of others that it overwrote, own values that were older. */
function forceNotes(change: Change, current: WireRecord, lost: Fields | undefined): readonly InboxDraft[] {
  const notes: InboxDraft[] = []
  const base = { table: change.table, key: change.key, by: 'newestWins, decided by the cloud' }
  const reason = 'Both sides changed the row again and again; the cloud chose the newer values.'
  if (lost !== undefined) {
    const remote = { ...current, fields: { ...current.fields, ...lost } }
    const local = current.fields ?? null
    notes.push({ ...base, kind: 'field', columns: Object.keys(lost), local, remote, chosen: 'local', reason })
  }
  const pushed = change.fields
  if (current.fields === undefined) return notes
  if (pushed === undefined) {
    const note = 'The cloud edited a row that was deleted here; the edit won and the row is back.'
    return [
      ...notes,
      { ...base, kind: 'deleted', columns: [], local: null, remote: current, chosen: 'remote', reason: note },
    ]
  }
  const beaten = Object.keys(pushed).filter((column) => !sameValue(pushed[column], current.fields?.[column]))
  if (beaten.length === 0) return notes
  const local = { ...current.fields, ...pushed }
  return [
    ...notes,
    { ...base, kind: 'field', columns: beaten, local, remote: current, chosen: 'remote', reason },
  ]
}

const isRowidAlias = (context: ReconcileContext, table: string): boolean =>
  context.tables.get(table)?.rowidAlias === true
