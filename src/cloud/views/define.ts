import { createHash } from 'node:crypto'

import type { SchemaColumn, SchemaTable } from '../../protocol/schema.ts'

/** A view of one table of one space. */
export interface ViewDefinition {
  readonly schema: string
  readonly name: string
  /** What creates it. */
  readonly sql: string
  /** Tells one definition from another: kept as the view's comment. */
  readonly mark: string
}

/** Longer names are cut by PostgreSQL, unseen. */
const MAX_NAME_BYTES = 63
/** A view has at most 1,664. */
const MAX_VIEW_COLUMNS = 1_600

/** The name of the schema that a space's views are in. Its slash keeps it apart from every schema of the system. */
export const viewSchema = (account: string, space: string): string => shorten(`${account}/${space}`)

/** `space`: its number. The table may have no row yet, and then no number. */
export function defineView(schema: string, space: number, table: SchemaTable): ViewDefinition {
  const name = shorten(table.name)
  const columns = table.columns.slice(0, MAX_VIEW_COLUMNS)
  const short = columns.filter((column) => isShort(column.name))
  const taken = new Set(columns.map((column) => shorten(column.name)))
  const ours = Object.entries(OUR_COLUMNS).filter(([name]) => !taken.has(name))
  const list = [
    ...columns.map((column) => `${convert(column)} AS ${quoteName(shorten(column.name))}`),
    ...ours.map(([name, expression]) => `${expression} AS ${quoteName(name)}`),
  ]
  // One pass over the text for all columns; a name that PostgreSQL would cut is looked up by itself.
  const record =
    short.length === 0
      ? ''
      : ` CROSS JOIN LATERAL json_to_record(r.fields::json) AS x(${short.map(({ name }) => `${quoteName(name)} json`).join(', ')})`
  const body = `SELECT ${list.join(', ')} FROM tidemark.tables t
    JOIN tidemark.records r ON r.space = t.space AND r.tbl = t.no AND r.buried_at IS NULL${record}
    WHERE t.space = ${space} AND t.name = ${quoteText(table.name)}`
  // A reader's own functions must not see the rows of other spaces before they are left out.
  const sql = `CREATE VIEW ${quoteName(schema)}.${quoteName(name)} WITH (security_barrier) AS ${body}`
  return { schema, name, sql, mark: `tidemark ${hash(sql)}` }
}

const OUR_COLUMNS: { readonly [name: string]: string } = {
  _key: 'r.key::json',
  _version: 'r.version',
  // Of the hybrid clock only the milliseconds.
  _changed_at: 'to_timestamp(r.hlc / 1000 / 1000.0)',
  _fields: 'r.fields::json',
}

function convert({ name, type }: SchemaColumn): string {
  const value = isShort(name) ? `x.${quoteName(name)}` : `(r.fields::json -> ${quoteText(name)})`
  const convertTo = conversionOf(type)
  return convertTo === null ? value : `tidemark.${convertTo}(${value})`
}

/**
 * What a declared type becomes: SQLite's rules of affinity, in their order, but that a boolean is one and that times
 * stay the text or number they are kept as. Null: no type, so any value.
 */
function conversionOf(type: string): string | null {
  const declared = type.toUpperCase()
  if (declared === '') return null
  if (declared.includes('INT')) return 'bigint_1'
  if (/CHAR|CLOB|TEXT/.test(declared)) return 'text_1'
  if (declared.includes('BLOB')) return 'bytea_1'
  if (/REAL|FLOA|DOUB/.test(declared)) return 'double_1'
  if (declared.startsWith('BOOL')) return 'boolean_1'
  if (/DATE|TIME|JSON|UUID|STRING/.test(declared)) return 'text_1'
  if (declared === 'ANY') return null
  return 'numeric_1'
}

export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`
export const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`

const isShort = (name: string): boolean => Buffer.byteLength(name) <= MAX_NAME_BYTES
const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16)

/** A name as PostgreSQL can have it: a long one ends in a hash of the whole. */
function shorten(name: string): string {
  if (isShort(name)) return name
  const end = `~${hash(name)}`
  let start = ''
  for (const character of name) {
    if (Buffer.byteLength(start + character + end) > MAX_NAME_BYTES) break
    start += character
  }
  return start + end
}
