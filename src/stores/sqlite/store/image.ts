import { hash } from 'node:crypto'

import { canonicalJson, type Encoded, type Fields } from '../../../kernel/values.ts'

/**
 * Agreed images: enough of a row to know which columns differ from what was agreed, at a fraction of a copy.
 *
 *   image = width, cells of the column ids 0 … width − 1
 *   width = LEB128
 *   cell  = tag, then the value itself when it is at most 16 bytes, else 128 bits of its SHA-256
 *
 * Ids come from the table's dictionary and are never given twice, so that an image outlives columns that are
 * added, dropped or renamed. A cell that is absent stands for the column's fill: the default that
 * `ALTER TABLE ADD COLUMN` put into rows that were agreed before it.
 */
export interface ImageColumn {
  readonly name: string
  readonly id: number
  /** The cell an absent one stands for; null: an absent cell differs from every value. */
  readonly fill: Uint8Array | null
}

export interface ImageCodec {
  readonly columns: readonly ImageColumn[]
  /**
   * The image of a row. Columns the row lacks are absent, or as in `before`. The bytes are valid until the next
   * call: bind or copy them at once.
   */
  encode(fields: Fields, before?: Uint8Array | null): Uint8Array
  /** Columns of `fields` whose value differs from the image's. */
  changed(fields: Fields, image: Uint8Array): readonly string[]
  /** Columns that differ between two images. */
  differing(before: Uint8Array, after: Uint8Array): readonly string[]
  /** Columns of which the image says nothing. */
  absent(image: Uint8Array): readonly string[]
}

const INLINE_BYTES = 16
const TAG = {
  absent: 0x00,
  null: 0x01,
  true: 0x02,
  false: 0x03,
  int8: 0x04,
  int16: 0x05,
  int32: 0x06,
  /** A safe integer as a double. */
  int53: 0x07,
  /** A fractional double. */
  real: 0x08,
  /** SHA-256 of text as UTF-8, and of the canonical JSON of any other value. */
  textHash: 0x09,
  jsonHash: 0x0a,
  /** A double that JSON would turn into an integer, and an integer past 2^53. */
  integralReal: 0x0b,
  int64: 0x0c,
  /** SHA-256 of a blob as base64. */
  bytesHash: 0x0d,
  /** Plus the length. */
  text: 0x20,
  json: 0x40,
} as const

let scratch = Buffer.alloc(4_096)

/** Column ids are below `width`. */
export function createImageCodec(columns: readonly ImageColumn[], width: number): ImageCodec {
  const order: (ImageColumn | null)[] = Array.from({ length: width }, () => null)
  const fills: (Uint8Array | null)[] = Array.from({ length: width }, () => null)
  for (const column of columns) {
    order[column.id] = column
    fills[column.id] = column.fill
  }
  return {
    columns,
    encode(fields, before) {
      const old = before == null ? null : openImage(before)
      let at = startImage(width)
      for (let id = 0; id < width; id++) {
        const column = order[id]
        const value = column == null ? undefined : fields[column.name]
        const length = old === null ? 0 : cellLength(old, id)
        if (value !== undefined) at = writeCell(at, value)
        else if (old === null || length === 0 || column == null) at = writeAbsent(at)
        else at = copyCell(at, old.image.subarray(old.at, old.at + length))
        if (old !== null) old.at += length
      }
      return scratch.subarray(0, at)
    },
    changed(fields, image) {
      // Columns that `fields` lacks are told by the image itself, so that they count as equal.
      return namesOf(differingIds(image, this.encode(fields, image), fills))
    },
    differing(before, after) {
      return namesOf(differingIds(before, after, fills))
    },
    absent(image) {
      const cursor = openImage(image)
      const ids: number[] = []
      for (let id = 0; id < width; id++) {
        if (isAbsent(cursor, id)) ids.push(id)
        cursor.at += cellLength(cursor, id)
      }
      return namesOf(ids)
    },
  }

  function namesOf(ids: readonly number[]): readonly string[] {
    const names: string[] = []
    for (const id of ids) {
      const column = order[id]
      if (column != null) names.push(column.name)
    }
    return names
  }
}

/** Ids whose cells differ, in the order of the ids; those of columns that are gone among them. */
function differingIds(
  a: Uint8Array,
  b: Uint8Array,
  fills: readonly (Uint8Array | null)[],
): readonly number[] {
  const ids: number[] = []
  const cursorA = openImage(a)
  const cursorB = openImage(b)
  const width = Math.max(cursorA.width, cursorB.width)
  for (let id = 0; id < width; id++) {
    const endA = cursorA.at + cellLength(cursorA, id)
    const endB = cursorB.at + cellLength(cursorB, id)
    if (!isSameRange(a, cursorA.at, endA, b, cursorB.at, endB)) {
      const cellA = isAbsent(cursorA, id) ? fills[id] : a.subarray(cursorA.at, endA)
      const cellB = isAbsent(cursorB, id) ? fills[id] : b.subarray(cursorB.at, endB)
      if (!sameCell(cellA, cellB)) ids.push(id)
    }
    cursorA.at = endA
    cursorB.at = endB
  }
  return ids
}

/** Where a reading of an image stands: before the cell of the next id. */
interface ImageCursor {
  readonly image: Uint8Array
  readonly width: number
  at: number
}

function openImage(image: Uint8Array): ImageCursor {
  let at = 0
  let width = 0
  for (let shift = 0; ; shift += 7) {
    const byte = image[at++] ?? 0
    width |= (byte & 0x7f) << shift
    if (byte < 0x80) break
  }
  return { image, width, at }
}

const cellLength = ({ image, width, at }: ImageCursor, id: number): number =>
  id < width ? cellBytes(image[at] ?? TAG.absent) : 0
const isAbsent = ({ image, width, at }: ImageCursor, id: number): boolean =>
  id >= width || image[at] === TAG.absent

function isSameRange(
  a: Uint8Array,
  fromA: number,
  endA: number,
  b: Uint8Array,
  fromB: number,
  endB: number,
): boolean {
  if (endA - fromA !== endB - fromB) return false
  for (let at = fromA, other = fromB; at < endA; at++, other++) if (a[at] !== b[other]) return false
  return true
}

/** The cell of one value; valid until the next call. */
export function cellOf(value: Encoded): Uint8Array {
  return scratch.subarray(0, writeCell(0, value))
}

function sameCell(a: Uint8Array | null | undefined, b: Uint8Array | null | undefined): boolean {
  return a != null && b != null && Buffer.compare(a, b) === 0
}

function startImage(width: number): number {
  let rest = width
  let at = 0
  while (rest >= 0x80) {
    scratch[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  scratch[at++] = rest
  return at
}

function cellBytes(tag: number): number {
  if (tag >= TAG.json) return 1 + tag - TAG.json
  if (tag >= TAG.text) return 1 + tag - TAG.text
  if (tag === TAG.textHash || tag === TAG.jsonHash || tag === TAG.bytesHash) return 17
  if (tag === TAG.int53 || tag === TAG.real || tag === TAG.integralReal || tag === TAG.int64) return 9
  if (tag === TAG.int32) return 5
  if (tag === TAG.int16) return 3
  return tag === TAG.int8 ? 2 : 1
}

function writeAbsent(at: number): number {
  makeRoom(at)
  scratch[at] = TAG.absent
  return at + 1
}

function copyCell(at: number, cell: Uint8Array): number {
  makeRoom(at)
  scratch.set(cell, at)
  return at + cell.length
}

function writeCell(at: number, value: Encoded): number {
  makeRoom(at)
  if (typeof value === 'string') return writeText(at, value)
  if (typeof value === 'number') return writeNumber(at, value)
  if (value === null || typeof value === 'boolean') {
    scratch[at] = value === null ? TAG.null : value ? TAG.true : TAG.false
    return at + 1
  }
  return Array.isArray(value) ? writeJson(at, value) : writeTagged(at, value as Fields)
}

/** The encodings that SQLite's values have are written without a detour through JSON. */
function writeTagged(at: number, value: Fields): number {
  const { $real: real, $int: int, $bytes: bytes } = value
  if (typeof real === 'string') {
    scratch[at] = TAG.integralReal
    return scratch.writeDoubleLE(Number(real), at + 1)
  }
  if (typeof int === 'string') {
    scratch[at] = TAG.int64
    return scratch.writeBigInt64LE(BigInt(int), at + 1)
  }
  if (typeof bytes === 'string' && bytes.length > INLINE_BYTES) return writeHash(at, TAG.bytesHash, bytes)
  return writeJson(at, value)
}

function writeJson(at: number, value: Encoded): number {
  const json = canonicalJson(value)
  if (json.length > INLINE_BYTES || Buffer.byteLength(json) > INLINE_BYTES)
    return writeHash(at, TAG.jsonHash, json)
  const length = scratch.write(json, at + 1)
  scratch[at] = TAG.json + length
  return at + 1 + length
}

function writeText(at: number, text: string): number {
  if (text.length > INLINE_BYTES) return writeHash(at, TAG.textHash, text)
  // 16 units are at most 48 bytes; what turns out too long is written over.
  const length = scratch.write(text, at + 1)
  if (length > INLINE_BYTES) return writeHash(at, TAG.textHash, text)
  scratch[at] = TAG.text + length
  return at + 1 + length
}

function writeNumber(at: number, value: number): number {
  if (!Number.isInteger(value)) {
    scratch[at] = TAG.real
    return scratch.writeDoubleLE(value, at + 1)
  }
  if (value >= -0x80 && value < 0x80) {
    scratch[at] = TAG.int8
    return scratch.writeInt8(value, at + 1)
  }
  if (value >= -0x8000 && value < 0x8000) {
    scratch[at] = TAG.int16
    return scratch.writeInt16LE(value, at + 1)
  }
  if (value >= -0x80000000 && value < 0x80000000) {
    scratch[at] = TAG.int32
    return scratch.writeInt32LE(value, at + 1)
  }
  scratch[at] = TAG.int53
  return scratch.writeDoubleLE(value, at + 1)
}

function writeHash(at: number, tag: number, text: string): number {
  scratch[at] = tag
  scratch.set(hash('sha256', text, 'buffer').subarray(0, 16), at + 1)
  return at + 17
}

function makeRoom(at: number): void {
  if (at + 64 <= scratch.length) return
  const larger = Buffer.alloc(scratch.length * 2)
  scratch.copy(larger)
  scratch = larger
}
