import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

import { placeOf } from '../../machine/files.ts'

export interface RollingFile {
  /** Appends a whole line, at once: the last one before an end is the one that matters. */
  write(line: string): void
  close(): void
}

/** `daemon.log`, `daemon.1.log`, … the older the higher. */
export const rolledName = (path: string, age: number): string =>
  age === 0 ? path : path.replace(/(\.[^.]*)?$/, (end) => `.${age}${end}`)

/**
 * A log file of at most `maxBytes`, and `keep - 1` older ones. Readable by its owner only. Never throws, and holds no
 * lines back: where the disk is full or the folder gone, lines are lost until it is better, and their number is told.
 */
export function openRollingFile(
  path: string,
  options: { readonly maxBytes: number; readonly keep: number; readonly lost: (lines: number) => string },
): RollingFile {
  const { maxBytes, keep } = options
  let file: { readonly handle: number; readonly place: string | null; size: number } | null = null
  let lost = 0
  let closed = false

  const open = () => {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const handle = openSync(path, 'a', 0o600)
    return { handle, place: placeOf(path), size: fstatSync(handle).size }
  }
  const close = (): void => {
    const handle = file?.handle
    file = null
    if (handle !== undefined) closeSync(handle)
  }
  const roll = (): void => {
    close()
    for (let age = keep - 1; age > 0; age--) {
      const older = rolledName(path, age - 1)
      if (placeOf(older) !== null) renameSync(older, rolledName(path, age))
    }
  }
  const append = (line: string): void => {
    // Somebody cleaned up: what goes on being written into a file without a name is read by nobody.
    if (file !== null && placeOf(path) !== file.place) close()
    file ??= open()
    const bytes = Buffer.from(line)
    if (file.size > 0 && file.size + bytes.length > maxBytes) {
      roll()
      file = open()
    }
    if (writeSync(file.handle, bytes) < bytes.length) {
      // A piece that still found room would be half a line before the next one.
      ftruncateSync(file.handle, file.size)
      throw new Error('the disk is full')
    }
    file.size += bytes.length
  }
  return {
    write(line) {
      if (closed) return
      try {
        if (lost > 0) append(options.lost(lost))
        lost = 0
        append(line)
      } catch {
        lost++
        try {
          close()
        } catch {
          // It is opened anew with the next line.
        }
      }
    },
    close() {
      closed = true
      close()
    },
  }
}
