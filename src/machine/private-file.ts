import {
  chmodSync,
  closeSync,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { devNull } from 'node:os'
import { dirname, resolve } from 'node:path'

import Database from 'better-sqlite3'

import { TidemarkError } from '../kernel/errors.ts'
import { SqliteFailure } from '../stores/sqlite/driver/failure.ts'

const PRIVATE = 0o600
/** Nothing that Tidemark keeps in such a file comes near it; reading more would only fill the memory. */
const MAX_BYTES = 32 * 1024 * 1024
/** A change takes milliseconds: whoever waits longer waits for a process that was stopped in the middle. */
const LOCK_WAIT_MS = 5_000
const MAX_LINKS = 40

/**
 * A small text file that is always whole: written beside, fsynced, renamed; readable by its owner only. A symbolic
 * link stays one: the file that it leads to is replaced. One writer at a time: see `changePrivateFile`.
 */
export function writePrivateFile(path: string, text: string): void {
  const target = targetOf(path)
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
  const beside = `${target}.${process.pid}.new`
  try {
    // What lies there is of a process that was killed; `wx` follows no link that somebody put in its place.
    rmSync(beside, { force: true })
    const file = openSync(beside, 'wx', PRIVATE)
    try {
      fchmodSync(file, PRIVATE)
      // To the last byte, or it throws: a full disk takes a part and says so only when asked again.
      writeFileSync(file, text)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(beside, target)
  } catch (error) {
    rmSync(beside, { force: true })
    throw error
  }
}

/**
 * The file's text, null when there is none. Closes it to others where it is this user's and open to them. Throws
 * `config_invalid` for what is no text file.
 */
export function readPrivateFile(path: string): string | null {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found === undefined || path === devNull) return null
  if (!found.isFile()) throw unreadable(path, 'it is no file')
  if (found.size > MAX_BYTES) throw unreadable(path, `it is larger than ${MAX_BYTES / 1024 / 1024} MB`)
  if ((found.mode & 0o077) !== 0 && found.uid === process.getuid?.()) closeToOthers(path)
  try {
    // Bytes that are no text would be read as others, and be lost with the next change.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(readFileSync(path))
  } catch (error) {
    if (error instanceof TypeError) throw unreadable(path, 'it is not UTF-8')
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/**
 * Reads, changes and writes a file while no other process does: two changes at once are both kept. The lock dies with
 * its process and with nothing else, neither by time nor by a clock that is set. Throws `in_use` when another process
 * was stopped in the middle of its change. Nothing is written where `change` answers null, or what was there.
 */
export function changePrivateFile(
  path: string,
  change: (text: string | null) => string | null,
  waitMs = LOCK_WAIT_MS,
): void {
  const target = targetOf(path)
  if (statSync(target, { throwIfNoEntry: false })?.isFile() === false) throw unreadable(path, 'it is no file')
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
  const lock = takeLock(target, waitMs)
  try {
    const before = readPrivateFile(target)
    const after = change(before)
    if (after !== null && after !== before) writePrivateFile(target, after)
  } finally {
    lock.close()
  }
}

/** An exclusive transaction on an empty SQLite file beside it, which the system lets go when the process ends. */
function takeLock(target: string, waitMs: number): Database.Database {
  const path = `${target}.lock`
  let lock: Database.Database | undefined
  try {
    lock = new Database(path, { timeout: waitMs })
    closeToOthers(path)
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock?.close()
    if (!(error instanceof Database.SqliteError)) throw error
    if (error.code.startsWith('SQLITE_BUSY'))
      throw new TidemarkError('in_use', 'another process keeps changing the same file', {
        details: { file: target },
      })
    const failure = new SqliteFailure(error.code, error.message)
    if (failure.code !== 'no_access') throw failure
    throw new TidemarkError('no_access', `${target} cannot be written`, { cause: failure })
  }
}

/** The file itself, where the path is a link, also one that leads nowhere yet. */
function targetOf(path: string): string {
  let target = resolve(path)
  for (let links = 0; links < MAX_LINKS; links++) {
    if (lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink() !== true) break
    target = resolve(dirname(target), readlinkSync(target))
  }
  try {
    return realpathSync(target)
  } catch {
    return target
  }
}

/** Of another user, or on a disk that cannot be written: it stays as it is. */
function closeToOthers(path: string): void {
  try {
    chmodSync(path, PRIVATE)
  } catch {
    // As above.
  }
}

const unreadable = (file: string, why: string): TidemarkError =>
  new TidemarkError('config_invalid', `${file} cannot be read: ${why}`, { details: { file } })
