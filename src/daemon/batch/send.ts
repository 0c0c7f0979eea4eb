import { TidemarkError, type ErrorCode } from '../../kernel/errors.ts'
import { ROUTES } from '../../protocol/routes.ts'
import { askEndpoint, type EndpointAnswer, type EndpointLine } from './request.ts'

/** The tables that origin 000 sends, in the order of its JSON: a session before its messages. */
export const BATCH_TABLES = ['sessions', 'messages'] as const
export type BatchTable = (typeof BATCH_TABLES)[number]

/** One row as it is sent. */
export interface BatchRecord {
  readonly table: BatchTable
  readonly id: string
  /** The record's JSON. */
  readonly json: string
}

/** What became of the records of one batch. */
export interface Sent {
  readonly accepted: readonly BatchRecord[]
  readonly refused: readonly { readonly record: BatchRecord; readonly status: number }[]
  /** Records that the endpoint took and counts as not written: it has a newer one, or says less than it does. */
  readonly uncounted: number
}

/** Statuses that can be about one record: others are about the endpoint, and no record is at fault (I9). */
const OF_A_RECORD: ReadonlySet<number> = new Set([400, 413, 422])

/**
 * Sends records in origin 000's JSON. A refusal that can be about a record is halved until it stands alone, and the
 * others go. Rejects, with nothing known of what was taken, where the endpoint fails: then all are sent again.
 */
export async function sendBatch(
  line: EndpointLine,
  records: readonly BatchRecord[],
  signal: AbortSignal,
): Promise<Sent> {
  const answer = await postBatch(line, records, signal)
  if (answer.status >= 200 && answer.status < 300)
    return { accepted: records, refused: [], uncounted: checkCounts(line, records, answer) }
  if (!OF_A_RECORD.has(answer.status) || records.length === 0) throw toFailure(line, answer)
  const [only, ...others] = records
  if (only !== undefined && others.length === 0)
    return { accepted: [], refused: [{ record: only, status: answer.status }], uncounted: 0 }
  const middle = records.length >> 1
  const first = await sendBatch(line, records.slice(0, middle), signal)
  const second = await sendBatch(line, records.slice(middle), signal)
  return {
    accepted: [...first.accepted, ...second.accepted],
    refused: [...first.refused, ...second.refused],
    uncounted: first.uncounted + second.uncounted,
  }
}

/** One request in origin 000's JSON, both arrays always. */
export function postBatch(
  line: EndpointLine,
  records: readonly BatchRecord[],
  signal: AbortSignal,
): Promise<EndpointAnswer> {
  const arrays = BATCH_TABLES.map((table) => {
    const rows = records.filter((record) => record.table === table).map(({ json }) => json)
    return `"${table}":[${rows.join(',')}]`
  })
  const now = new Date(line.clock.now()).toISOString().replace(/\.\d{3}Z$/, 'Z')
  const body = `{${arrays.join(',')},"sync_timestamp":"${now}"}`
  const { method, path } = ROUTES.batch
  return askEndpoint(line, { method, path, body }, signal)
}

/** How many fewer the endpoint counts than it was sent. Throws `bad_answer` for what is not origin 000's answer. */
function checkCounts(line: EndpointLine, records: readonly BatchRecord[], { json }: EndpointAnswer): number {
  const answer =
    typeof json === 'object' && json !== null ? (json as { readonly [name: string]: unknown }) : {}
  const missing = BATCH_TABLES.map((table) => {
    const count = answer[`${table}_synced`]
    if (typeof count !== 'number' || !Number.isSafeInteger(count) || count < 0) throw strange(line)
    return Math.max(0, records.filter((record) => record.table === table).length - count)
  })
  if (typeof answer['sync_timestamp'] !== 'string') throw strange(line)
  return missing.reduce((sum, count) => sum + count, 0)
}

const strange = ({ endpoint }: EndpointLine): TidemarkError =>
  new TidemarkError('bad_answer', `${endpoint.host} did not answer as POST ${ROUTES.batch.path} does`, {
    details: { host: endpoint.host },
  })

const CODES: { readonly [status: number]: ErrorCode } = {
  400: 'bad_request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'method_not_allowed',
  413: 'payload_too_large',
  415: 'unsupported_encoding',
  422: 'unprocessable',
  429: 'rate_limited',
  507: 'disk_full',
}

/** A refusal of the endpoint as a whole. Its own words may quote rows: they are not repeated. */
function toFailure({ endpoint }: EndpointLine, { status, retryAfterMs }: EndpointAnswer): TidemarkError {
  const code =
    CODES[status] ?? (status >= 500 || status === 408 || status === 425 ? 'unavailable' : 'bad_answer')
  return new TidemarkError(
    code,
    `${endpoint.host} answered POST ${ROUTES.batch.path} with status ${status}`,
    {
      details: { host: endpoint.host, status },
      ...(retryAfterMs === null ? {} : { retryAfterMs }),
    },
  )
}
