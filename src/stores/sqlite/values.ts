import { encodeReal, encodeText, type Encoded } from '../../kernel/values.ts'
import { wtf8ToString } from '../../kernel/wtf8.ts'
import type { Connection, SqlValue } from './driver/driver.ts'

/** `PRAGMA encoding` of a file decides what the bytes of its text are. */
export type TextEncoding = 'UTF-8' | 'UTF-16le' | 'UTF-16be'

export function readEncoding(connection: Connection): TextEncoding {
  const encoding = connection.value('PRAGMA encoding')
  return encoding === 'UTF-16le' || encoding === 'UTF-16be' ? encoding : 'UTF-8'
}

/**
 * Encodes what a driver read. Returns `undefined` for text that may have lost bytes on its way through a
 * JavaScript string: read `CAST(column AS BLOB)` of the same row and give it to `encodeTextBytes` (I10).
 */
export function encodeValue(value: SqlValue, encoding: TextEncoding): Encoded | undefined {
  if (value === null) return null
  if (typeof value === 'string') {
    if (isSuspect(value, encoding)) return undefined
    return value.includes('\0') ? encodeText(value) : value
  }
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : { $int: value.toString() }
  }
  if (typeof value === 'number') return encodeReal(value)
  return { $bytes: bytesOf(value).toString('base64') }
}

/**
 * Malformed UTF-8 arrives as U+FFFD, which may also stand there by right. SQLite joins a lone high surrogate
 * of UTF-16 with whatever follows it, so that any astral character is a suspect there.
 */
function isSuspect(text: string, encoding: TextEncoding): boolean {
  if (text.includes('\ufffd')) return true
  return encoding !== 'UTF-8' && /[\ud800-\udfff]/.test(text)
}

/** Encodes a TEXT value from its bytes. */
export function encodeTextBytes(bytes: Uint8Array, encoding: TextEncoding): Encoded {
  if (encoding !== 'UTF-8') return encodeText(utf16ToString(bytes, encoding))
  try {
    return encodeText(STRICT_UTF8.decode(bytes))
  } catch {
    return { $text: bytesOf(bytes).toString('base64') }
  }
}

const STRICT_UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export interface Bound {
  readonly value: SqlValue
  /** The value is the bytes of a text: its place in the statement must be `CAST(? AS TEXT)`, not `?`. */
  readonly cast: boolean
}

/**
 * How to bind an encoding. Null when SQLite, or a file of this encoding, has no such value (booleans, dates,
 * JSON, NaN, bytes that UTF-16 cannot say): the row is parked then, never changed (I10).
 */
export function bindValue(value: Encoded, encoding: TextEncoding): Bound | null {
  if (value === null || typeof value === 'string') return { value, cast: false }
  if (typeof value === 'number') {
    return { value: Number.isInteger(value) ? BigInt(value) : value, cast: false }
  }
  if (typeof value !== 'object' || Array.isArray(value)) return null
  const [tag, body] = Object.entries(value)[0] ?? []
  if (typeof body !== 'string') return null
  if (tag === '$int') return { value: BigInt(body), cast: false }
  if (tag === '$real') return body === 'NaN' ? null : { value: Number(body), cast: false }
  if (tag === '$bytes') return { value: Buffer.from(body, 'base64'), cast: false }
  return tag === '$text' ? bindText(Buffer.from(body, 'base64'), body, encoding) : null
}

function bindText(bytes: Buffer, body: string, encoding: TextEncoding): Bound | null {
  try {
    // Well-formed text that holds NUL: a string carries it.
    return { value: STRICT_UTF8.decode(bytes), cast: false }
  } catch {
    if (encoding === 'UTF-8') return { value: bytes, cast: true }
  }
  const text = wtf8ToString(bytes)
  const again = encodeText(text)
  const same = typeof again === 'object' && again !== null && '$text' in again && again['$text'] === body
  return same ? { value: stringToUtf16(text, encoding), cast: true } : null
}

const bytesOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

function utf16ToString(bytes: Uint8Array, encoding: TextEncoding): string {
  const copy = Buffer.from(bytes)
  return (encoding === 'UTF-16le' ? copy : copy.swap16()).toString('utf16le')
}

function stringToUtf16(text: string, encoding: TextEncoding): Buffer {
  const bytes = Buffer.from(text, 'utf16le')
  return encoding === 'UTF-16le' ? bytes : bytes.swap16()
}
