import { TidemarkError } from '../../kernel/errors.ts'
import { NDJSON, ROUTES } from '../../protocol/routes.ts'
import { openBody, readText, type Body } from './body.ts'
import type { EncodedBody } from './codec.ts'
import { routeUrl, type RouteName } from './endpoint.ts'
import { toRefusal } from './failures.ts'
import type { Line } from './line.ts'
import { createWatch, type Watch } from './watch.ts'

/** Silence before the first byte of an answer, past which the connection is taken for dead. */
export const ANSWER_MS = 60_000
/** What a long poll may take beyond its wait. */
export const POLL_GRACE_MS = 15_000
/** Bytes a millisecond that an upload is given at least: 100 kbit/s. Fetch shows no progress of it. */
export const UPLOAD_BYTES_PER_MS = 12.5
/** Characters of a body from which compressing is worth it. */
const COMPRESS_FROM_CHARS = 1_024
/** The same where it is compressed already and the cloud is on this machine: below it the cloud loses more by it. */
const PACKED_FROM_CHARS = 65_536
const MAX_ERROR_BYTES = 1024 * 1024
/** Longest answer that is not a stream: a pull of one row of 16 MiB, twice over, and room. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024

export interface Call {
  readonly route: RouteName
  /** What stands in the route's path where it says `:id`. */
  readonly id?: string
  readonly query?: { readonly [name: string]: string | readonly string[] | undefined }
  readonly body?: string
  /** The same as zstd. */
  readonly packed?: Uint8Array<ArrayBuffer> | undefined
  readonly headers?: { readonly [name: string]: string }
  /** Milliseconds that the cloud may hold the answer back on purpose. */
  readonly waitMs?: number
}

/** An answer that is a success of the right kind, its body not read yet. `close` must be called in any case. */
export interface OpenAnswer {
  readonly body: Body
  close(): void
}

/** Sends one request. Rejects with a `TidemarkError`; a refusal has been read whole, so the connection lives on. */
export async function openAnswer(line: Line, call: Call, signal: AbortSignal): Promise<OpenAnswer> {
  const watch = createWatch(line.clock, signal, line.endpoint.host)
  try {
    const { init, bytes } = await watch.within(ANSWER_MS, () => writeRequest(line, call, watch))
    const url = routeUrl(line.endpoint, call.route, call.query, call.id)
    const ms =
      (call.waitMs === undefined ? ANSWER_MS : call.waitMs + POLL_GRACE_MS) + bytes / UPLOAD_BYTES_PER_MS
    const response = await watch.within(ms, () => line.fetch(url, init))
    const body = openBody(response, line.codec, watch)
    await requireSuccess(line, call, response, body)
    return { body, close: () => watch.close() }
  } catch (thrown) {
    watch.close()
    throw thrown
  }
}

/** Sends one request and reads its answer whole. Rejects with a `TidemarkError`, `bad_answer` where it does not fit. */
export async function readAnswer<Answer>(
  line: Line,
  call: Call,
  isAnswer: (value: unknown) => value is Answer,
  signal: AbortSignal,
): Promise<Answer> {
  const answer = await openAnswer(line, call, signal)
  try {
    const value = parseJson(await readText(answer.body, MAX_ANSWER_BYTES), call)
    if (isAnswer(value)) return value
    throw new TidemarkError('bad_answer', `The answer to ${call.route} does not fit the protocol`)
  } finally {
    answer.close()
  }
}

function parseJson(text: string, call: Call): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    // The parser's own message quotes the text.
    throw new TidemarkError('bad_answer', `The answer to ${call.route} is no JSON`)
  }
}

async function writeRequest(
  line: Line,
  call: Call,
  watch: Watch,
): Promise<{ readonly init: RequestInit; readonly bytes: number }> {
  const { accept } = line.codec
  const headers: { [name: string]: string } = {
    ...line.headers,
    ...(accept === undefined ? {} : { 'accept-encoding': accept }),
    ...call.headers,
  }
  // Every Node that is allowed knows `cache`; the types of the oldest do not.
  const init: RequestInit & { readonly cache: 'no-store' } = {
    method: ROUTES[call.route].method,
    headers,
    signal: watch.signal,
    // A redirect would turn a POST into a GET, and carry the token to a place nobody has named.
    redirect: 'manual',
    cache: 'no-store',
    credentials: 'omit',
    referrerPolicy: 'no-referrer',
  }
  if (call.body === undefined) return { init, bytes: 0 }
  headers['content-type'] = 'application/json'
  const encoded = await encodeBody(line, call.body, call.packed)
  if (encoded === null) return { init: { ...init, body: call.body }, bytes: call.body.length }
  headers['content-encoding'] = encoded.encoding
  return { init: { ...init, body: encoded.bytes }, bytes: encoded.bytes.length }
}

async function encodeBody(
  { codec, endpoint, packed }: Line,
  body: string,
  bytes: Uint8Array<ArrayBuffer> | undefined,
): Promise<EncodedBody | null> {
  const isPacked = packed && bytes !== undefined
  if (isPacked && body.length >= (endpoint.loopback ? PACKED_FROM_CHARS : COMPRESS_FROM_CHARS))
    return { encoding: 'zstd', bytes }
  return body.length < COMPRESS_FROM_CHARS ? null : codec.encode(body)
}

async function requireSuccess(line: Line, call: Call, response: Response, body: Body): Promise<void> {
  const { host } = line.endpoint
  const { status } = response
  if (response.type === 'opaqueredirect' || (status >= 300 && status < 400)) {
    throw new TidemarkError(
      'bad_answer',
      `${host} redirects to another address; set the endpoint to that one`,
      {
        details: { host, location: originOf(response.headers.get('location')) },
      },
    )
  }
  const type = (response.headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
  if (response.ok) {
    const wanted = call.route === 'hydrate' ? NDJSON : 'application/json'
    if (type === wanted) return
    throw new TidemarkError(
      'bad_answer',
      `${host} answered with ${type === '' ? 'no type' : type}, not with ${wanted}`,
      {
        details: { host, type },
      },
    )
  }
  const envelope =
    type === 'application/json'
      ? await readEnvelope(body)
      : await readText(body, MAX_ERROR_BYTES).then(
          () => null,
          () => null,
        )
  throw toRefusal({ status, retryAfter: response.headers.get('retry-after'), host }, envelope, line.clock)
}

/** The body of a refusal; null when it cannot be read, since its status then is all there is. */
async function readEnvelope(body: Body): Promise<unknown> {
  const text = await readText(body, MAX_ERROR_BYTES).catch(() => '')
  try {
    return JSON.parse(text) as unknown
  } catch {
    return null
  }
}

const originOf = (location: string | null): string | null =>
  location !== null && URL.canParse(location) ? new URL(location).origin : null
