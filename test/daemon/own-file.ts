import Database from 'better-sqlite3'

/** Writes into a file as an application would. */
export function write(file: string, sql: string): void {
  const database = new Database(file)
  database.exec(sql)
  database.close()
}

/** The first value that a query of it answers. */
export function read(file: string, sql: string): unknown {
  const database = new Database(file, { readonly: true })
  try {
    return database.prepare(sql).pluck().get()
  } finally {
    database.close()
  }
}
