import type { Clock } from '../kernel/clock.ts'
import { isErrorCode, TidemarkError } from '../kernel/errors.ts'
import { MAX_WAIT_SECONDS } from '../protocol/approvals.ts'
import { DAEMON_API, OPERATIONS, type OperationId } from '../protocol/daemon-api.ts'
import { ErrorAnswer } from '../protocol/status.ts'
import { fits } from './fits.ts'

/** A daemon that says nothing for so long is taken for one that does not answer: what it may wait, and some time. */
const ANSWER_MS = (MAX_WAIT_SECONDS + 30) * 1_000

export interface Line {
  readonly url: string
  readonly token: string
  readonly fetch: typeof fetch
  readonly clock: Clock
}

/** What a call says, of whichever operation. */
export interface AnyInput {
  readonly id?: string
  readonly query?: object
  readonly body?: unknown
  readonly signal?: AbortSignal | undefined
  readonly lastEventId?: number | null
}

export interface Opened {
  readonly response: Response
  /** What failed, as it is told; where the caller stopped it, `aborted`. */
  readonly toError: (thrown: unknown) => TidemarkError
}

/**
 * Sends one request; its answer is a success, not read yet. Rejects with the error of the daemon, `network` where
 * nobody answers, `aborted`, `bad_usage`.
 */
export async function openAnswer(line: Line, operation: OperationId, input: AnyInput): Promise<Opened> {
  const { method } = OPERATIONS[operation]
  const url = addressOf(line.url, operation, input)
  const late = new AbortController()
  const toError = (thrown: unknown): TidemarkError => {
    if (thrown instanceof TidemarkError) return thrown
    if (input.signal?.aborted === true) return new TidemarkError('aborted')
    const message = late.signal.aborted ? 'The daemon does not answer' : 'The daemon cannot be reached'
    return new TidemarkError('network', `${message} at ${line.url}`, { cause: thrown })
  }
  const cancel = line.clock.after(ANSWER_MS, () => late.abort())
  try {
    const signal = input.signal === undefined ? late.signal : AbortSignal.any([input.signal, late.signal])
    const response = await line.fetch(url, {
      method,
      headers: headersOf(line, input),
      signal,
      redirect: 'error',
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
      ...(input.body === undefined ? {} : { body: JSON.stringify(input.body) }),
    })
    if (!response.ok) throw await readRefusal(response)
    return { response, toError }
  } catch (thrown) {
    throw toError(thrown)
  } finally {
    // An answer that has begun may take as long as it likes.
    cancel()
  }
}

const headersOf = ({ token }: Line, { body, lastEventId }: AnyInput): { [name: string]: string } => ({
  authorization: `Bearer ${token}`,
  ...(body === undefined ? {} : { 'content-type': 'application/json' }),
  ...(lastEventId === undefined || lastEventId === null ? {} : { 'last-event-id': String(lastEventId) }),
})

function addressOf(url: string, operation: OperationId, { id, query = {} }: AnyInput): string {
  const { path } = OPERATIONS[operation]
  // An address with such a part is another address, however it is written.
  if (path.includes(':id') && (id === undefined || id === '' || id === '.' || id === '..'))
    throw new TidemarkError('bad_usage', `${operation} needs an id that can stand in an address`)
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query))
    if (value !== undefined && value !== null) search.append(name, String(value))
  const place = `${url}${DAEMON_API}${path.replace(':id', encodeId(id ?? ''))}`
  return search.size === 0 ? place : `${place}?${search.toString()}`
}

function encodeId(id: string): string {
  if (!id.isWellFormed()) throw new TidemarkError('bad_usage', 'The id has half a character in it')
  return encodeURIComponent(id)
}

/** The daemon's own error with its code and details; of any other answer only its status. */
async function readRefusal(response: Response): Promise<TidemarkError> {
  const { status } = response
  const value: unknown = await response.json().catch(() => null)
  if (!fits<ErrorAnswer>(ErrorAnswer, value))
    return new TidemarkError('bad_answer', `What answers with status ${status} is no Tidemark daemon`, {
      details: { status },
    })
  return toDaemonError(value)
}

export function toDaemonError({ error: { code, message, details } }: ErrorAnswer): TidemarkError {
  if (isErrorCode(code)) return new TidemarkError(code, message, { details })
  return new TidemarkError('bad_answer', message, { details: { ...details, code } })
}
