import type { Clock } from '../../kernel/clock.ts'
import { ERRORS, isErrorCode, TidemarkError, type ErrorCode } from '../../kernel/errors.ts'
import { isErrorAnswer } from './answers.ts'

/** A server that asks for more does not stop sync for longer than this (I8). */
const MAX_RETRY_AFTER_MS = 3_600_000
const MAX_MESSAGE_CHARS = 1_000

/** What an answer that is no success says, apart from its body. */
export interface Refusal {
  readonly status: number
  readonly retryAfter: string | null
  readonly host: string
}

/**
 * A refusal as an error. With an envelope of the protocol its code counts; a code that is not known goes by the
 * status. Without one the answer is from something in between, which can only say what concerns the whole
 * connection: that a row is at fault is believed of the cloud alone (I9).
 */
export function toRefusal(refusal: Refusal, body: unknown, clock: Clock): TidemarkError {
  const retryAfterMs = readRetryAfter(refusal.retryAfter, clock)
  const wait = retryAfterMs === null ? {} : { retryAfterMs }
  if (!isErrorAnswer(body)) {
    const message = `${refusal.host} answered with status ${refusal.status}, not as a Tidemark cloud does`
    const details = { status: refusal.status, host: refusal.host }
    return new TidemarkError(codeOfStranger(refusal.status), message, { details, ...wait })
  }
  const { code, message, details } = body.error
  const known = isErrorCode(code) && ERRORS[code].status > 0
  return new TidemarkError(known ? code : codeOfStatus(refusal.status), message.slice(0, MAX_MESSAGE_CHARS), {
    details: known ? details : { ...details, code },
    ...wait,
  })
}

const BY_STATUS: { readonly [status: number]: ErrorCode } = {
  400: 'bad_request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'method_not_allowed',
  408: 'unavailable',
  413: 'payload_too_large',
  415: 'unsupported_encoding',
  422: 'unprocessable',
  425: 'unavailable',
  426: 'needs_upgrade',
  429: 'rate_limited',
  502: 'unavailable',
  503: 'unavailable',
  504: 'unavailable',
  507: 'disk_full',
}

function codeOfStatus(status: number): ErrorCode {
  return BY_STATUS[status] ?? (status >= 500 ? 'internal' : 'bad_answer')
}

/** Statuses that a proxy in between may mean; `payload_too_large` is its own limit, and halving helps. */
const STRANGERS: ReadonlySet<number> = new Set([401, 403, 404, 405, 408, 413, 425, 429, 502, 503, 504])

const codeOfStranger = (status: number): ErrorCode =>
  STRANGERS.has(status) || status >= 500 ? codeOfStatus(status) : 'bad_answer'

/** Seconds or a date. Null when there is none or it makes no sense. */
export function readRetryAfter(header: string | null, clock: Clock): number | null {
  if (header === null) return null
  const text = header.trim()
  if (!/^(?:\d{1,10}$|[A-Z][a-z]+,? )/.test(text)) return null
  const ms = /^\d/.test(text) ? Number(text) * 1_000 : Date.parse(text) - clock.now()
  return Number.isFinite(ms) ? Math.min(MAX_RETRY_AFTER_MS, Math.max(0, ms)) : null
}
