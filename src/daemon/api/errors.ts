import type { FastifyReply, FastifyRequest } from 'fastify'

import { sendErrorAnswer, toHttpError } from '../../http/errors.ts'
import { describeFailure } from '../../http/failures.ts'
import { ERRORS, TidemarkError, type ErrorCode } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import { SqliteFailure } from '../../stores/sqlite/driver/failure.ts'

/** The status of an error on the wire: those of this machine have none of their own, and travel too. */
export function apiStatus(code: ErrorCode): number {
  const { status, retry } = ERRORS[code]
  if (status !== 0) return status
  return retry ? 503 : 409
}

/** Whatever was thrown as an error that may be sent. What nobody foresaw is logged, by its kind only (D10). */
export function toApiError(
  thrown: unknown,
  logger: Logger,
  about: { readonly route: string; readonly request: string },
): TidemarkError {
  const known = toKnown(thrown)
  if (known instanceof TidemarkError && (known.code === 'internal' || known.code === 'invariant')) {
    logger.error('A request failed for an unexpected reason', { ...about, ...describeFailure(known) })
    // Its message may be anybody's.
    return new TidemarkError(known.code)
  }
  return toHttpError(known, logger, about)
}

/** What of SQLite's failures is the machine's fault, and not ours. */
const FROM_SQLITE: readonly ErrorCode[] = ['database_locked', 'disk_full', 'no_access', 'not_a_database']

function toKnown(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || thrown.name !== 'SqliteError') return thrown
  const failure = new SqliteFailure(String(Reflect.get(thrown, 'code')), '')
  return FROM_SQLITE.includes(failure.code) ? failure : thrown
}

export async function sendApiError(
  logger: Logger,
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const about = { route: request.routeOptions.url ?? '', request: request.id }
  const error = toApiError(thrown, logger, about)
  await sendErrorAnswer(error, request, reply, apiStatus(error.code))
}
