import { createHash } from 'node:crypto'
import { closeSync, constants, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { mkdir, open, readFile, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

import type { IdentityGuard, Verdict } from '../../engine/identity.ts'
import { TidemarkError, toTidemarkError } from '../../kernel/errors.ts'

/**
 * An `IdentityGuard` on a folder of this machine: one small file per replica.
 *
 *   slot 0   fixed width: a mutation number and a check of it
 *   slot 1   the same; the two are written in turn, so that a torn write leaves the other
 *   place    JSON: the path and the inode of the replica's file
 *
 * A number is written in place with one flush, because it stands before every push; the place, which hardly
 * ever changes, by a new file that is renamed over the old one.
 */
export interface IdentityGuardOptions {
  /** Where the records are kept; made when it is not there. Never beside the database, or it is restored with it. */
  readonly folder: string
  /** The replica's own database file. */
  readonly file: string
}

export function openIdentityGuard(options: IdentityGuardOptions): IdentityGuard {
  const pathOf = (replica: string): string => join(options.folder, `${nameOf(replica)}.replica`)
  // Whoever holds the file's lock is the only one to write its record: it is read once.
  const written = new Map<string, { mutation: number; freeSlot: 0 | 1 }>()
  return {
    async verdict(replica, lastMutation) {
      const known = await readRecord(pathOf(replica))
      if (known === null) return 'unknown'
      const here = await placeOf(options.file)
      if (!samePlace(known.place, here)) {
        const elsewhere = known.place.path !== here.path && !isSameFile(known.place, here)
        if (elsewhere && (await exists(known.place.path))) return 'copied'
        // Moved, or a new file at the old path: from now on it lives here, and another one like it is a copy.
        await writeRecord(pathOf(replica), { ...known, place: here })
      }
      const verdict: Verdict = lastMutation < known.mutation ? 'restored' : 'same'
      return verdict
    },
    async record(replica, mutation) {
      const path = pathOf(replica)
      const known = written.get(path) ?? (await readRecord(path))
      if (known !== null && mutation <= known.mutation) return
      if (known !== null && writeSlot(path, mutation, known.freeSlot)) {
        written.set(path, { mutation, freeSlot: known.freeSlot === 0 ? 1 : 0 })
        return
      }
      written.delete(path)
      await writeRecord(path, { mutation, place: await placeOf(options.file) })
    },
    async takeBack(replica, mutation) {
      const path = pathOf(replica)
      const known = await readRecord(path)
      if (known === null || known.mutation !== mutation) return
      written.delete(path)
      await writeRecord(path, { mutation: mutation - 1, place: known.place })
    },
    async forget(replica) {
      written.delete(pathOf(replica))
      await rm(pathOf(replica), { force: true })
    },
  }
}

interface Place {
  readonly path: string
  readonly device: string
  readonly inode: string
}

interface Known {
  readonly mutation: number
  readonly place: Place
}

/** 16 digits, a space, 14 hexadecimal digits of SHA-256, a line end. */
const SLOT_BYTES = 32

function slotText(mutation: number): string {
  const digits = String(mutation).padStart(16, '0')
  return `${digits} ${createHash('sha256').update(digits).digest('hex').slice(0, 14)}\n`
}

function slotNumber(text: string): number | null {
  const mutation = Number(text.slice(0, 16))
  return Number.isSafeInteger(mutation) && slotText(mutation) === text ? mutation : null
}

async function readRecord(path: string): Promise<(Known & { readonly freeSlot: 0 | 1 }) | null> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return null
    throw toTidemarkError(error, 'internal')
  }
  const slots = [
    slotNumber(text.slice(0, SLOT_BYTES)),
    slotNumber(text.slice(SLOT_BYTES, 2 * SLOT_BYTES)),
  ] as const
  const place = parsePlace(text.slice(2 * SLOT_BYTES))
  const [first, second] = slots
  if (place === null || (first === null && second === null)) return null
  // A torn slot is the one to write next; else the older one.
  const freeSlot = second === null || (first !== null && second <= first) ? 1 : 0
  return { mutation: Math.max(first ?? 0, second ?? 0), place, freeSlot }
}

function parsePlace(text: string): Place | null {
  try {
    const place: unknown = JSON.parse(text)
    if (typeof place !== 'object' || place === null) return null
    const { path, device, inode } = place as { readonly [key: string]: unknown }
    return typeof path === 'string' && typeof device === 'string' && typeof inode === 'string'
      ? { path, device, inode }
      : null
  } catch {
    return null
  }
}

/**
 * Synchronous, since it stands before every push: waiting for four threads takes longer than the flush. False when
 * the record is gone: opened without creating, or it would come back as half of one.
 */
function writeSlot(path: string, mutation: number, slot: 0 | 1): boolean {
  try {
    const file = openSync(path, constants.O_WRONLY)
    try {
      writeSync(file, slotText(mutation), slot * SLOT_BYTES, 'latin1')
      fdatasyncSync(file)
    } finally {
      closeSync(file)
    }
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw failureOf(error)
  }
}

async function writeRecord(path: string, record: Known): Promise<void> {
  await guarded(async () => {
    await mkdir(dirname(path), { recursive: true })
    const next = `${path}.${process.pid}.new`
    {
      await using file = await openForWriting(
        next,
        constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC,
      )
      await file.handle.writeFile(
        slotText(record.mutation) + slotText(record.mutation) + JSON.stringify(record.place),
      )
      await file.handle.sync()
    }
    await rename(next, path)
    await syncFolder(dirname(path))
  })
}

async function openForWriting(
  path: string,
  flags: number,
): Promise<{ readonly handle: FileHandle } & AsyncDisposable> {
  const handle = await open(path, flags, 0o600)
  return { handle, [Symbol.asyncDispose]: () => handle.close() }
}

/** The name in its folder is durable only when the folder is. Windows has no such thing. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function placeOf(file: string): Promise<Place> {
  return guarded(async () => {
    const path = await realpath(resolve(file))
    const { dev, ino } = await stat(path, { bigint: true })
    return { path, device: dev.toString(), inode: ino.toString() }
  })
}

const samePlace = (a: Place, b: Place): boolean => a.path === b.path && isSameFile(a, b)
const isSameFile = (a: Place, b: Place): boolean => a.device === b.device && a.inode === b.inode

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw toTidemarkError(error, 'internal')
  }
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw failureOf(error)
  }
}

function failureOf(error: unknown): TidemarkError {
  if (codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT')
    return new TidemarkError('disk_full', undefined, { cause: error })
  if (isMissing(error)) return new TidemarkError('file_not_found', undefined, { cause: error })
  return toTidemarkError(error, 'internal')
}

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined
const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR'
/** Replica ids are safe names as a rule; anything else is named by its hash. */
const nameOf = (replica: string): string =>
  /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/.test(replica)
    ? replica
    : createHash('sha256').update(replica).digest('hex')
