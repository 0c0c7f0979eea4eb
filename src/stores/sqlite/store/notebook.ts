import { hash } from 'node:crypto'

import { uuidV7, type Random } from '../../../kernel/random.ts'
import type { InboxDraft, InboxEntry } from '../../../engine/inbox.ts'
import type { Connection, SqlRow, Statement } from '../driver/driver.ts'
import { INBOX_TABLE } from './names.ts'

/** An inbox entry, and whether its record is of a history that the cloud lost. */
export interface StoredEntry {
  readonly entry: InboxEntry
  readonly lost: boolean
}

/** The conflict inbox. */
export class Notebook {
  readonly #add: Statement
  readonly #same: Statement
  readonly #find: Statement
  readonly #list: Statement
  readonly #listOpen: Statement
  readonly #listSettled: Statement
  readonly #openOf: Statement
  readonly #settle: Statement
  readonly #countOpen: Statement
  readonly #lose: Statement

  constructor(connection: Connection) {
    const select = `SELECT id, at, status, draft, lost FROM ${INBOX_TABLE}`
    const order = 'ORDER BY sequence DESC LIMIT ?'
    this.#add = connection.prepare(
      `INSERT INTO ${INBOX_TABLE} (id, at, status, kind, draft, digest, lost) VALUES (?, ?, 'open', ?, ?, ?, 0)`,
    )
    this.#same = connection.prepare(
      `SELECT 1 FROM ${INBOX_TABLE} WHERE digest = ? AND status = 'open' AND lost = 0 LIMIT 1`,
    )
    this.#find = connection.prepare(`${select} WHERE id = ?`)
    this.#list = connection.prepare(`${select} ${order}`)
    this.#listOpen = connection.prepare(`${select} WHERE status = 'open' ${order}`)
    this.#listSettled = connection.prepare(`${select} WHERE status <> 'open' ${order}`)
    this.#openOf = connection.prepare(`${select} WHERE status = 'open' AND kind = ? ${order}`)
    this.#settle = connection.prepare(`UPDATE ${INBOX_TABLE} SET status = ?, choice = ? WHERE id = ?`)
    this.#countOpen = connection.prepare(`SELECT count(*) FROM ${INBOX_TABLE} WHERE status = 'open'`)
    this.#lose = connection.prepare(
      `UPDATE ${INBOX_TABLE} SET lost = 1 WHERE status = 'open' AND draft ->> '$.remote.version' > ?`,
    )
  }

  /** A conflict that is met again is noted once, as long as its note is open. */
  add(draft: InboxDraft, now: number, random: Random): void {
    const text = JSON.stringify(draft)
    const digest = hash('sha256', text, 'buffer')
    if (this.#same.get(digest) !== undefined) return
    this.#add.run(uuidV7(now, random), BigInt(Math.floor(now)), draft.kind, text, digest)
  }

  find(id: string): StoredEntry | null {
    const row = this.#find.get(id)
    return row === undefined ? null : decode(row)
  }

  /** The newest first. */
  list(filter: { readonly open?: boolean; readonly limit?: number }): readonly InboxEntry[] {
    const statement =
      filter.open === undefined ? this.#list : filter.open ? this.#listOpen : this.#listSettled
    return statement.all(BigInt(filter.limit ?? -1)).map((row) => decode(row).entry)
  }

  /** Open entries of one kind. */
  listOpen(kind: InboxDraft['kind']): readonly InboxEntry[] {
    return this.#openOf.all(kind, -1n).map((row) => decode(row).entry)
  }

  settle(id: string, status: InboxEntry['status'], choice: string): void {
    this.#settle.run(status, choice, id)
  }

  countOpen(): number {
    return Number(this.#countOpen.get()?.[0] ?? 0)
  }

  /** The records above this version, in open entries, are of a history that is lost. */
  loseAbove(version: number): void {
    this.#lose.run(BigInt(version))
  }
}

function decode([id, at, status, draft, lost]: SqlRow): StoredEntry {
  const entry = { ...(JSON.parse(String(draft)) as InboxDraft), id: String(id), at: Number(at) }
  return { entry: { ...entry, status: String(status) as InboxEntry['status'] }, lost: lost === 1n }
}
