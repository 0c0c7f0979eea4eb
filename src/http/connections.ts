import type { Server } from 'node:http'

import type { Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'

/** Node looks for late connections this often at most; its own half a minute would add to the time allowed. */
const CHECK_MS = 5_000
/** A flood of connections must not become a flood of lines. */
const WARN_EVERY_MS = 60_000

export interface ConnectionLimits {
  /** Open connections; one that comes past it is closed at once. */
  readonly connections: number
  /** A connection on which no request with all its headers has arrived is closed after it. */
  readonly headersMs: number
  /** A whole request must have arrived after it, the body included. */
  readonly requestMs: number
}

/** How often to look for connections that are late, in milliseconds. */
export const checkingMs = (headersMs: number): number =>
  Math.max(1, Math.min(CHECK_MS, Math.floor(headersMs / 4)))

/** Bounds how many connections there are, and how long one may take to say what it wants. */
export function limitConnections(
  server: Server,
  limits: ConnectionLimits,
  deps: { readonly logger: Logger; readonly clock: Clock; readonly onDropped?: () => void },
): void {
  const { logger, clock, onDropped = () => {} } = deps
  server.maxConnections = limits.connections
  server.headersTimeout = limits.headersMs
  // Of HTTP/1.1 over TLS too, which Fastify leaves at Node's own.
  server.requestTimeout = limits.requestMs
  let warnedAt = -Infinity
  server.on('drop', () => {
    onDropped()
    if (clock.now() - warnedAt < WARN_EVERY_MS) return
    warnedAt = clock.now()
    logger.warn('Connections are closed at once: too many are open', { limit: limits.connections })
  })
}
