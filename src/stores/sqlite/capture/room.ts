import type { Connection } from '../driver/driver.ts'

/** Bytes of cache for each table that is captured: its text in the schema, and the first page of each of its parts. */
const ROOM_A_TABLE = 24 * 1024

/**
 * For every object that it makes, SQLite reads its schema table from end to end, and far slower where that
 * does not stay in the cache. Room for the capture of so many tables while `work` runs; it is given back at the end.
 */
export function withRoom<T>(connection: Connection, tables: number, work: () => T): T {
  const before = Number(connection.value('PRAGMA cache_size'))
  // Below zero it is kibibytes, above it pages.
  const bytes = before < 0 ? before * -1024 : before * Number(connection.value('PRAGMA page_size'))
  if (tables * ROOM_A_TABLE <= bytes) return work()
  connection.exec(`PRAGMA cache_size = -${(tables * ROOM_A_TABLE) / 1024}`)
  try {
    return work()
  } finally {
    connection.exec(`PRAGMA cache_size = ${before}`)
  }
}
