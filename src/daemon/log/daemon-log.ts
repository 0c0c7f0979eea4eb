import { join } from 'node:path'

import pino from 'pino'

import type { LogDetails, Logger } from '../../kernel/logger.ts'
import type { Folders } from '../../machine/folders.ts'
import { describeLogLine } from './log-line.ts'
import { openRollingFile } from './rolling-file.ts'
import { scrub } from './scrub.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** Bytes of one log file, and how many there are at most. */
const MAX_BYTES = 10 * 1024 * 1024
export const KEEP = 5

export const logPath = (folders: Folders): string => join(folders.logs, 'daemon.log')

export interface DaemonLog extends Disposable {
  readonly logger: Logger
}

/** The daemon's log: lines of JSON in a file, and readable ones for whoever looks on. */
export function openDaemonLog(options: {
  readonly folders: Folders
  readonly level: LogLevel
  /** What must not be in any line, as it is now. */
  readonly secrets: () => readonly string[]
  /** In the foreground. */
  readonly say?: ((line: string) => void) | undefined
}): DaemonLog {
  const { folders, level, secrets, say } = options
  const file = openRollingFile(logPath(folders), {
    maxBytes: MAX_BYTES,
    keep: KEEP,
    lost: (lines) =>
      `${JSON.stringify({ level: 'warn', lines, msg: 'Lines of this log could not be written' })}\n`,
  })
  const write = (text: string): void => {
    const line = scrub(text, secrets())
    file.write(line)
    say?.(describeLogLine(line.trimEnd()))
  }
  const lines = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write },
  )
  const at =
    (name: Exclude<LogLevel, 'silent'>) =>
    (message: string, details: LogDetails = {}) => {
      lines[name](details, message)
    }
  return {
    logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    [Symbol.dispose]: () => file.close(),
  }
}
