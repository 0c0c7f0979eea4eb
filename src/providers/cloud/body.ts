import { TidemarkError } from '../../kernel/errors.ts'
import type { Codec } from './codec.ts'
import type { Watch } from './watch.ts'

/** A connection on which no byte came for so long is dead. Only waiting counts, not what the reader does between. */
export const STALL_MS = 30_000
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd]

/** The bytes of an answer, decompressed, as they come. Ends early with a `TidemarkError` of `network`. */
export type Body = AsyncIterable<Uint8Array>

export function openBody(response: Response, codec: Codec, watch: Watch): Body {
  const chunks = readChunks(response.body, watch)
  const encoding = (response.headers.get('content-encoding') ?? '').trim().toLowerCase()
  return encoding === 'zstd' && codec.decode !== undefined ? undecoded(chunks, codec.decode) : chunks
}

async function* readChunks(body: Response['body'], watch: Watch): AsyncGenerator<Uint8Array> {
  if (body === null) return watch.release()
  const reader = body.getReader()
  for (;;) {
    const { done, value } = await watch.within(STALL_MS, () => reader.read())
    if (done) return watch.release()
    yield value
  }
}

/** Fetch keeps the header whether or not it has decompressed: only the bytes tell. JSON never begins like a frame. */
async function* undecoded(
  chunks: AsyncGenerator<Uint8Array>,
  decode: NonNullable<Codec['decode']>,
): AsyncGenerator<Uint8Array> {
  let head = new Uint8Array(0)
  while (head.length < ZSTD_MAGIC.length) {
    const { done, value } = await chunks.next()
    if (done === true) break
    head = head.length === 0 ? new Uint8Array(value) : concat([head, value])
  }
  const all = prepend(head, chunks)
  if (!ZSTD_MAGIC.every((byte, at) => head[at] === byte)) return yield* all
  try {
    yield* decode('zstd', all)
  } catch (thrown) {
    if (thrown instanceof TidemarkError) throw thrown
    throw new TidemarkError('network', 'The compressed answer is damaged or broke off', { cause: thrown })
  }
}

async function* prepend(head: Uint8Array, rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (head.length > 0) yield head
  yield* rest
}

/**
 * The whole body as text. Rejects with `bad_answer` when it is longer than `maxBytes` or not UTF-8: a replaced
 * character would be a silently changed value (I10).
 */
export async function readText(body: Body, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new TidemarkError('bad_answer', `The answer is longer than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  const [only] = chunks
  return decodeUtf8(chunks.length === 1 && only !== undefined ? only : concat(chunks))
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes)
  } catch (thrown) {
    throw new TidemarkError('bad_answer', 'The answer is not UTF-8', { cause: thrown })
  }
}

function concat(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}
