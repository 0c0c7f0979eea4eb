/** The type `text` in PostgreSQL's catalogue. */
const TEXT = 25
const HEADER_BYTES = 20

/**
 * A column of texts as PostgreSQL's binary array. As text, each quote and backslash of the JSON in it would be written
 * twice by a search over all of it: 48 MiB of them took a node more than 1 GiB, and ended it.
 */
export function encodeTexts(column: readonly (string | null)[]): Buffer {
  const sizes = column.map((text) => (text === null ? -1 : Buffer.byteLength(text)))
  const bytes = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + 4 + Math.max(size, 0), HEADER_BYTES))
  // Dimensions, whether there are nulls, the type; then the length of the only dimension, and where it begins.
  const header = [1, sizes.includes(-1) ? 1 : 0, TEXT, column.length, 1]
  let at = header.reduce((place, value) => bytes.writeInt32BE(value, place), 0)
  for (const [index, text] of column.entries()) {
    at = bytes.writeInt32BE(sizes[index] ?? -1, at)
    if (text !== null) at += bytes.write(text, at)
  }
  return bytes
}
