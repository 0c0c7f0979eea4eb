import { isOwnName } from '../capture/names.ts'
import type { Connection, SqlRow } from '../driver/driver.ts'

/** The schema table and what PRAGMAs tell, in a handful of queries for the whole file. */
export interface Catalog {
  readonly tables: readonly CatalogTable[]
  readonly virtual: readonly { readonly name: string; readonly module: string }[]
  readonly views: readonly string[]
}

export interface CatalogTable {
  readonly name: string
  readonly sql: string
  readonly withoutRowid: boolean
  readonly strict: boolean
  /** SQLite knows that it holds a virtual table's data. */
  readonly shadow: boolean
  readonly columns: readonly CatalogColumn[]
  readonly indexes: readonly CatalogIndex[]
  readonly foreignKeys: readonly CatalogForeignKey[]
  /** Some table of the file refers to it. */
  readonly referenced: boolean
  readonly triggers: readonly { readonly name: string; readonly sql: string }[]
}

export interface CatalogColumn {
  readonly name: string
  readonly type: string
  readonly notNull: boolean
  readonly default: string | null
  /** Place in the primary key from 1; 0 outside. */
  readonly pk: number
  readonly generated: 'no' | 'virtual' | 'stored'
}

export interface CatalogIndex {
  readonly name: string
  readonly unique: boolean
  /** Made by CREATE INDEX, by a UNIQUE constraint, by the primary key. */
  readonly origin: 'c' | 'u' | 'pk'
  /** Text of CREATE INDEX; null for the other origins. */
  readonly sql: string | null
  readonly terms: readonly CatalogTerm[]
}

export interface CatalogTerm {
  /** Null for an expression, and for the row number. */
  readonly column: string | null
  readonly collation: string
  readonly descending: boolean
}

export interface CatalogForeignKey {
  /** Counts from the last one declared. */
  readonly id: number
  readonly table: string
  readonly columns: readonly string[]
  readonly references: readonly string[]
  readonly onUpdate: string
  readonly onDelete: string
}

const TABLES = `SELECT name, type, wr, strict FROM pragma_table_list
  WHERE schema = 'main' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_tidemark\\_%' ESCAPE '\\'`
/** Only these may be asked further: a virtual table whose module is absent fails. */
const PLAIN = `(SELECT name FROM (${TABLES}) WHERE type IN ('table', 'shadow')) AS t`
const COLUMNS = `SELECT t.name, x.name, x.type, x."notnull", x.dflt_value, x.pk, x.hidden
  FROM ${PLAIN}, pragma_table_xinfo(t.name, 'main') AS x ORDER BY t.name, x.cid`
const INDEXES = `SELECT t.name, i.name, i."unique", i.origin, x.cid, x.name, x.coll, x."desc"
  FROM ${PLAIN}, pragma_index_list(t.name, 'main') AS i, pragma_index_xinfo(i.name, 'main') AS x
  WHERE x.key = 1 ORDER BY t.name, i.name, x.seqno`
const FOREIGN_KEYS = `SELECT t.name, f.id, f."table", f."from", f."to", f.on_update, f.on_delete
  FROM ${PLAIN}, pragma_foreign_key_list(t.name, 'main') AS f ORDER BY t.name, f.id, f.seq`
const OBJECTS = `SELECT type, name, tbl_name, sql FROM main.sqlite_master ORDER BY rowid`

export function readCatalog(connection: Connection): Catalog {
  const all = (sql: string): SqlRow[] => connection.prepare(sql).all()
  const objects = all(OBJECTS)
  const sqlOf = new Map(
    objects.map((row) => [`${text(row[0])} ${text(row[1])}`, row[3] === null ? null : text(row[3])]),
  )
  const columns = groupByFirst(all(COLUMNS))
  const indexes = groupByFirst(all(INDEXES))
  const references = all(FOREIGN_KEYS)
  const foreignKeys = groupByFirst(references)
  const referenced = new Set(references.map((row) => text(row[2]).toLowerCase()))
  const triggers = Map.groupBy(
    objects.filter((row) => row[0] === 'trigger' && !isOwnName(text(row[1]))),
    (row) => text(row[2]).toLowerCase(),
  )
  const rows = all(TABLES)
  const tables = rows
    .filter((row) => row[1] === 'table' || row[1] === 'shadow')
    .map((row): CatalogTable => {
      const name = text(row[0])
      return {
        name,
        sql: sqlOf.get(`table ${name}`) ?? '',
        withoutRowid: flag(row[2]),
        strict: flag(row[3]),
        shadow: row[1] === 'shadow',
        columns: (columns.get(name) ?? []).map(toColumn),
        indexes: toIndexes(indexes.get(name) ?? [], sqlOf),
        foreignKeys: toForeignKeys(foreignKeys.get(name) ?? []),
        referenced: referenced.has(name.toLowerCase()),
        triggers: (triggers.get(name.toLowerCase()) ?? []).map((row) => ({
          name: text(row[1]),
          sql: text(row[3]),
        })),
      }
    })
  const named = (type: string): string[] => rows.filter((row) => row[1] === type).map((row) => text(row[0]))
  return {
    tables: tables.sort((a, b) => (a.name < b.name ? -1 : 1)),
    virtual: named('virtual').map((name) => ({ name, module: moduleOf(sqlOf.get(`table ${name}`) ?? '') })),
    views: named('view'),
  }
}

/** The module is the first word after USING; names before it may hold anything. */
const moduleOf = (sql: string): string => /\bUSING\s+["'`[]?(\w+)/i.exec(sql)?.[1]?.toLowerCase() ?? ''

const text = (value: SqlRow[number] | undefined): string => (typeof value === 'string' ? value : '')
const flag = (value: SqlRow[number] | undefined): boolean => value === 1n

function groupByFirst(rows: readonly SqlRow[]): ReadonlyMap<string, readonly SqlRow[]> {
  return Map.groupBy(rows, (row) => text(row[0]))
}

function toColumn(row: SqlRow): CatalogColumn {
  return {
    name: text(row[1]),
    type: text(row[2]),
    notNull: flag(row[3]),
    default: row[4] === null ? null : text(row[4]),
    pk: Number(row[5]),
    generated: row[6] === 2n ? 'virtual' : row[6] === 3n ? 'stored' : 'no',
  }
}

function toIndexes(
  rows: readonly SqlRow[],
  sqlOf: ReadonlyMap<string, string | null>,
): readonly CatalogIndex[] {
  return [...Map.groupBy(rows, (row) => text(row[1]))].map(([name, terms]) => ({
    name,
    unique: flag(terms[0]?.[2]),
    origin: terms[0]?.[3] === 'c' ? 'c' : terms[0]?.[3] === 'pk' ? 'pk' : 'u',
    sql: sqlOf.get(`index ${name}`) ?? null,
    terms: terms.map((row) => ({
      column: row[5] === null ? null : text(row[5]),
      collation: text(row[6]),
      descending: flag(row[7]),
    })),
  }))
}

function toForeignKeys(rows: readonly SqlRow[]): readonly CatalogForeignKey[] {
  return [...Map.groupBy(rows, (row) => Number(row[1]))].map(([id, parts]) => ({
    id,
    table: text(parts[0]?.[2]),
    columns: parts.map((row) => text(row[3])),
    references: parts.flatMap((row) => (row[4] === null ? [] : [text(row[4])])),
    onUpdate: text(parts[0]?.[5]),
    onDelete: text(parts[0]?.[6]),
  }))
}
