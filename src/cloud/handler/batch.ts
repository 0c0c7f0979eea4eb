import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { keyOf, MAX_KEY_BYTES, utf8Bytes } from '../../kernel/keys.ts'
import type { Encoded } from '../../kernel/values.ts'
import {
  BATCH_KEY,
  BATCH_UPDATED_AT,
  BatchRequest,
  SYNCED_SUFFIX,
  type BatchAnswer,
} from '../../protocol/batch.ts'
import { MAX_BATCH_RECORDS, MAX_NAME_CHARS } from '../../protocol/limits.ts'
import { fieldsFault } from '../log/faults.ts'
import type { BatchRow, Log } from '../log/log.ts'
import { compileCheck, isCleanText } from '../../http/check.ts'
import { parsePlainJson, plainToEncoded } from './plain.ts'
import { readInstant } from './instant.ts'

type PlainRow = { readonly [column: string]: unknown }

const checkBatch = compileCheck(BatchRequest)
const TIMESTAMP = 'sync_timestamp'

/** The tables of a batch, every row checked before the first is written. Throws 400, 413 and 422 codes. */
export function readBatch(
  text: string,
): readonly { readonly table: string; readonly rows: readonly BatchRow[] }[] {
  const body = checkBatch(parsePlainJson(text))
  // The type of an object schema leaves its further properties out; the check did not.
  const arrays = Object.entries<unknown>(body).filter(([name]) => name !== TIMESTAMP) as [
    string,
    readonly PlainRow[],
  ][]
  const tables = arrays.map(([table, rows]) => ({ table, rows }))
  const count = tables.reduce((sum, { rows }) => sum + rows.length, 0)
  if (count > MAX_BATCH_RECORDS)
    throw new TidemarkError('payload_too_large', `More than ${MAX_BATCH_RECORDS} records in one batch`)
  return tables.map(({ table, rows }) => {
    checkTableName(table)
    return { table, rows: rows.map((row, index) => readRow(table, index, row)) }
  })
}

/** Origin 000's answer: how many rows of each table stand as sent, and the cloud's time in whole seconds. */
export async function writeBatch(
  log: Log,
  clock: Clock,
  space: string,
  tables: ReturnType<typeof readBatch>,
): Promise<BatchAnswer> {
  const rows = tables.flatMap((table) => table.rows)
  const stands = rows.length === 0 ? [] : await log.batch(space, rows)
  let at = 0
  const counts = tables.map(({ table, rows }) => {
    const own = stands.slice(at, (at += rows.length))
    return [`${table}${SYNCED_SUFFIX}`, own.filter(Boolean).length] as const
  })
  const sync_timestamp = new Date(clock.now()).toISOString().replace(/\.\d{3}Z$/, 'Z')
  // `fromEntries` defines: a table of the name `__proto__` stays a property.
  return { ...Object.fromEntries(counts), sync_timestamp }
}

function checkTableName(table: string): void {
  if (table.length > 0 && table.length <= MAX_NAME_CHARS && isCleanText(table)) return
  throw new TidemarkError('bad_request', 'A table name is empty, too long, or holds NUL or a lone surrogate')
}

function readRow(table: string, index: number, row: PlainRow): BatchRow {
  const refuse = (rule: string): never => {
    throw new TidemarkError('unprocessable', `Record ${index} of a table cannot be taken: ${rule}`, {
      details: { table, index, rule },
    })
  }
  const id: unknown = Object.hasOwn(row, BATCH_KEY) ? row[BATCH_KEY] : undefined
  if (!isId(id)) return refuse(`\`${BATCH_KEY}\` is not a text or a whole number`)
  const entries: [string, Encoded][] = []
  for (const [column, value] of Object.entries(row)) {
    try {
      entries.push([column, plainToEncoded(value)])
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      return refuse(error.message)
    }
  }
  const fields = Object.fromEntries(entries)
  const fault = fieldsFault(fields)
  if (fault !== null) return refuse(fault.message)
  const key = keyOf([plainToEncoded(id)])
  if (utf8Bytes(key) > MAX_KEY_BYTES) return refuse(`\`${BATCH_KEY}\` is longer than ${MAX_KEY_BYTES} bytes`)
  const updatedAt = Object.hasOwn(row, BATCH_UPDATED_AT) ? readInstant(row[BATCH_UPDATED_AT]) : null
  return { table, key, fields, updatedAt }
}

const isId = (id: unknown): id is string | number | bigint =>
  (typeof id === 'string' && id !== '') ||
  typeof id === 'bigint' ||
  (typeof id === 'number' && Number.isInteger(id))
