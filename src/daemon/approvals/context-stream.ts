import { createHash } from 'node:crypto'

import type { ContextChunk, ContextComplete } from '../../protocol/approvals.ts'
import type { ServerSentEvent } from '../api/handlers.ts'

/** Units of UTF-16 in one piece, so at most three times as many bytes. */
const CHUNK_CHARS = 65_536

/**
 * A context in pieces that split no surrogate pair, and its checksum at the end: a stream without that is not whole. Each
 * piece is a turn of the event loop by itself, so that 8 MiB keep nobody waiting.
 */
export async function* streamContext(context: string, signal: AbortSignal): AsyncGenerator<ServerSentEvent> {
  const ends = chunkEnds(context)
  const hash = createHash('sha256')
  let size = 0
  for (const [index, end] of ends.entries()) {
    const chunk = context.slice(ends[index - 1] ?? 0, end)
    const bytes = Buffer.from(chunk)
    hash.update(bytes)
    size += bytes.length
    const data: ContextChunk = { chunk, index, total: ends.length }
    yield { event: 'context_chunk', data }
    await new Promise(setImmediate)
    if (signal.aborted) return
  }
  const data: ContextComplete = {
    total_chunks: ends.length,
    total_size: size,
    checksum: `sha256:${hash.digest('hex')}`,
  }
  yield { event: 'context_complete', data }
}

function chunkEnds(text: string): readonly number[] {
  const ends: number[] = []
  for (let at = 0; at < text.length;) {
    const end = Math.min(at + CHUNK_CHARS, text.length)
    const splits = end < text.length && isHigh(text, end - 1)
    at = splits ? end - 1 : end
    ends.push(at)
  }
  return ends
}

const isHigh = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) === 0xd800
