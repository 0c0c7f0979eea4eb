import { TidemarkError } from '../../kernel/errors.ts'
import type { HydrateChunk, HydrateRequest } from '../../engine/provider.ts'
import type { HydrateStart } from '../../protocol/pull.ts'
import type { WireRecord } from '../../protocol/records.ts'
import { HEADERS } from '../../protocol/routes.ts'
import { bytesToBase64 } from '../../kernel/base64.ts'
import { isHydrateEnd, isHydrateRead, isHydrateStart, isWireRecord } from './answers.ts'
import type { Body } from './body.ts'
import type { Line } from './line.ts'
import { openAnswer, type Call } from './request.ts'

/** What is handed on at a time: large enough for a transaction, small enough to lose by a cut. */
const CHUNK_ROWS = 2_000
const CHUNK_CHARS = 1024 * 1024
/** Longest line: a row of 16 MiB, its other parts, and room. */
const MAX_LINE_CHARS = 64 * 1024 * 1024
/** Longest list of tables in an address: proxies cut off at 8 kB. Past it all tables come and are sorted out here. */
const MAX_TABLES_CHARS = 4_000

export async function* readHydrate(
  line: Line,
  request: HydrateRequest,
  signal: AbortSignal,
): AsyncGenerator<HydrateChunk> {
  const { space, replica, tables, resume } = request
  const named = tables !== undefined && fitsAddress(tables)
  const call: Call = {
    route: 'hydrate',
    query: { space, replica, tables: named ? tables : undefined },
    ...(resume === undefined ? {} : { headers: { [HEADERS.resume]: toBase64Url(JSON.stringify(resume)) } }),
  }
  const wanted = tables === undefined || named ? null : new Set(tables)
  const answer = await openAnswer(line, call, signal)
  try {
    for await (const chunk of readChunks(answer.body)) {
      if (chunk.kind === 'start' || wanted === null) yield chunk
      else {
        const records = chunk.records.filter((record) => wanted.has(record.table))
        if (records.length > 0 || chunk.read !== undefined) yield { ...chunk, records }
      }
    }
  } finally {
    answer.close()
  }
}

/** An empty list cannot be named: an address without tables asks for all of them. */
function fitsAddress(tables: readonly string[]): boolean {
  const chars = encodeURIComponent(tables.join('').toWellFormed()).length + tables.length * '&tables='.length
  return tables.length > 0 && chars <= MAX_TABLES_CHARS
}

/**
 * Throws `network` when the stream ends before the cloud has said that it is whole. What came before a cut is
 * handed on first: else a connection that never lasts would never get further (I8).
 */
async function* readChunks(body: Body): AsyncGenerator<HydrateChunk> {
  let start: HydrateStart | null = null
  let ended = false
  let read: number | null = null
  let records: WireRecord[] = []
  let chars = 0
  let cut: unknown = new TidemarkError('network', 'The hydrate broke off before its end')
  try {
    for await (const lines of readLines(body)) {
      for (const item of parseLines(lines)) {
        if (ended) throw badLine('a line after the end')
        if (start === null) {
          if (!isHydrateStart(item)) throw badLine('the first line is no start')
          start = item
          yield { kind: 'start', start }
        } else if (isWireRecord(item)) records.push(item)
        else if (isHydrateRead(item)) read = item.read
        else if (isHydrateEnd(item)) ended = true
        else throw badLine('a line that is no record')
      }
      chars += lines.length
      if (records.length < CHUNK_ROWS && chars < CHUNK_CHARS) continue
      chars = 0
      // Not a row more, unless they are large: what is over would be a transaction of its own, and a small one.
      do {
        yield chunkOf(records.slice(0, CHUNK_ROWS), read)
        records = records.slice(CHUNK_ROWS)
      } while (records.length >= CHUNK_ROWS)
    }
  } catch (thrown) {
    if (!(thrown instanceof TidemarkError) || thrown.code !== 'network') throw thrown
    cut = thrown
    // After its last line a stream is whole, however the connection goes.
  }
  if (records.length > 0 || read !== null) yield chunkOf(records, read)
  if (!ended) throw cut
}

const chunkOf = (records: readonly WireRecord[], read: number | null): HydrateChunk =>
  read === null ? { kind: 'records', records } : { kind: 'records', records, read }

const badLine = (rule: string) =>
  new TidemarkError('bad_answer', `The hydrate does not fit the protocol: ${rule}`)

/** Whole lines, as many as have arrived, without the last line feed. What is cut off in a line is not read. */
async function* readLines(body: Body): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let rest: string[] = []
  let restChars = 0
  for await (const bytes of body) {
    const text = decode(decoder, bytes)
    const end = text.lastIndexOf('\n')
    if (end < 0) {
      rest.push(text)
      restChars += text.length
      if (restChars > MAX_LINE_CHARS) throw badLine('a line without end')
      continue
    }
    yield rest.join('') + text.slice(0, end)
    rest = [text.slice(end + 1)]
    restChars = text.length - end - 1
  }
}

function decode(decoder: InstanceType<typeof TextDecoder>, bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes, { stream: true })
  } catch (thrown) {
    throw new TidemarkError('bad_answer', 'The answer is not UTF-8', { cause: thrown })
  }
}

/** One parse for many lines: JSON has no raw line feeds, so they can become the commas of a list. */
function parseLines(lines: string): readonly unknown[] {
  try {
    return JSON.parse(`[${lines.replaceAll('\n', ',')}]`) as readonly unknown[]
  } catch {
    throw badLine('a line that is no JSON')
  }
}

const toBase64Url = (text: string) =>
  bytesToBase64(new TextEncoder().encode(text)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
