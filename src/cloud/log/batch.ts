import { hlcClamp, hlcFromMs, hlcToMs } from '../../kernel/hlc.ts'
import { sameValue, type Fields } from '../../kernel/values.ts'
import { BATCH_UPDATED_AT } from '../../protocol/batch.ts'
import type { SchemaTable } from '../../protocol/schema.ts'
import { readInstant } from '../handler/instant.ts'
import { latestHlc, type SpaceView, type Write } from './decide.ts'
import { fieldsFault, keyFault, sizeFault, tableFault } from './faults.ts'
import type { BatchRow } from './log.ts'
import {
  mergedRecord,
  NO_CLAIMS,
  rowId,
  wholeRecord,
  type Standing,
  type StandingClaims,
} from './standing.ts'

/** Who wrote rows that came without a replica: every replica reads them as another's. */
export const BATCH_WRITER = 'batch'

export interface BatchDecision {
  readonly head: number
  readonly writes: readonly Write[]
  /** Of each row, whether it stands as it was sent. */
  readonly stands: readonly boolean[]
}

/**
 * Decides origin 000's upsert. Where both rows have a time, only a newer one is taken; a tombstone counts with
 * the time of the delete. Columns that are not sent stay; a row that changes nothing is not written. A row that
 * cannot be kept is left out, like one that is older.
 */
export function decideBatch(
  rows: readonly BatchRow[],
  view: SpaceView,
  schema: readonly SchemaTable[],
): BatchDecision {
  const written = new Map<string, Standing>()
  const writes: Write[] = []
  let head = view.head

  const take = (row: BatchRow): boolean => {
    if ((tableFault(row.table) ?? keyFault(row.key) ?? fieldsFault(row.fields)) !== null) return false
    const id = rowId(row.table, row.key)
    const before = written.get(id) ?? view.standing(row.table, row.key)
    if (before !== null && changesNothing(row, before)) return true
    if (before !== null && !isNewer(row, before)) return false
    const write = writeRow(row, before, head + 1, view.now, schema)
    if (sizeFault(write.text ?? '') !== null) return false
    head++
    written.set(id, write.after)
    writes.push(write)
    return true
  }

  const stands = rows.map(take)
  return { head, writes, stands }
}

function changesNothing(row: BatchRow, { record }: Standing): boolean {
  return record.fields !== undefined && changedFields(record.fields, row.fields).length === 0
}

const changedFields = (before: Fields, sent: Fields): readonly string[] =>
  Object.keys(sent).filter(
    (column) => !Object.hasOwn(before, column) || !sameValue(before[column], sent[column]),
  )

function isNewer(row: BatchRow, { record }: Standing): boolean {
  const stands =
    record.fields === undefined ? hlcToMs(record.hlc) : readInstant(record.fields[BATCH_UPDATED_AT])
  return row.updatedAt === null || stands === null || row.updatedAt > stands
}

function writeRow(
  row: BatchRow,
  before: Standing | null,
  version: number,
  now: number,
  schema: readonly SchemaTable[],
): Write {
  const time = hlcClamp(hlcFromMs(row.updatedAt ?? now), now)
  const live = before?.record.fields
  if (before === null || live === undefined) {
    const hlc = before === null ? time : Math.max(time, before.record.hlc + 1)
    const stamp = { version, hlc, by: BATCH_WRITER, sealed: undefined }
    const record = wholeRecord(row.table, row.key, row.fields, stamp)
    return { before, after: { record, was: null, claims: NO_CLAIMS }, text: JSON.stringify(row.fields) }
  }
  const changed = changedFields(live, row.fields)
  const set = Object.fromEntries(changed.map((column) => [column, row.fields[column] ?? null]))
  const fields = { ...live, ...set }
  const hlc = latestHlc(time, before.record, changed)
  const record = mergedRecord(before.record, fields, set, {
    version,
    hlc,
    by: BATCH_WRITER,
    sealed: undefined,
  })
  const claims = releaseClaims(before.claims, row.table, new Set(changed), version, schema)
  return { before, after: { record, was: null, claims }, text: JSON.stringify(fields) }
}

/** A batch cannot say which unique values its rows hold: what may have changed is let go of. */
function releaseClaims(
  claims: StandingClaims,
  table: string,
  changed: ReadonlySet<string>,
  version: number,
  schema: readonly SchemaTable[],
): StandingClaims {
  if (claims === NO_CLAIMS) return claims
  const unique = schema.find(({ name }) => name === table)?.unique ?? []
  const isKept = (index: string): boolean => {
    const found = unique.find(({ claim }) => claim === index)
    if (found === undefined || found.where !== undefined) return false
    return found.terms.every(({ column }) => column !== undefined && !changed.has(column))
  }
  return Object.fromEntries(
    Object.entries(claims).map(([index, held]) => [index, isKept(index) ? held : ([null, version] as const)]),
  )
}
