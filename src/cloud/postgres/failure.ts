import pg from 'pg'

import { TidemarkError, type ErrorCode } from '../../kernel/errors.ts'

/** SQLSTATEs, by the beginning they share; the first that fits. */
const CODES: readonly (readonly [prefix: string, code: ErrorCode, message: string])[] = [
  ['53100', 'disk_full', 'The disk of the database is full'],
  ['53', 'unavailable', 'The database has no room for more work'],
  ['08', 'unavailable', 'The connection to the database broke'],
  ['57P', 'unavailable', 'The database is starting or stopping'],
  ['57014', 'unavailable', 'The database took too long'],
  ['55P03', 'unavailable', 'The database was busy for too long'],
  ['40', 'unavailable', 'The database asks to try again'],
  ['25P', 'unavailable', 'The database ended a transaction'],
  ['25006', 'unavailable', 'The database takes no writes: it is a standby, or set to read only'],
  // What a function is called carries its level: it was dropped when a newer level made it unsafe.
  ['42883', 'needs_upgrade', 'A newer version of Tidemark has changed this database'],
]

/** Refusals that are the operator's to mend, at the first connection. */
const REFUSALS: readonly string[] = ['28', '3D', '42501', '0A']

/**
 * What a database threw, by its SQLSTATE; a connection that broke or was never made is `unavailable`. The sentence
 * of PostgreSQL, which may quote a value, stays with the cause, which no log prints.
 */
export function toDatabaseError(thrown: unknown): TidemarkError {
  if (thrown instanceof TidemarkError) return thrown
  if (!(thrown instanceof pg.DatabaseError)) {
    if (thrown instanceof Error && thrown.message === SILENT)
      return new TidemarkError('unavailable', 'The database took too long', {
        cause: thrown,
        details: { overdue: true },
      })
    if (isUntrusted(thrown))
      return new TidemarkError('database_refused', 'The certificate of the database is not trusted', {
        cause: thrown,
        details: { reason: Reflect.get(thrown, 'code') },
      })
    const isNetwork = thrown instanceof Error && isConnectionFailure(thrown)
    return isNetwork
      ? new TidemarkError('unavailable', 'The database cannot be reached', { cause: thrown })
      : new TidemarkError('internal', undefined, { cause: thrown })
  }
  const state = thrown.code ?? ''
  const details = { sqlstate: state }
  const found = CODES.find(([prefix]) => state.startsWith(prefix))
  if (found !== undefined) return new TidemarkError(found[1], found[2], { cause: thrown, details })
  if (REFUSALS.some((prefix) => state.startsWith(prefix)))
    return new TidemarkError('database_refused', undefined, { cause: thrown, details })
  return new TidemarkError('internal', undefined, { cause: thrown, details })
}

/** What the driver says when nothing was heard for the time that any statement may take. */
const SILENT = 'Query read timeout'

/** A statement that ran out of time would do so again. */
export const isOverdue = (thrown: unknown): boolean =>
  thrown instanceof TidemarkError &&
  (thrown.details['sqlstate'] === '57014' || thrown.details['overdue'] === true)

/** A refusal that is over by itself: another program held a lock, or two waited for each other. */
export const isPassing = (thrown: unknown): boolean =>
  thrown instanceof TidemarkError && /^(?:55P03|40)/.test(String(thrown.details['sqlstate']))

/** What OpenSSL says of a chain it cannot follow to the end, and Node of a name that is not in it. */
const UNTRUSTED =
  /^(?:ERR_TLS_CERT_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(?:GET_ISSUER|VERIFY)|INVALID_CA|HOSTNAME_MISMATCH)/

const isUntrusted = (thrown: unknown): thrown is Error =>
  thrown instanceof Error && UNTRUSTED.test(String(Reflect.get(thrown, 'code')))

/** What the driver says has no code of its own. */
const SAID = /connection|terminated|timeout|not queryable|Cannot use a pool|ended/i

function isConnectionFailure(error: Error): boolean {
  if (error instanceof AggregateError) return error.errors.some((one) => one instanceof Error)
  const code: unknown = Reflect.get(error, 'code')
  return (typeof code === 'string' && /^E[A-Z]+$/.test(code)) || SAID.test(error.message)
}
