import { MAX_BODY_BYTES } from '../../protocol/limits.ts'

/** What the server allows. Zero of a rate is no limit. */
export interface ServerLimits {
  /** Bytes of a request body after decompression, and before. */
  readonly bodyBytes: number
  /** Bytes of all request bodies at the same time; past it `unavailable`, to be tried again. */
  readonly bodiesBytes: number
  /** A body of which nothing arrives for so long is given up. */
  readonly bodyIdleMs: number
  /** A body must be whole after it: 32 MiB at 1 Mbit/s. */
  readonly bodyTotalMs: number
  /** Requests of one token in a minute: a thousand a second, so that only a runaway program meets it. */
  readonly tokenPerMinute: number
  /** Requests from one address in a minute; behind a proxy many devices share one. */
  readonly addressPerMinute: number
  /** Mean delay of the event loop in a second past which requests are turned away. Zero: never. */
  readonly loopDelayMs: number
  /** Open connections; one that comes past it is closed at once. Each waiting pull over HTTP/1.1 has its own. */
  readonly connections: number
  /** A connection on which no request with all its headers has arrived is closed after it; a TLS handshake too. */
  readonly headersMs: number
  /** How long a server that stops goes on answering while `readyz` already says that it is not ready. */
  readonly drainMs: number
  /** What a stop waits for requests under way. */
  readonly stopMs: number
}

export const SERVER_LIMITS: ServerLimits = {
  bodyBytes: MAX_BODY_BYTES,
  bodiesBytes: 8 * MAX_BODY_BYTES,
  bodyIdleMs: 30_000,
  bodyTotalMs: 300_000,
  tokenPerMinute: 60_000,
  addressPerMinute: 240_000,
  loopDelayMs: 2_000,
  connections: 25_000,
  headersMs: 20_000,
  drainMs: 0,
  stopMs: 10_000,
}

/** Silence after which a connection is closed; a waiting pull is silent for 55 s. */
export const CONNECTION_IDLE_MS = 120_000
/** A whole request must have arrived after it, the body included. */
export const REQUEST_MS = 330_000
/** Bytes from which compressing an answer is worth it. */
export const COMPRESS_FROM_BYTES = 1_024
