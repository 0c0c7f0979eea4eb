import type Database from 'better-sqlite3'

import { randomInt, type Random } from '../../../kernel/random.ts'
import { spaceWords } from './words.ts'

export type Kind = 'message' | 'tool_call'

/** What is indexed of one row. */
export interface Document {
  readonly kind: Kind
  readonly id: string
  readonly session: string | null
  /** Milliseconds; whatever is none counts as 0. */
  readonly time: number
  /** No words in a row reach from one into the next. */
  readonly texts: readonly string[]
}

export interface Numbered {
  readonly kind: Kind
  readonly id: string
}

/**
 * Documents by number, in FTS5 tables of bounded size. FTS5 gathers all rows of a prefix before it answers the first,
 * and looks at all rows of two words to say that they never stand together: of one shard only, the newest first, each a
 * piece of work after which others may go on. It also merges what it has written, and of a small table that is little.
 */
export interface Documents {
  has(kind: Kind, id: string): boolean
  /** Adds a document, or what replaces the one of the same kind and id. */
  put(document: Document): void
  remove(kind: Kind, id: string): void
  /** The newest shard with documents below a number. */
  shardBelow(number: number): Shard | null
  /** Numbers of matching documents of a shard below a number, newest first. */
  find(shard: Shard, match: string, below: number, limit: number): readonly number[]
  keyOf(number: number): Numbered | null
  /** Joins a bounded piece of what was written. True: there is more. */
  merge(): boolean
  /** Documents at the upper end of a shard that has become too large, at most `limit`; none: no shard has. */
  surplus(limit: number): readonly Numbered[]
  /** Moves the surplus, as it was answered, up into the next shard or one of its own. Null: the row is gone. */
  move(documents: readonly (Document | null)[]): void
}

export interface Shard {
  readonly id: number
  readonly lowest: number
  readonly documents: number
}

/** Numbers for one millisecond. More documents of the same one get numbers of the next ones. */
const NUMBERS = 16
/** A time beyond it counts as this: numbers are exact in a double. */
const MAX_TIME = 2 ** 48
export const NUMBER_END = MAX_TIME * NUMBERS * 2
/** Where a shard ends when documents come in order; where they do not, at twice as many. */
const FULL_DOCUMENTS = 32_768
/** Pages that one call of FTS5 may merge: some milliseconds. */
const MERGE_PAGES = 64

/** Between the texts of a row: a word that no query has. */
const BETWEEN = ' \u{f0000} '

/** Facets are words of a column of their own: what a search can be narrowed to. */
export const kindFacet = (kind: Kind): string => (kind === 'message' ? 'kmessage' : 'ktool')
export const sessionFacet = (session: string): string => `s${Buffer.from(session).toString('hex')}`

export function openDocuments(
  database: Database.Database,
  random: Random,
  full: number = FULL_DOCUMENTS,
): Documents {
  const byId = database.prepare('SELECT number FROM documents WHERE id = ? AND kind = ?').pluck()
  const byNumber = database.prepare('SELECT kind, id FROM documents WHERE number = ?')
  const highest = database
    .prepare('SELECT max(number) FROM documents WHERE number >= ? AND number < ?')
    .pluck()
  const lowest = database
    .prepare('SELECT min(number) FROM documents WHERE number >= ? AND number < ?')
    .pluck()
  const insert = database.prepare('INSERT INTO documents (number, kind, id) VALUES (?, ?, ?)')
  const drop = database.prepare('DELETE FROM documents WHERE number = ?')
  const below = database.prepare(
    'SELECT id, lowest, documents FROM shards WHERE lowest < ? ORDER BY lowest DESC LIMIT 1',
  )
  const above = database.prepare('SELECT min(lowest) FROM shards WHERE lowest > ?').pluck()
  const addShard = database.prepare('INSERT INTO shards (lowest, documents) VALUES (?, ?)')
  const moveShard = database.prepare('UPDATE shards SET lowest = ? WHERE id = ?')
  const count = database.prepare('UPDATE shards SET documents = documents + ? WHERE id = ?')
  const large = database.prepare(
    'SELECT id, lowest, documents FROM shards WHERE documents > ? ORDER BY lowest LIMIT 1',
  )
  const last = database.prepare(
    'SELECT number, kind, id FROM documents WHERE number >= ? AND number < ? ORDER BY number DESC LIMIT ?',
  )
  const changes = database.prepare('SELECT total_changes()').pluck()
  const tables = new Map<number, ReturnType<typeof openWords>>()
  const unmerged = new Set(database.prepare('SELECT id FROM shards').pluck().all() as number[])

  const wordsOf = (id: number) => {
    const found = tables.get(id) ?? openWords(database, id)
    tables.set(id, found)
    return found
  }
  const makeShard = (from: number): Shard => {
    const id = Number(addShard.run(from, 0).lastInsertRowid)
    // The body first: places in the first column take two bytes less, each time.
    database.exec(
      `CREATE VIRTUAL TABLE words_${id} USING fts5(body, facets, content='', contentless_delete=1, tokenize='ascii')`,
    )
    // Merged here, a bounded piece at a time: what FTS5 does by itself may take a second.
    database.exec(
      `INSERT INTO words_${id} (words_${id}, rank) VALUES ('automerge', 0), ('crisismerge', 1999)`,
    )
    return { id, lowest: from, documents: 0 }
  }
  const shardBelow = (number: number): Shard | null => (below.get(number) as Shard | undefined) ?? null

  /** The shard for a new number. Beyond an end of a full one it is its neighbour, or one between the two. */
  const shardFor = (number: number): Shard => {
    const shard = shardBelow(number + 1) ?? makeShard(0)
    if (shard.documents < full) return shard
    const end = endOf(shard)
    if (number > Number(highest.get(shard.lowest, end))) {
      const next = shardBelow(end + 1)
      if (next === null || next.id === shard.id || next.documents >= full) return makeShard(number)
      moveShard.run(number, next.id)
      return next
    }
    const first = Number(lowest.get(shard.lowest, end))
    if (number > first) return shard
    moveShard.run(first, shard.id)
    const before = shardBelow(number + 1)
    return before !== null && before.documents < full ? before : makeShard(shard.lowest)
  }
  const endOf = (shard: Shard): number => Number(above.get(shard.lowest) ?? NUMBER_END)

  /** A free number for a time. Where very many have the same one, they spread over as much room as they need. */
  const numberFor = (time: number): number => {
    const first = Math.floor(Math.min(Math.max(time, 0), MAX_TIME)) * NUMBERS
    const last = highest.get(first, first + NUMBERS) as number | null
    if (last === null) return first
    if (last + 1 < first + NUMBERS) return last + 1
    for (let room = 2 * NUMBERS; ; room *= 2) {
      const number = first + randomInt(random, room)
      if (byNumber.get(number) === undefined) return number
    }
  }

  const removeNumber = (number: number): void => {
    const shard = shardBelow(number + 1)
    drop.run(number)
    if (shard === null) return
    wordsOf(shard.id).remove.run(BigInt(number))
    count.run(-1, shard.id)
    unmerged.add(shard.id)
  }
  const addWords = (shard: Shard, number: number, { kind, session, texts }: Document): void => {
    const facets = session === null ? kindFacet(kind) : `${kindFacet(kind)} ${sessionFacet(session)}`
    wordsOf(shard.id).insert.run(BigInt(number), facets, texts.map(spaceWords).join(BETWEEN))
    count.run(1, shard.id)
    unmerged.add(shard.id)
  }

  const surplus = (limit: number) => {
    const shard = large.get(2 * full) as Shard | undefined
    if (shard === undefined) return []
    return last.all(shard.lowest, endOf(shard), Math.min(limit, full)) as readonly (Numbered & {
      readonly number: number
    })[]
  }

  return {
    has: (kind, id) => byId.get(id, kind) !== undefined,
    put(document) {
      const { kind, id, time } = document
      const before = byId.get(id, kind) as number | undefined
      if (before !== undefined) removeNumber(before)
      const number = numberFor(time)
      const shard = shardFor(number)
      insert.run(number, kind, id)
      addWords(shard, number, document)
    },
    remove(kind, id) {
      const number = byId.get(id, kind) as number | undefined
      if (number !== undefined) removeNumber(number)
    },
    shardBelow,
    find(shard, match, to, limit) {
      const end = BigInt(Math.min(to, endOf(shard)))
      return wordsOf(shard.id).find.all(match, BigInt(shard.lowest), end, limit) as number[]
    },
    keyOf: (number) => (byNumber.get(number) as Numbered | undefined) ?? null,
    merge() {
      for (const id of unmerged) {
        const before = Number(changes.get())
        wordsOf(id).merge.run(MERGE_PAGES)
        // FTS5 counts one change for the command itself.
        if (Number(changes.get()) - before >= 2) return true
        unmerged.delete(id)
      }
      return false
    },
    surplus: (limit) => surplus(limit).map(({ kind, id }) => ({ kind, id })),
    move(documents) {
      const moved = surplus(documents.length)
      const from = large.get(2 * full) as Shard | undefined
      const first = moved.at(-1)
      if (from === undefined || first === undefined) return
      const next = shardBelow(endOf(from) + 1)
      const room = next !== null && next.id !== from.id && next.documents < full ? next : null
      for (const { number } of moved) wordsOf(from.id).remove.run(BigInt(number))
      count.run(-moved.length, from.id)
      unmerged.add(from.id)
      if (room !== null) moveShard.run(first.number, room.id)
      const to = room ?? makeShard(first.number)
      // FTS5 writes out what it has gathered wherever a number is not above the one before.
      for (const [at, { number }] of [...moved.entries()].reverse()) {
        const document = documents[at] ?? null
        if (document === null) drop.run(number)
        else addWords(to, number, document)
      }
    },
  }
}

function openWords(database: Database.Database, id: number) {
  return {
    insert: database.prepare(`INSERT INTO words_${id} (rowid, facets, body) VALUES (?, ?, ?)`),
    remove: database.prepare(`DELETE FROM words_${id} WHERE rowid = ?`),
    find: database
      .prepare(
        `SELECT rowid FROM words_${id} WHERE words_${id} MATCH ? AND rowid >= ? AND rowid < ?
         ORDER BY rowid DESC LIMIT ?`,
      )
      .pluck(),
    merge: database.prepare(`INSERT INTO words_${id} (words_${id}, rank) VALUES ('merge', ?)`),
  }
}
