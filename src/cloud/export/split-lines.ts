import { isUtf8 } from 'node:buffer'

import { TidemarkError } from '../../kernel/errors.ts'

/** What one string can hold, and a little less: a longer line was not written by an export. */
const MAX_LINE_BYTES = 512 * 1024 * 1024 - 1_024
const NEWLINE = 0x0a

/**
 * The lines of a text that comes in pieces, as many at a time as a piece ends. What follows the last newline is a line
 * too. Throws `not_an_export` for what is no UTF-8 text, or one line without end.
 */
export async function* splitLines(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<readonly string[]> {
  let open: Buffer[] = []
  let bytes = 0
  for await (const piece of pieces) {
    const buffer = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    const end = buffer.lastIndexOf(NEWLINE)
    if (end >= 0) {
      yield textOf([...open, buffer.subarray(0, end)]).split('\n')
      open = []
      bytes = 0
    }
    const rest = buffer.subarray(end + 1)
    if (rest.length === 0) continue
    // A copy: the piece itself may be used again by whoever read it.
    open.push(Buffer.from(rest))
    bytes += rest.length
    if (bytes > MAX_LINE_BYTES) throw new TidemarkError('not_an_export', 'The file has a line without end')
  }
  if (bytes > 0) yield [textOf(open)]
}

function textOf(parts: readonly Buffer[]): string {
  const [first = Buffer.alloc(0)] = parts
  const whole = parts.length === 1 ? first : Buffer.concat(parts)
  // A replaced character would be a silently changed value (I10).
  if (!isUtf8(whole)) throw new TidemarkError('not_an_export', 'The file is not UTF-8 text')
  return whole.toString('utf8')
}
