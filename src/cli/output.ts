import { ERRORS, TidemarkError } from '../kernel/errors.ts'
import { describeError, toSystemError } from '../machine/failures.ts'
import { showLine, showText } from './plain-text.ts'

/** Where a command prints: people read lines, machines one JSON value. */
export interface Output {
  readonly json: boolean
  readonly quiet: boolean
  /** A screen that can redraw a line. */
  readonly live: boolean
  readonly columns: number
  /** A line for people; nothing with `--json`. */
  say(line?: string): void
  /** Something that went wrong or deserves attention; to the error stream. */
  warn(line: string): void
  /** The command's result: the value with `--json`, the lines otherwise, even with `--quiet`. */
  result(value: unknown, lines: readonly string[]): void
  /** Redraws the current line; only where `live`. */
  redraw(line: string): void
  bold(text: string): string
  dim(text: string): string
}

export interface Streams {
  readonly out: {
    write(text: string): unknown
    /** Where `write` answered false: called when it takes more. */
    once?(event: 'drain', run: () => void): unknown
    readonly isTTY?: boolean
    readonly columns?: number
  }
  readonly err: { write(text: string): unknown; readonly isTTY?: boolean }
  readonly env: { readonly [name: string]: string | undefined }
}

export function createOutput(
  streams: Streams,
  options: { readonly json: boolean; readonly quiet: boolean },
): Output {
  const { out, err, env } = streams
  const terminal = out.isTTY === true && env['TERM'] !== 'dumb' && env['CI'] === undefined
  const colours = terminal && env['NO_COLOR'] === undefined
  const paint = (code: number) => (text: string) => (colours ? `\u001b[${code}m${text}\u001b[0m` : text)
  let drawn = false
  const clear = () => {
    if (drawn) out.write('\r\u001b[K')
    drawn = false
  }
  return {
    json: options.json,
    quiet: options.quiet,
    live: terminal && !options.json && !options.quiet,
    columns: out.columns ?? 80,
    say(line = '') {
      if (options.json || options.quiet) return
      clear()
      out.write(`${line}\n`)
    },
    warn(line) {
      clear()
      err.write(`${line}\n`)
    },
    result(value, lines) {
      clear()
      out.write(options.json ? `${JSON.stringify(value)}\n` : lines.map((line) => `${line}\n`).join(''))
    },
    redraw(line) {
      out.write(`\r\u001b[K${line}`)
      drawn = true
    },
    bold: paint(1),
    dim: paint(2),
  }
}

/** Exit codes, documented in docs/guides/cli.md. */
export const EXIT = { done: 0, failed: 1, usage: 2, offline: 3, refused: 4, interrupted: 130 } as const

/** Tells an error as what, why and what to do; answers the exit code. */
export function reportError(output: Output, thrown: unknown): number {
  const error = withReason(toSystemError(thrown))
  if (output.json) output.result({ error }, [])
  else {
    // Names of tables, files and spaces are of whoever made them.
    output.warn(`tidemark: ${showText(describeError(error))}`)
    for (const line of describeDetails(error)) output.warn(`  ${showLine(line)}`)
    if (isHelpful(error)) output.warn(`  ${error.hint}`)
    if (error.code === 'internal' && error.cause instanceof Error)
      output.warn(`  ${showText(error.cause.stack ?? error.cause.message)}`)
  }
  return exitCodeOf(error)
}

/**
 * Why a database does not let us in, or cannot be had. What it says of that names no secret and is what its operator
 * looks for; to the clients of a cloud it is not told.
 */
function withReason(error: TidemarkError): TidemarkError {
  const { code, message, details, cause } = error
  if (!['unavailable', 'database_refused'].includes(code) || details['reason'] !== undefined) return error
  // Of several addresses of one host, each with a reason: the first.
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause
  if (!(first instanceof Error) || first.message === '' || first.message === message) return error
  return new TidemarkError(code, message, { details: { ...details, reason: first.message }, cause })
}

/**
 * The hint of what is not found is about addresses of the API: a command's own sentence says more. Others send to the
 * details, and there may be none.
 */
const isHelpful = ({ code, message, hint, details }: TidemarkError): boolean =>
  (code !== 'not_found' || message === ERRORS.not_found.title) &&
  !(hint.startsWith('The details') && Object.keys(details).length === 0)

function describeDetails(error: TidemarkError): readonly string[] {
  return Object.entries(error.details).flatMap(([name, value]) => {
    const values: readonly unknown[] = Array.isArray(value) ? value : [value]
    const isPlain = values.every((one) => typeof one === 'string' || typeof one === 'number')
    return isPlain && values.length > 0 ? [`${name}: ${values.join(', ')}`] : []
  })
}

export function exitCodeOf(error: TidemarkError): number {
  if (['bad_usage', 'config_invalid', 'node_too_old'].includes(error.code)) return EXIT.usage
  if (error.code === 'network' || error.code === 'unavailable') return EXIT.offline
  return error.status === 401 || error.status === 403 ? EXIT.refused : EXIT.failed
}
