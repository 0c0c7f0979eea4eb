import { createHash } from 'node:crypto'

import { MAX_TABLES } from '../../../protocol/limits.ts'
import { quoteName, tryStatement, type Connection } from '../driver/driver.ts'
import { SqliteFailure } from '../driver/failure.ts'
import { readCatalog, type Catalog, type CatalogTable } from './catalog.ts'
import { findRefusal } from './fitness.ts'
import { isBookkeeping, refuseName, shadowOf } from './refusals.ts'
import type { FileShapes, Shape, TableRefusal } from './shape.ts'
import { toShape } from './table.ts'
import { findUndeclaredReferences } from './warnings.ts'

/**
 * Reads the schema of the whole file. Every table that can be synced becomes a `Shape`; every other one is
 * refused with the reason, except what belongs to SQLite or to Tidemark. What a table's triggers, indexes and
 * defaults need is tried on this connection. Cheap to call again: compare `PRAGMA schema_version` first. `named`: tables
 * that are asked for by name, be they of a migration tool.
 */
export function readShapes(connection: Connection, named: readonly string[] = []): FileShapes {
  const schemaVersion = Number(connection.value('PRAGMA schema_version'))
  const catalog = readCatalog(connection)
  const shapes = new Map<string, Shape>()
  const refused: TableRefusal[] = [
    ...catalog.virtual.map(({ name }) => ({
      table: name,
      reason: 'a virtual table: its module keeps its rows elsewhere',
    })),
    ...catalog.views.map((table) => ({ table, reason: 'a view: it is computed from tables' })),
  ]
  for (const table of catalog.tables) {
    const shape = readShape(connection, catalog, table, named)
    if (typeof shape === 'string') refused.push({ table: table.name, reason: shape })
    else if (shapes.size >= MAX_TABLES)
      refused.push({ table: table.name, reason: `more than ${MAX_TABLES} tables` })
    else shapes.set(shape.name, shape)
  }
  return {
    shapes,
    refused: refused.sort((a, b) => (a.table < b.table ? -1 : 1)),
    warnings: findUndeclaredReferences(shapes),
    mayFail: connection
      .prepare(FAILING)
      .all()
      .some(([sql]) => /\bFAIL\b/i.test(String(sql))),
    schemaVersion,
    fingerprint: hashOf([...shapes.values()].map((shape) => shape.fingerprint)),
  }
}

const FAILING = `SELECT sql FROM main.sqlite_schema WHERE type IN ('table', 'trigger') AND sql LIKE '%fail%'
  AND name NOT LIKE '\\_tidemark\\_%' ESCAPE '\\'`

/** The shape, or the reason why there is none. */
function readShape(
  connection: Connection,
  catalog: Catalog,
  table: CatalogTable,
  named: readonly string[],
): Shape | string {
  const columns = table.columns.map((column) => column.name)
  const name = refuseName(table.name)
  if (name !== null) return name
  if (isBookkeeping(table.name, columns) && !named.includes(table.name))
    return 'it records the migrations of this one file, and is synced only where it is named'
  const owner = shadowOf(table.name, catalog.virtual)
  if (table.shadow || owner !== null)
    return `it holds the data of the virtual table ${owner ?? 'of which it bears the name'}`
  if (!table.columns.some((column) => column.pk > 0)) return 'it has no primary key'
  const shape = toShape(table)
  if (shape === null) return 'its definition could not be read'
  return findRefusal(shape) ?? tryStatements(connection, shape) ?? shape
}

/** Prepares what the store will run. The reason why one of them cannot, or null. */
function tryStatements(connection: Connection, shape: Shape): string | null {
  const table = quoteName(shape.name)
  const written = shape.columns
    .filter((column) => column.generated === null)
    .map((column) => quoteName(column.name))
  const key = shape.key.map((column) => `${quoteName(column.name)} = ?`).join(' AND ')
  const statements = [
    `SELECT ${shape.columns.map((column) => quoteName(column.name)).join(', ')} FROM ${table}`,
    `INSERT INTO ${table} (${written.join(', ')}) VALUES (${written.map(() => '?').join(', ')})`,
    `UPDATE ${table} SET ${written.map((column) => `${column} = ?`).join(', ')} WHERE ${key}`,
    `DELETE FROM ${table} WHERE ${key}`,
  ]
  for (const sql of statements) {
    try {
      tryStatement(connection, sql)
    } catch (error) {
      if (!(error instanceof SqliteFailure)) throw error
      // Our own triggers, broken: those are repaired, and no reason to refuse the table.
      if (error.message.includes('_tidemark_')) continue
      return `it cannot be written on this connection (${error.message})`
    }
  }
  return null
}

const hashOf = (parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)
