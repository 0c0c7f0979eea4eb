import underPressure from '@fastify/under-pressure'
import type { FastifyInstance } from 'fastify'

import { TidemarkError } from '../../kernel/errors.ts'
import type { ServerLimits } from './limits.ts'

const RETRY_AFTER_S = 2

class Overload extends TidemarkError {
  constructor() {
    super('unavailable', 'The server is overloaded', { retryAfterMs: RETRY_AFTER_S * 1_000 })
  }
}

/** Turns requests away while the event loop is late; probes are answered all the same. */
export async function watchPressure(app: FastifyInstance, limits: ServerLimits): Promise<void> {
  if (limits.loopDelayMs === 0) return
  await app.register(underPressure, {
    maxEventLoopDelay: limits.loopDelayMs,
    retryAfter: RETRY_AFTER_S,
    customError: Overload,
  })
}

/** The configuration of a route that is answered under pressure too. */
export const answeredUnderPressure = { pressureHandler: () => undefined }
