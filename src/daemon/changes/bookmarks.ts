import type Database from 'better-sqlite3'

import type { Bookmark } from './change-feed.ts'

/** The bookmark of a reader whose work is in daemon.db, or sent away. */
export interface StoredBookmark {
  /** Null: it never read. */
  get(): Bookmark | null
  /** Within the transaction of what was made of the lines. */
  set(bookmark: Bookmark): void
}

export function openBookmark(database: Database.Database, name: string): StoredBookmark {
  const select = database.prepare('SELECT seq, mark FROM readers WHERE name = ?')
  const upsert = database.prepare(
    `INSERT INTO readers (name, seq, mark) VALUES (@name, @seq, @mark)
     ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, mark = excluded.mark`,
  )
  return {
    get: () => (select.get(name) as Bookmark | undefined) ?? null,
    set: ({ seq, mark }) => void upsert.run({ name, seq, mark }),
  }
}
