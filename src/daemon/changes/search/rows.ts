import type Database from 'better-sqlite3'

import type { SearchHit } from '../../../protocol/agents.ts'
import { isRecordId, readField, selectField } from '../../agents/fields.ts'
import type { Document, Kind, Numbered } from './documents.ts'

/**
 * How much of a row is indexed, in bytes of UTF-8: the beginning of each text. What is not indexed is not found; a file
 * that was read or written whole would otherwise be most of the index.
 */
const MAX_BODY_BYTES = 128 * 1024
/** Of a tool call's input, so that there is room for its output. */
const MAX_INPUT_BYTES = 64 * 1024
const MAX_SMALL_BYTES = 8 * 1024

export const KINDS: readonly Kind[] = ['message', 'tool_call']
const TABLES: { readonly [kind in Kind]: string } = { message: 'messages', tool_call: 'tool_calls' }
const BODIES: { readonly [kind in Kind]: readonly (readonly [column: string, bytes: number])[] } = {
  message: [['text', MAX_BODY_BYTES]],
  tool_call: [
    ['tool_name', MAX_SMALL_BYTES],
    ['file_path', MAX_SMALL_BYTES],
    ['error', MAX_SMALL_BYTES],
    ['input', MAX_INPUT_BYTES],
    ['output', MAX_BODY_BYTES],
  ],
}
export const kindOfTable = (table: string): Kind | null =>
  KINDS.find((kind) => TABLES[kind] === table) ?? null

/** The place of a row among those of its table, newest first, as its columns have it. */
export interface RowPlace {
  readonly time: unknown
  readonly id: unknown
}

/** Any program may have put anything into the columns: bytes are read, so that nothing ends at a NUL. */
const bytesOf = ([column, bytes]: readonly [string, number]): string =>
  `CASE WHEN typeof(${column}) = 'blob' THEN NULL ELSE substr(CAST(${column} AS BLOB), 1, ${bytes}) END`
const columnsOf = (kind: Kind): string =>
  `created_at, id, session_id, ${BODIES[kind].map(bytesOf).join(', ')}`

/** Reads messages and tool calls out of agents.db, no more of each than is indexed. */
export function openRows(database: Database.Database) {
  const statements = new Map<string, Database.Statement<unknown[], readonly unknown[]>>()
  const prepare = (sql: string) => {
    const found =
      statements.get(sql) ?? database.prepare<unknown[], readonly unknown[]>(sql).raw().safeIntegers()
    statements.set(sql, found)
    return found
  }
  const rowOf = ({ kind, id }: Numbered) =>
    prepare(`SELECT ${columnsOf(kind)} FROM ${TABLES[kind]} WHERE id = ?`).get(id)
  const older = (kind: Kind, columns: string, place: RowPlace | null, limit: number) => {
    const select = `SELECT ${columns} FROM ${TABLES[kind]}`
    const order = `ORDER BY created_at DESC, id DESC LIMIT ${limit}`
    if (place === null) return prepare(`${select} ${order}`).iterate()
    if (place.time !== null)
      return prepare(`${select} WHERE (created_at, id) < (?, ?) ${order}`).iterate(place.time, place.id)
    return prepare(`${select} WHERE created_at IS NULL AND id < ? ${order}`).iterate(place.id)
  }
  return {
    /** Null: there is none that could be found. */
    document: (key: Numbered): Document | null => toDocument(key.kind, rowOf(key)),
    /** The time of the next row before a place, null where there is none. Those without a time come last. */
    nextTime(kind: Kind, place: RowPlace | null): number | null {
      const [next] = older(kind, 'created_at', place, 1)
      return next === undefined ? null : toTime(next[0])
    },
    /**
     * The next rows before a place until their texts have so many bytes, and the place behind them; null: there is none.
     * Rows that have no time stand behind the others: `(NULL, x'ff')` is before all of them.
     */
    documentsBefore(kind: Kind, place: RowPlace | null, rows: number, bytes: number) {
      const documents: Document[] = []
      let next: RowPlace | null = null
      let size = 0
      for (const row of older(kind, columnsOf(kind), place, rows)) {
        next = { time: row[0], id: row[1] }
        const document = toDocument(kind, row)
        if (document === null) continue
        documents.push(document)
        size += charsOf(document)
        if (size >= bytes) break
      }
      return { documents, next }
    },
    /** Null: the row is gone. */
    hit({ kind, id }: Numbered): (Omit<SearchHit, 'snippet'> & Pick<Document, 'texts'>) | null {
      const row = rowOf({ kind, id })
      const document = toDocument(kind, row)
      if (document === null) return null
      const own = kind === 'message' ? 'role' : 'tool_name'
      const [created_at, session_id, name, session_title] =
        prepare(
          `SELECT created_at, ${selectField('session_id', 'ref')}, ${selectField(own, 'short')},
             (SELECT ${selectField('title', 'short')} FROM sessions WHERE sessions.id = ${TABLES[kind]}.session_id)
           FROM ${TABLES[kind]} WHERE id = ?`,
        ).get(id) ?? []
      return {
        kind,
        id,
        session_id: readField(session_id, 'ref') as string | null,
        session_title: readField(session_title, 'short') as string | null,
        role: kind === 'message' ? (readField(name, 'short') as string | null) : null,
        tool_name: kind === 'tool_call' ? (readField(name, 'short') as string | null) : null,
        created_at: readField(created_at, 'time') as number | null,
        texts: document.texts,
      }
    },
  }
}
export type Rows = ReturnType<typeof openRows>

function toDocument(kind: Kind, row: readonly unknown[] | undefined): Document | null {
  if (row === undefined) return null
  const [time, id, session, ...values] = row
  if (!isRecordId(id)) return null
  let room = MAX_BODY_BYTES
  const texts = values.flatMap((bytes, at) => {
    const text = toText(bytes, BODIES[kind][at]?.[0] === 'input').slice(0, room)
    room -= text.length
    return text === '' ? [] : [text]
  })
  return {
    kind,
    id,
    session: isRecordId(session) ? session : null,
    time: toTime(time),
    texts,
  }
}

export const charsOf = ({ texts }: Document): number => texts.reduce((sum, text) => sum + text.length, 0)

function toTime(value: unknown): number {
  const time = typeof value === 'bigint' || typeof value === 'number' ? Number(value) : 0
  return Number.isFinite(time) ? time : 0
}

const DECODER = new TextDecoder()

function toText(bytes: unknown, isJson: boolean): string {
  if (!(bytes instanceof Uint8Array)) return ''
  const text = DECODER.decode(bytes)
  return isJson ? text.replaceAll(ESCAPED, unescape) : text
}

/** In the JSON of an input: else `\nfoo` would be the word `nfoo`. */
const ESCAPED = /\\(?:u([0-9a-fA-F]{4})|(.))/g
const unescape = (_: string, hex: string | undefined, char: string | undefined): string => {
  if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16))
  return char === undefined || /[bfnrt]/.test(char) ? ' ' : char
}
