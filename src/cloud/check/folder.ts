import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

import { TidemarkError } from '../../kernel/errors.ts'
import { DIRECTORY_MIGRATIONS } from '../directory/schema.ts'
import { openForReading } from '../log/sqlite/file.ts'
import type { Migration } from '../log/sqlite/migrate.ts'
import { LOG_MIGRATIONS } from '../log/sqlite/schema.ts'
import { CLOUD_FILE } from '../server/storage.ts'
import { fail, formatBytes, ok, warn, type Finding } from './finding.ts'

/** Bytes free under which a disk is called full: a push of the largest size, and its way through the log. */
const LOW_BYTES = 256 * 1024 * 1024
/** What of the file's own size should be free besides: a rewrite of it takes as much. */
const FREE_SHARE = 0.1
/** Damages that are told; one would do. */
const MAX_DAMAGES = 5

/** A cloud's data folder: is it ours, whole, and is there room? */
export function checkFolder(data: string): readonly Finding[] {
  const file = join(data, CLOUD_FILE)
  const about = 'folder'
  if (!existsSync(file)) {
    const there = nearest(resolve(data))
    const found = canWrite(there)
      ? ok(about, `there is no cloud in ${data} yet; the first start makes it`)
      : fail(
          about,
          `there is no cloud in ${data}, and it cannot be made there`,
          `Give this user the right to write to ${there}.`,
        )
    return [found, checkRoom(there, 0)]
  }
  const rights = checkRights(data, file)
  const room = checkRoom(data, statSync(file).size)
  return rights.state === 'fail' ? [rights, room] : [rights, ...checkFile(file), room]
}

function checkRights(data: string, file: string): Finding {
  const about = 'folder'
  if (!canWrite(data) || !canWrite(file))
    return fail(
      about,
      `${data} cannot be written to by this user`,
      'Give the folder and its files to the user that serves the cloud.',
    )
  const isOpen = process.platform !== 'win32' && (statSync(data).mode & 0o077) !== 0
  return isOpen
    ? warn(about, `other users of this machine can look into ${data}`, `chmod 700 '${data}'`)
    : ok(about, `${data} can be written to, and read by nobody else`)
}

/** Beside a running server: it reads one state, and the server goes on. */
function checkFile(file: string): readonly Finding[] {
  const levels = [checkPart(file, 'log', LOG_MIGRATIONS), checkPart(file, 'directory', DIRECTORY_MIGRATIONS)]
  const failed = levels.find(({ state }) => state === 'fail')
  if (failed !== undefined) return [failed]
  return [...levels, checkIntegrity(file)]
}

function checkPart(file: string, name: string, migrations: readonly Migration[]): Finding {
  const newest = migrations.at(-1)?.number ?? 0
  try {
    const database = openForReading(file, { name, migrations })
    const level =
      database.prepare<[string], number>('SELECT number FROM migrations WHERE part = ?').pluck().get(name) ??
      0
    database.close()
    const what = `level ${level}${level < newest ? `; the next start brings it to ${newest}` : ''}`
    return ok(`tables of the ${name}`, what)
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'space_not_found')
      return ok(`tables of the ${name}`, 'none yet; the next start makes them')
    return toFailure(`tables of the ${name}`, error)
  }
}

function checkIntegrity(file: string): Finding {
  try {
    const database = openForReading(file, { name: 'log', migrations: LOG_MIGRATIONS })
    try {
      const told = database.prepare<[], string>(`PRAGMA integrity_check(${MAX_DAMAGES})`).pluck().all()
      if (told.length === 1 && told[0] === 'ok') return ok('file', 'whole: every page and index was read')
      return fail(
        'file',
        `damaged, in ${told.length === 1 ? 'one place' : `${told.length} places`} at least`,
        RESTORE,
      )
    } finally {
      database.close()
    }
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'space_not_found')
      return ok('file', 'nothing in it yet')
    return toFailure('file', error, RESTORE)
  }
}

const RESTORE =
  'Stop the cloud, keep a copy of the folder, and put an older copy back: devices offer again what it lacks.'

function toFailure(about: string, thrown: unknown, fix?: string): Finding {
  const error =
    thrown instanceof TidemarkError ? thrown : new TidemarkError('internal', undefined, { cause: thrown })
  return fail(about, error.message, fix ?? error.hint)
}

function checkRoom(folder: string, size: number): Finding {
  const { bavail, bsize } = statfsSync(folder)
  const free = bavail * bsize
  const what = `${formatBytes(free)} free${size === 0 ? '' : ` beside a file of ${formatBytes(size)}`}`
  if (free < LOW_BYTES) return fail('disk', what, 'Free space: pushes are refused while there is none.')
  if (free < size * FREE_SHARE) return warn('disk', what, 'Make room before the file has grown into it.')
  return ok('disk', what)
}

function canWrite(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}

function nearest(path: string): string {
  return existsSync(path) || path === dirname(path) ? path : nearest(dirname(path))
}
