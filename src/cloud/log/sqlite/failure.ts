import Database from 'better-sqlite3'

import { TidemarkError, type ErrorCode } from '../../../kernel/errors.ts'

const CODES: readonly (readonly [prefix: string, code: ErrorCode])[] = [
  ['SQLITE_FULL', 'disk_full'],
  ['SQLITE_IOERR', 'disk_full'],
  ['SQLITE_BUSY', 'unavailable'],
  ['SQLITE_LOCKED', 'unavailable'],
  ['SQLITE_NOTADB', 'not_a_database'],
  ['SQLITE_CORRUPT', 'not_a_database'],
  ['SQLITE_CANTOPEN', 'no_access'],
  ['SQLITE_READONLY', 'no_access'],
]

/**
 * What a storage threw, by its code. SQLite's own sentence stays the cause and is not repeated: it may come from
 * anywhere.
 */
export function toStorageError(thrown: unknown): TidemarkError {
  if (thrown instanceof TidemarkError) return thrown
  if (isNoRoom(thrown)) return new TidemarkError('disk_full', undefined, { cause: thrown })
  if (!(thrown instanceof Database.SqliteError))
    return new TidemarkError('internal', undefined, { cause: thrown })
  const { code } = thrown
  const found = CODES.find(([prefix]) => code.startsWith(prefix))?.[1] ?? 'internal'
  return new TidemarkError(found, undefined, { cause: thrown, details: { sqlite: code } })
}

function isNoRoom(thrown: unknown): boolean {
  if (!(thrown instanceof Error) || !('code' in thrown)) return false
  return thrown.code === 'ENOSPC' || thrown.code === 'EDQUOT'
}

/** Runs one step on the storage; throws a `TidemarkError` and nothing else. */
export function onStorage<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw toStorageError(error)
  }
}
