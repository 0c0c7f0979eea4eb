import type { Encoded } from '../../kernel/values.ts'
import type { Connection, SqlValue } from './driver/driver.ts'

/** `PRAGMA encoding` of a file decides what the bytes of its text are. */
export type TextEncoding = 'UTF-8' | 'UTF-16le' | 'UTF-16be'

export declare function readEncoding(connection: Connection): TextEncoding

/**
 * Encodes what a driver read. Returns `undefined` for text that may have lost bytes on its way through a
 * JavaScript string: read `CAST(column AS BLOB)` of the same row and give it to `encodeTextBytes`.
 */
export declare function encodeValue(value: SqlValue, encoding: TextEncoding): Encoded | undefined

/** Encodes a TEXT value from its bytes. */
export declare function encodeTextBytes(bytes: Uint8Array, encoding: TextEncoding): Encoded

export interface Bound {
  readonly value: SqlValue
  /** The value is the bytes of a text: its place in the statement must be `CAST(? AS TEXT)`, not `?`. */
  readonly cast: boolean
}

/** How to bind an encoding. Null when SQLite (or a file of this encoding) has no such value: the row is parked. */
export declare function bindValue(value: Encoded, encoding: TextEncoding): Bound | null
