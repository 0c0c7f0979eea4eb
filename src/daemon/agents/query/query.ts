import { fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import type { Clock } from '../../../kernel/clock.ts'
import { isErrorCode, TidemarkError, type ErrorDetails } from '../../../kernel/errors.ts'
import type { QueryPiece } from './read.ts'

export interface QueryQuestion {
  readonly file: string
  readonly sql: string
  /** Most rows. */
  readonly limit: number
}

/** What the process that runs it says. */
export type QueryMessage =
  | { readonly piece: QueryPiece }
  | { readonly done: true }
  | { readonly error: { readonly code: string; readonly message: string; readonly details: ErrorDetails } }

/** Asks for the next piece: whoever reads slowly is not sent more than they can take. */
export const MORE = 'more'

/** Of the sources or of what was built from them, whichever runs. */
const CHILD = fileURLToPath(import.meta.url).replace(/query(\.[jt]s)$/, 'child$1')

/**
 * Runs one statement of SQL against a file that it can't write to, in a process of its own: the signal and the time-out
 * end it wherever it is. Rejects with `bad_usage` (what SQLite says of the statement, and where), `file_not_found`,
 * `not_a_database`, `aborted`.
 */
export async function* runQuery(
  question: QueryQuestion,
  options: { readonly clock: Clock; readonly signal: AbortSignal; readonly timeoutMs: number },
): AsyncIterable<QueryPiece> {
  const { clock, signal, timeoutMs } = options
  const { file } = question
  if (!existsSync(file)) throw new TidemarkError('file_not_found', undefined, { details: { file } })
  if (signal.aborted) throw new TidemarkError('aborted')
  const child = fork(CHILD, [], {
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  const messages: QueryMessage[] = []
  let ended: TidemarkError | null = null
  let wake = (): void => {}
  const end = (error: TidemarkError): void => {
    ended ??= error
    child.kill('SIGKILL')
    wake()
  }
  const stop = (): void => end(new TidemarkError('aborted'))
  signal.addEventListener('abort', stop, { once: true })
  const cancel = clock.after(timeoutMs, () =>
    end(
      new TidemarkError(
        'aborted',
        `the query was stopped after ${timeoutMs / 1_000} seconds; --timeout gives it more`,
      ),
    ),
  )
  child.on('message', (message: QueryMessage) => {
    messages.push(message)
    wake()
  })
  child.on('error', (cause) =>
    end(new TidemarkError('internal', 'the query could not be started', { cause })),
  )
  // After all it said.
  child.on('disconnect', () => end(new TidemarkError('internal', 'the process of the query ended by itself')))
  try {
    child.send(question)
    for (;;) {
      const message = messages.shift()
      if (message === undefined) {
        if (ended !== null) throw ended
        await new Promise<void>((resolve) => (wake = resolve))
      } else if ('piece' in message) {
        yield message.piece
        child.send(MORE, () => {})
      } else if ('done' in message) return
      else throw toError(message.error)
    }
  } finally {
    cancel()
    signal.removeEventListener('abort', stop)
    child.kill('SIGKILL')
  }
}

function toError({
  code,
  message,
  details,
}: {
  readonly code: string
  readonly message: string
  readonly details: ErrorDetails
}): TidemarkError {
  return new TidemarkError(isErrorCode(code) ? code : 'internal', message, { details })
}
