import type { FastifyReply, FastifyRequest } from 'fastify'

import { sendErrorAnswer, toHttpError } from '../../http/errors.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Requests } from './requests.ts'

/** Answers whatever was thrown. */
export async function sendError(
  { logger, requests }: { readonly logger: Logger; readonly requests: Requests },
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const about = { route: request.routeOptions.url ?? '', request: request.id }
  const error = toRemoteError(toHttpError(thrown, logger, about))
  requests.notesOf(request).code = error.code
  await sendErrorAnswer(error, request, reply)
}

/** Codes that only mean something on the machine itself do not travel. */
function toRemoteError(error: TidemarkError): TidemarkError {
  if (error.status !== 0) return error
  return new TidemarkError(error.retry ? 'unavailable' : 'internal')
}
