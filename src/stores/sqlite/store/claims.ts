import { createHash } from 'node:crypto'

import type { Collation } from '../../../kernel/keys.ts'
import { setOwn, type Encoded, type Fields } from '../../../kernel/values.ts'
import { claimOf } from '../../../protocol/claims.ts'
import type { Claims } from '../../../protocol/records.ts'
import { quoteName, type SqlRow } from '../driver/driver.ts'
import type { IndexTerm, ShapeIndex } from '../shape/shape.ts'
import { newBounds, pushBounds, type Bounds, type Template } from './bind.ts'
import { decodeValue, type ReadMode } from './decode.ts'
import type { SyncedTable } from './synced-table.ts'

/**
 * Canonical unique values of the row at `key`, as it stands in the table: of the indexes that have one of the
 * `changed` columns, or of all. Plain columns are taken from `fields`; expressions and conditions are computed by
 * SQLite, by the index's own terms.
 */
export function claimsOf(
  table: SyncedTable,
  key: string,
  fields: Fields,
  changed: readonly string[] | null,
): Claims {
  const claims: { [claim: string]: string | null } = {}
  for (const index of table.shape.unique) {
    if (changed !== null && !isTouched(table, index, changed)) continue
    const claim = isPlain(table, index) ? plainClaim(index, fields) : computedClaim(table, index, key)
    setOwn(claims, index.claim, claim)
  }
  return claims
}

/** True when the claim follows from the carried columns alone, without computing anything. */
export function isPlain(table: SyncedTable, index: ShapeIndex): boolean {
  return index.where === null && index.terms.every(({ column }) => column !== null && table.hasColumn(column))
}

/** What an expression or a condition reads is not known: it counts as touched by any change. */
function isTouched(table: SyncedTable, index: ShapeIndex, changed: readonly string[]): boolean {
  return (
    !isPlain(table, index) || index.terms.some(({ column }) => column !== null && changed.includes(column))
  )
}

function plainClaim({ terms }: ShapeIndex, fields: Fields): string | null {
  const values = terms.map(({ column }) => fields[column ?? ''] ?? null)
  return claimOf(values, terms.map(collationOf), sha256)
}

function computedClaim(table: SyncedTable, index: ShapeIndex, key: string): string | null {
  const bounds = table.bindKey(key)
  if (bounds === null) return null
  const where = (place: (at: number) => string) =>
    table
      .keyTerms('c')
      .map((term, at) => `${term} = ${place(at)}`)
      .join(' AND ')
  const from = (place: (at: number) => string) =>
    `FROM main.${quoteName(table.name)} AS c WHERE ${where(place)}`
  const query = (list: string) => table.query(`claim ${list}`, (place) => `SELECT ${list} ${from(place)}`)
  const values = computeTerms(table, index, query, bounds)
  return values === null ? null : claimOf(values, index.terms.map(collationOf), sha256)
}

/** The values of an index's terms in one row; null when there is no row, or the index leaves it out. */
export function computeTerms(
  table: SyncedTable,
  index: ShapeIndex,
  query: (list: string) => Template,
  bounds: Bounds,
): readonly Encoded[] | null {
  for (const mode of ['fast', 'exact'] as const) {
    const list = [
      `CASE WHEN ${index.where ?? '1'} THEN 1 ELSE 0 END`,
      ...index.terms.map((term) => termList(term, mode)),
    ]
    const row = query(list.join(', ')).get(pushBounds(newBounds(), bounds))
    if (row === undefined || row[0] !== 1n) return null
    const values = decodeTerms(table, row, index.terms.length, mode)
    if (values !== undefined) return values
  }
  return null
}

function decodeTerms(
  table: SyncedTable,
  row: SqlRow,
  count: number,
  mode: ReadMode,
): readonly Encoded[] | undefined {
  const values: Encoded[] = []
  for (let at = 0; at < count; at++) {
    const value = decodeValue(row, 1 + at * (mode === 'fast' ? 1 : 2), mode, table.encoding)
    if (value === undefined) return undefined
    values.push(value)
  }
  return values
}

function termList(term: IndexTerm, mode: ReadMode): string {
  const sql = termSql(term)
  return mode === 'fast'
    ? sql
    : `typeof(${sql}), CASE typeof(${sql}) WHEN 'text' THEN CAST(${sql} AS BLOB) ELSE ${sql} END`
}

/** A term of an index, as SQL on its table alone. */
export const termSql = ({ column, expression }: IndexTerm): string =>
  column === null ? `(${expression ?? 'NULL'})` : quoteName(column)

export function collationOf({ collation }: IndexTerm): Collation {
  const upper = collation.toUpperCase()
  return upper === 'NOCASE' || upper === 'RTRIM' ? upper : 'BINARY'
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
