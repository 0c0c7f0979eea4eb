import { ERRORS, TidemarkError, toTidemarkError } from '../kernel/errors.ts'

/** What the system says of a file or folder, in words. */
const SYSTEM: { readonly [code: string]: string } = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the disk is mounted read-only',
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'a part of the path is no folder',
  EEXIST: 'something else is there already',
  EISDIR: 'it is a folder',
  ELOOP: 'a symbolic link leads to itself',
  ENAMETOOLONG: 'the name is too long',
  EMFILE: 'too many files are open',
}

/**
 * Any thrown thing as a person is told it: what the system refused of a path is named with its reason, and is no
 * failure of the program.
 */
export function toSystemError(thrown: unknown): TidemarkError {
  if (!(thrown instanceof Error) || thrown instanceof TidemarkError) return toTidemarkError(thrown)
  const { code, path } = thrown as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new TidemarkError('disk_full', undefined, { cause: thrown })
  const reason = SYSTEM[code ?? '']
  if (reason === undefined || path === undefined) return toTidemarkError(thrown)
  return new TidemarkError('no_access', `${path} cannot be used: ${reason}`, { cause: thrown })
}

/** What happened, in words: SQLite's names for it are for the details. */
export const describeError = ({ code, message }: TidemarkError): string =>
  message.startsWith('SQLITE_') ? ERRORS[code].title : message
