import { fieldVersion } from '../protocol/field-version.ts'
import type { WireRecord } from '../protocol/records.ts'
import { sameValue, setOwn, type Encoded, type Fields } from '../kernel/values.ts'
import type { Conflict } from './resolvers.ts'
import type { InboxDraft } from './inbox.ts'
import type { LocalRow, MergedRow } from './store.ts'

/**
 * Three-way merge of one row, by field, against the agreed image. Pure.
 *
 * | local              | cloud      |                                                               |
 * |--------------------|------------|---------------------------------------------------------------|
 * | edited             | edited     | each side's own columns; the resolver decides what both changed |
 * | edited or inserted | deleted    | the edit wins, the row comes back whole                        |
 * | deleted            | edited     | the edit wins                                                  |
 * | deleted            | deleted    | agreed                                                         |
 * | inserted           | live       | equal rows agree; of an integer key the record where it began as this very insert, else the key is given up for a fresh one; of other keys a conflict of whole rows |
 * | offered again      | live       | the resolver decides every column that differs                 |
 * | held               | any        | stays held                                                     |
 */
export type Merge =
  | { readonly kind: 'decided'; readonly row: MergedRow; readonly notes: readonly InboxDraft[] }
  | {
      readonly kind: 'conflict'
      readonly row: LocalRow
      readonly record: WireRecord
      readonly conflict: Conflict
    }

export interface MergeContext {
  /** The table's key is an integer that SQLite chooses: it may be re-keyed. */
  readonly rowidAlias: boolean
  /** The version this replica's own push has just got: fields at it are not the others' changes. */
  readonly ownVersion?: number
}

/** `record` is newer than what the row agreed on; null: the cloud has neither row nor tombstone. */
export function mergeRow(row: LocalRow, record: WireRecord | null, context: MergeContext): Merge {
  if (row.held) return decided(row, record, { kind: 'hold' })
  if (record === null || record.deleted === true) return mergeDeleted(row, record)
  const remote = record.fields ?? {}
  if (row.fields === null) return decided(row, record, { kind: 'take' }, [editWon(row, record, 'remote')])
  if (row.was !== null) return mergeContested(row, record, differing(row.fields, remote), 'rejoined')
  if (row.agreed !== 'live') return mergeInserted(row, record, context)
  const contested = row.changed.filter((column) => {
    const [version] = fieldVersion(record, column)
    if (version <= row.base || version === context.ownVersion) return false
    return Object.hasOwn(remote, column) && !sameValue(row.fields?.[column], remote[column])
  })
  return mergeContested(row, record, contested, 'field')
}

function mergeDeleted(row: LocalRow, record: WireRecord | null): Merge {
  if (row.fields === null) return decided(row, record, { kind: 'take' })
  const notes = row.agreed === 'live' ? [editWon(row, record, 'local')] : []
  return decided(row, record, { kind: 'keep', fields: row.fields }, notes)
}

function mergeInserted(row: LocalRow, record: WireRecord, context: MergeContext): Merge {
  const local = row.fields ?? {}
  const remote = record.fields ?? {}
  const columns = differing(local, remote)
  if (columns.length === 0) return decided(row, record, { kind: 'keep', fields: { ...local, ...remote } })
  if (!context.rowidAlias) return mergeContested(row, record, columns, 'insert')
  if (isSameInsert(row, record)) return decided(row, record, { kind: 'take' }, [sentBefore(row, record)])
  const note: InboxDraft = {
    kind: 'rekeyed',
    table: row.table,
    key: row.key,
    columns,
    local,
    remote: record,
    chosen: 'both',
    by: 'integer key',
    reason: 'Two rows were inserted under one integer key; the local row moved to a fresh one.',
  }
  return decided(row, record, { kind: 'rekey' }, [note])
}

/**
 * Whether a row that this replica never sent, by its own word, is the insert that the record began as: the file was
 * restored to before it was sent, or copied. Then every column that nobody has set since has the time of the insert and
 * its value. A clock that is behind may give two inserts one time, so both rows are kept in the inbox.
 */
function isSameInsert(row: LocalRow, record: WireRecord): boolean {
  const [local, remote] = [row.fields ?? {}, record.fields ?? {}]
  const columns = Object.keys(remote).filter((column) => Object.hasOwn(local, column))
  const timeOf = (column: string): number => fieldVersion(record, column)[1]
  const first = columns.filter((column) => timeOf(column) === row.at)
  if (first.length === 0 || columns.some((column) => timeOf(column) < row.at)) return false
  return first.every((column) => sameValue(local[column], remote[column]))
}

function sentBefore(row: LocalRow, record: WireRecord): InboxDraft {
  return {
    kind: 'rejoined',
    table: row.table,
    key: row.key,
    columns: differing(row.fields ?? {}, record.fields ?? {}),
    local: row.fields,
    remote: record,
    chosen: 'remote',
    by: 'same insert',
    reason:
      'The row had been sent before the file was restored or copied, and was edited since; the edited row stands.',
  }
}

function mergeContested(
  row: LocalRow,
  record: WireRecord,
  columns: readonly string[],
  kind: Conflict['kind'],
): Merge {
  if (columns.length === 0)
    return decided(row, record, { kind: 'keep', fields: mergedFields(row, record, () => true) })
  const remoteTimes: { [column: string]: number } = {}
  for (const column of columns) setOwn(remoteTimes, column, fieldVersion(record, column)[1])
  return {
    kind: 'conflict',
    row,
    record,
    conflict: {
      kind,
      table: row.table,
      key: row.key,
      columns,
      local: row.fields ?? {},
      remote: record.fields ?? {},
      localAt: row.at,
      remoteTimes,
      remoteBy: record.by,
    },
  }
}

/**
 * The whole row: the cloud's fields, and over them the local changes for which `keepsLocal` says so. Columns
 * that the record lacks stay as they are here: an older replica wrote it.
 */
export function mergedFields(
  row: LocalRow,
  record: WireRecord,
  keepsLocal: (column: string) => boolean,
): Fields {
  const local = row.fields ?? {}
  // From entries: a column may be called `__proto__`.
  const kept = row.changed.filter((column) => Object.hasOwn(local, column) && keepsLocal(column))
  return {
    ...local,
    ...record.fields,
    ...Object.fromEntries(kept.map((column) => [column, local[column] as Encoded])),
  }
}

/** Columns that both sides have with different values. */
function differing(local: Fields, remote: Fields): readonly string[] {
  return Object.keys(local).filter(
    (column) => Object.hasOwn(remote, column) && !sameValue(local[column], remote[column]),
  )
}

function decided(
  row: LocalRow,
  record: WireRecord | null,
  decision: MergedRow['decision'],
  notes: readonly InboxDraft[] = [],
): Merge {
  return { kind: 'decided', row: { read: row, record, decision }, notes }
}

function editWon(row: LocalRow, record: WireRecord | null, chosen: 'local' | 'remote'): InboxDraft {
  return {
    kind: row.was === null ? 'deleted' : 'rejoined',
    table: row.table,
    key: row.key,
    columns: [],
    local: row.fields,
    remote: record,
    chosen,
    by: 'edit wins',
    reason:
      chosen === 'local'
        ? 'The cloud deleted a row that was edited here; the edit won and the row comes back.'
        : 'The cloud edited a row that was deleted here; the edit won and the row is back.',
  }
}
