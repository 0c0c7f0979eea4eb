import type { Server } from 'node:http'

import type { Clock } from '../../kernel/clock.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Metrics } from '../metrics.ts'
import { REQUEST_MS, type ServerLimits } from './limits.ts'

/** Node looks for late connections this often at most; its own half a minute would add to the time allowed. */
const CHECK_MS = 5_000
/** A flood of connections must not become a flood of lines. */
const WARN_EVERY_MS = 60_000

/** How often to look for connections that are late, in milliseconds. */
export const checkingMs = ({ headersMs }: ServerLimits): number =>
  Math.max(1, Math.min(CHECK_MS, Math.floor(headersMs / 4)))

/** Bounds how many connections there are, and how long one may take to say what it wants. */
export function limitConnections(
  server: Server,
  deps: {
    readonly limits: ServerLimits
    readonly logger: Logger
    readonly metrics: Metrics
    readonly clock: Clock
  },
): void {
  const { limits, logger, metrics, clock } = deps
  server.maxConnections = limits.connections
  server.headersTimeout = limits.headersMs
  // Of HTTP/1.1 over TLS too, which Fastify leaves at Node's own.
  server.requestTimeout = REQUEST_MS
  let warnedAt = -Infinity
  server.on('drop', () => {
    metrics.count('droppedConnections', {})
    if (clock.now() - warnedAt < WARN_EVERY_MS) return
    warnedAt = clock.now()
    logger.warn('Connections are closed at once: too many are open', { limit: limits.connections })
  })
}
