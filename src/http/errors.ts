import type { FastifyReply, FastifyRequest } from 'fastify'

import { TidemarkError, type ErrorCode } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { ErrorAnswer } from '../protocol/status.ts'
import { describeFailure } from './failures.ts'

const RETRY_AFTER_MS = 1_000

/** What Fastify and Node throw by themselves, as errors of ours. Anything else is a fault and is logged. */
export function toHttpError(
  thrown: unknown,
  logger: Logger,
  about: { readonly route: string; readonly request: string },
): TidemarkError {
  if (thrown instanceof TidemarkError) return thrown
  const status: unknown = thrown instanceof Error ? Reflect.get(thrown, 'statusCode') : undefined
  if (typeof status === 'number' && status >= 400 && status < 500) return new TidemarkError(codeOf(status))
  logger.error('A request failed for an unexpected reason', { ...about, ...describeFailure(thrown) })
  return new TidemarkError('internal')
}

function codeOf(status: number): ErrorCode {
  if (status === 404) return 'not_found'
  if (status === 405) return 'method_not_allowed'
  if (status === 413) return 'payload_too_large'
  if (status === 415) return 'unsupported_encoding'
  return status === 429 ? 'rate_limited' : 'bad_request'
}

export const errorBody = (error: TidemarkError): ErrorAnswer => ({ error: error.toJSON() })

/** Every error leaves in one shape, whatever threw it. `status`: where the error has none of its own. */
export async function sendErrorAnswer(
  error: TidemarkError,
  request: FastifyRequest,
  reply: FastifyReply,
  status: number = error.status,
): Promise<void> {
  if (status === 401) void reply.header('www-authenticate', 'Bearer')
  if (status === 429 || status === 503 || status === 507) {
    void reply.header('retry-after', Math.ceil((error.retryAfterMs ?? RETRY_AFTER_MS) / 1_000))
  }
  keepConnection(status, request, reply)
  await reply
    .code(status)
    .type('application/json; charset=utf-8')
    .send(JSON.stringify(errorBody(error)))
}

/**
 * Fastify closes the connection where it could not read a body. With bytes under way that is a reset, which may take
 * the answer along, and the client would send the same again. It stays, unless the body is one that does not come, or
 * somebody else wants it closed: the client, or a server that stops.
 */
function keepConnection(status: number, request: FastifyRequest, reply: FastifyReply): void {
  if (!reply.hasHeader('connection') || reply.raw.hasHeader('connection')) return
  const isOne = request.raw.httpVersionMajor === 1
  if (!isOne || (status !== 503 && reply.raw.shouldKeepAlive)) void reply.removeHeader('connection')
}
