import pino from 'pino'

import type { LogDetails, Logger } from '../../kernel/logger.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** One line of JSON on standard error for each report. Written at once: the last line before an end is the one that matters. */
export function createLogLines(level: LogLevel): Logger {
  const lines = pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: true }),
  )
  const write =
    (level: Exclude<LogLevel, 'silent'>) =>
    (message: string, details: LogDetails = {}) => {
      lines[level](details, message)
    }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}
