import { readFileSync } from 'node:fs'

import Database from 'better-sqlite3'

/** The tables that `writer.ts` writes to. */
export const TABLES = [
  { name: 'notes', key: ['id'] },
  { name: 'events', key: ['id'] },
  { name: 'shared', key: ['id'] },
]

export function makeFile(file: string): void {
  const database = new Database(file)
  database.exec(`
    CREATE TABLE notes (id TEXT PRIMARY KEY, owner TEXT NOT NULL, body TEXT NOT NULL, n INTEGER NOT NULL);
    CREATE TABLE events (id INTEGER PRIMARY KEY, token TEXT NOT NULL, note TEXT);
    CREATE TABLE shared (id INTEGER PRIMARY KEY, value TEXT);
    INSERT INTO shared VALUES (0, ''), (1, ''), (2, ''), (3, ''), (4, '');
  `)
  database.close()
}

/** Every committed write of all writers against the rows; answers how many writes there were. */
export function checkTruth(file: string, logs: readonly string[]): number {
  const notes = new Map<string, string | null>()
  const events = new Set<string>()
  let writes = 0
  for (const log of logs) {
    for (const line of readFileSync(log, 'utf8')
      .split('\n')
      .filter((text) => text !== '')) {
      writes++
      const [kind, id, ...rest] = line.split(' ') as [string, string, ...string[]]
      if (kind === 'event') events.add(id)
      else notes.set(id, kind === 'gone' ? null : rest.join(' '))
    }
  }
  const database = new Database(file, { readonly: true })
  const rows = new Map(database.prepare('SELECT id, body FROM notes').raw().all() as [string, string][])
  const tokens = database.prepare('SELECT token FROM events').pluck().all() as string[]
  database.close()
  const wrong: string[] = []
  for (const [id, body] of notes) {
    if (body === null ? rows.has(id) : rows.get(id) !== body)
      wrong.push(`note ${id}: ${String(rows.get(id))}, written ${String(body)}`)
  }
  for (const id of rows.keys()) if (!notes.has(id)) wrong.push(`note ${id} was never written`)
  for (const token of events) if (!tokens.includes(token)) wrong.push(`event ${token} is lost`)
  if (tokens.length !== new Set(tokens).size)
    wrong.push(`${tokens.length - new Set(tokens).size} events are there twice`)
  if (tokens.length !== events.size) wrong.push(`${tokens.length} events, ${events.size} written`)
  if (wrong.length > 0) throw new Error(`${wrong.length} writes are wrong: ${wrong.slice(0, 10).join('; ')}`)
  return writes
}
