/**
 * The one table of errors: what a code means, its HTTP status, whether the same request may be sent again,
 * and what a person can do. `docs/errors.md` is generated from it. Messages never hold row values.
 */
// One line a row: it is read as a table.
// oxfmt-ignore
export const ERRORS = {
  // request
  bad_request: { status: 400, retry: false, title: 'The request does not fit its schema', hint: 'Compare it with the API page; the details name the field.' },
  unauthorized: { status: 401, retry: false, title: 'Authentication failed: no token, or one that is not known', hint: 'Create a token with `tidemark cloud token create` and set it with `tidemark config set token`, in an application with TIDEMARK_TOKEN or `token`.' },
  token_revoked: { status: 401, retry: false, title: 'Authentication failed: the token was revoked or has expired', hint: 'Create a new token on the cloud and set it with `tidemark config set token`, in an application with TIDEMARK_TOKEN or `token`.' },
  forbidden: { status: 403, retry: false, title: 'The token does not reach this space or lacks the scope', hint: 'Use a token of the account that owns the space, with the scope named in the details.' },
  device_deregistered: { status: 403, retry: false, title: 'This device was deregistered', hint: 'Register it again: with a new token of the account, or by `registerDevice()` of the library.' },
  not_found: { status: 404, retry: false, title: 'There is nothing at this address', hint: 'Check the name or id, and the path of the endpoint.' },
  space_not_found: { status: 404, retry: false, title: 'No such space', hint: 'A space appears with the first push into it; check the spelling.' },
  method_not_allowed: { status: 405, retry: false, title: 'The route exists, but not with this method', hint: 'The API page lists every route.' },
  unsupported_encoding: { status: 415, retry: false, title: 'The body is in a form this server does not read', hint: 'Send JSON, plain or with content-encoding gzip or zstd.' },
  payload_too_large: { status: 413, retry: false, title: 'The body is larger than the limit', hint: 'Send fewer changes in one request; the client halves by itself.' },
  unprocessable: { status: 422, retry: false, title: 'The request is well formed but cannot be carried out', hint: 'The message names the rule, and the details what it is about.' },
  rate_limited: { status: 429, retry: true, title: 'Too many requests', hint: 'Wait for the time in Retry-After; the client does.' },
  internal: { status: 500, retry: true, title: 'Something failed that was not foreseen', hint: 'It can be tried again; the log of the server, or the cause of the error, says more.' },
  unavailable: { status: 503, retry: true, title: 'The server is starting, stopping or overloaded', hint: 'What keeps running tries again by itself; a command can be given again.' },
  disk_full: { status: 507, retry: true, title: 'No room is left on the disk', hint: 'Free space; work goes on by itself.' },
  // sync
  replica_forked: { status: 409, retry: false, title: 'Another copy of this file has pushed under the same identity', hint: 'The client takes a new identity by itself; nothing is lost.' },
  lost_history: { status: 409, retry: false, title: 'The cloud was restored to an older state', hint: 'The client offers again what the cloud lost, by itself.' },
  cursor_expired: { status: 410, retry: false, title: 'The replica was away longer than tombstones are kept', hint: 'The client reads the space anew, by itself; local changes are kept.' },
  needs_upgrade: { status: 426, retry: false, title: 'Client and cloud speak different protocol versions', hint: 'Install the same version of tidemark on both.' },
  // approvals
  already_decided: { status: 409, retry: false, title: 'The approval is decided already', hint: 'The details have the decision, which is final; ask for another approval.' },
  approval_differs: { status: 409, retry: false, title: 'Another approval was asked for under this id', hint: 'Use an id of its own for each question, or leave it out.' },
  not_owned: { status: 409, retry: false, title: 'The approval belongs to another device', hint: 'Decide it on the device that asked.' },
  // network, seen by the client
  network: { status: 0, retry: true, title: 'The cloud cannot be reached', hint: 'Check the endpoint (http or https, host, port, certificate) and the network; work goes on offline and is sent later.' },
  bad_answer: { status: 0, retry: true, title: 'The cloud sent an answer that does not fit the protocol', hint: 'Check that the endpoint is a Tidemark cloud and nothing between changes its answers.' },
  aborted: { status: 0, retry: true, title: 'Stopped on request', hint: 'Start it again when you want to go on.' },
  // local
  not_connected: { status: 0, retry: false, title: 'Not connected: no endpoint is configured', hint: 'Set TIDEMARK_ENDPOINT; or for the commands `tidemark config set endpoint URL`, in an application `endpoint`.' },
  sync_disabled: { status: 0, retry: false, title: 'Sync is off', hint: '`tidemark sync status` says which rule decided.' },
  not_attached: { status: 0, retry: false, title: 'The file is not under sync', hint: 'Put it under sync, or let the commands know it, with `tidemark attach FILE`.' },
  already_attached: { status: 0, retry: false, title: 'The file is already under sync', hint: 'Use `tidemark sync status`; `tidemark detach FILE` takes it off.' },
  needs_merge: { status: 0, retry: false, title: 'File and space never met: both hold rows, or the file was in step with another account or cloud', hint: 'Join them row by row with `--merge` (in an application `merge: true`), or use another space. Where the file was in step with another account or cloud: set the endpoint and token of before, or send all its rows here too with `tidemark sync reset FILE --rejoin`.' },
  nothing_to_sync: { status: 0, retry: false, title: 'No table of the file can be synced', hint: 'Make the tables first, each with a primary key; the details name those that are there, and why each stays out.' },
  file_not_found: { status: 0, retry: false, title: 'There is no such file', hint: 'Check the path.' },
  file_exists: { status: 0, retry: false, title: 'A file is already there', hint: 'Choose another path, or remove the file first.' },
  not_a_database: { status: 0, retry: false, title: 'The file is not an SQLite database, or is damaged or encrypted', hint: 'Check it with `PRAGMA integrity_check`.' },
  not_an_export: { status: 0, retry: false, title: 'The file is no exported space, or not the whole of one', hint: 'Take another copy of the file, or export again; nothing was imported.' },
  space_not_empty: { status: 0, retry: false, title: 'The space already holds something', hint: 'Import under another name with `--space`; `tidemark cloud spaces` lists those that are there.' },
  no_access: { status: 0, retry: false, title: 'A file or folder cannot be read or written', hint: 'Check that it and its folder are there, belong to you, and can be written to.' },
  database_locked: { status: 0, retry: true, title: 'Another process holds the database locked', hint: 'Wait for it to finish; the work is tried again.' },
  in_use: { status: 0, retry: false, title: 'Another Tidemark process is already at work here', hint: 'Stop the other one, or let it do the work; the details name its process where that is known.' },
  cannot_listen: { status: 0, retry: false, title: 'The address cannot be listened on', hint: 'Choose another one with `--host` and `--port` (that of the numbers with `--metrics-address`), or stop the program that has it.' },
  database_refused: { status: 503, retry: true, title: 'PostgreSQL refuses the connection or lacks a right', hint: 'Check user, password, certificate, and name, encoding and rights of the database; `tidemark cloud check` tries each of them.' },
  daemon_not_running: { status: 0, retry: false, title: 'The daemon is not running', hint: 'Start it with `tidemark daemon start`, or in the foreground with `tidemark daemon`.' },
  config_invalid: { status: 0, retry: false, title: 'The configuration cannot be read', hint: 'The details name the file, the line and the key; the file was left as it is.' },
  not_confirmed: { status: 0, retry: false, title: 'Nothing was changed: nobody said yes', hint: 'Answer y, or say --yes where nobody can be asked.' },
  bad_usage: { status: 0, retry: false, title: 'What was asked was not understood', hint: 'The message says what is wrong; `--help` of a command says what it takes.' },
  newer_database: { status: 0, retry: false, title: 'The database was written by a newer version of tidemark', hint: 'Install that version, or a newer one; the file was left as it is.' },
  node_too_old: { status: 0, retry: false, title: 'This version of Node.js is too old', hint: 'Install Node.js 24 or newer, or a 22 from 22.19 on.' },
  node_sqlite_too_old: { status: 0, retry: false, title: 'The node:sqlite of this Node.js cuts text at NUL characters, unseen', hint: 'Install Node.js 24.16 or newer, or open the file with better-sqlite3.' },
  insecure_address: { status: 0, retry: false, title: '`--insecure-loopback` serves loopback addresses only', hint: 'Listen on 127.0.0.1 or ::1, or use tokens.' },
  resolver_failed: { status: 0, retry: true, title: 'A conflict resolver threw or answered something unknown', hint: 'Answer `local`, `remote` or a row; the conflict waits in the inbox.' },
  invariant: { status: 500, retry: false, title: 'An internal check failed', hint: 'Nothing was changed. Please report it with the details.' },
} as const satisfies { readonly [code: string]: ErrorRow }

interface ErrorRow {
  /** HTTP status where the cloud answers it, 0 for errors that are only local. */
  readonly status: number
  /** The same request may succeed later. */
  readonly retry: boolean
  readonly title: string
  readonly hint: string
}

export type ErrorCode = keyof typeof ERRORS
export type ErrorDetails = { readonly [key: string]: unknown }

/** The one error class. `message` says what and why; `hint` what to do; neither holds a row value. */
export class TidemarkError extends Error {
  readonly code: ErrorCode
  readonly details: ErrorDetails
  /** Milliseconds the server asked to wait, where it did. */
  readonly retryAfterMs: number | undefined

  constructor(
    code: ErrorCode,
    message?: string,
    options: {
      readonly details?: ErrorDetails
      readonly cause?: unknown
      readonly retryAfterMs?: number
    } = {},
  ) {
    super(message ?? ERRORS[code].title, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'TidemarkError'
    this.code = code
    this.details = options.details ?? {}
    this.retryAfterMs = options.retryAfterMs
  }

  get status(): number {
    return ERRORS[this.code].status
  }

  get retry(): boolean {
    return ERRORS[this.code].retry
  }

  get hint(): string {
    return ERRORS[this.code].hint
  }

  toJSON(): { code: ErrorCode; message: string; details: ErrorDetails; retry: boolean } {
    return { code: this.code, message: this.message, details: this.details, retry: this.retry }
  }
}

export const isErrorCode = (code: unknown): code is ErrorCode =>
  typeof code === 'string' && Object.hasOwn(ERRORS, code)

/** Any thrown thing as a `TidemarkError`; what is not one becomes `fallback` with the thing as its cause. */
export function toTidemarkError(thrown: unknown, fallback: ErrorCode = 'internal'): TidemarkError {
  if (thrown instanceof TidemarkError) return thrown
  return new TidemarkError(fallback, undefined, { cause: thrown })
}
