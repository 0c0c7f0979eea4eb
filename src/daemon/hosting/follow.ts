import { watch, type FSWatcher } from 'node:fs'
import { basename, dirname } from 'node:path'

import type { Clock } from '../../kernel/clock.ts'

/** What comes within this time is one change, in milliseconds. */
const SETTLE_MS = 50

/**
 * Calls `look` after each change of one of the files, and every `everyMs` whatever is told: the system's word is a
 * hint that may be late, missing or about nothing.
 */
export function followFiles(
  files: readonly string[],
  options: { readonly clock: Clock; readonly everyMs: () => number; readonly look: () => void },
): () => void {
  const { clock, everyMs, look } = options
  const watchers = new Map<string, FSWatcher>()
  let [cancelPoll, cancelHint] = [(): void => {}, (): void => {}]

  const hint = (): void => {
    cancelHint()
    cancelHint = clock.after(SETTLE_MS, look)
  }
  /** Files are replaced as a whole: only their folder goes on telling. One that is not there yet is tried again. */
  const listen = (): void => {
    for (const folder of new Set(files.map(dirname))) {
      if (watchers.has(folder)) continue
      const names = new Set(files.filter((file) => dirname(file) === folder).map((file) => basename(file)))
      try {
        const watcher = watch(folder, { persistent: false }, (_, name) => {
          if (name === null || names.has(name)) hint()
        })
        watchers.set(folder, watcher)
        watcher.on('error', () => {
          watcher.close()
          watchers.delete(folder)
        })
      } catch {
        // No such folder yet, or no more watches to be had: the poll is enough.
      }
    }
  }
  const poll = (): void => {
    cancelPoll = clock.after(everyMs(), () => {
      listen()
      poll()
      look()
    })
  }
  listen()
  poll()
  return () => {
    cancelPoll()
    cancelHint()
    for (const watcher of watchers.values()) watcher.close()
  }
}
