import { rmSync } from 'node:fs'
import { join } from 'node:path'

import { runFolder, type Folders } from '../../machine/folders.ts'
import { readPrivateFile, writePrivateFile } from '../../machine/private-file.ts'

/**
 * Where the daemon of these folders listens, for other programs of the same user. It may be out of date: a daemon that
 * was killed takes nothing away. Who reads it lets the daemon prove itself before it shows the token (`proof.ts`).
 */
export interface RunNote {
  readonly pid: number
  readonly url: string
  readonly version: string
  /** Milliseconds. */
  readonly started_at: number
}

const fileOf = (folders: Folders): string => join(runFolder(folders), 'daemon.json')

/** Once it listens, by who holds the daemon's lock. */
export function writeRunNote(folders: Folders, note: Omit<RunNote, 'pid'>): void {
  writePrivateFile(fileOf(folders), `${JSON.stringify({ pid: process.pid, ...note })}\n`)
}

export function removeRunNote(folders: Folders): void {
  rmSync(fileOf(folders), { force: true })
}

/** Null where there is none, or none that can be read. */
export function readRunNote(folders: Folders): RunNote | null {
  const text = readPrivateFile(join(folders.data, 'run', 'daemon.json'))
  try {
    const note: unknown = JSON.parse(text ?? '')
    return isRunNote(note) ? note : null
  } catch {
    return null
  }
}

function isRunNote(note: unknown): note is RunNote {
  if (typeof note !== 'object' || note === null) return false
  const { pid, url, version, started_at } = note as { readonly [name: string]: unknown }
  const texts = typeof url === 'string' && /^http:\/\/127\.0\.0\.1:\d{1,5}$/.test(url)
  return texts && typeof pid === 'number' && typeof version === 'string' && typeof started_at === 'number'
}
