import { TidemarkError, type ErrorCode } from '../kernel/errors.ts'
import { toSystemError } from '../machine/failures.ts'

/** What a failure is about, for who tells them apart by the origin's words. */
export type Trouble = 'connection' | 'credentials' | 'other'

/**
 * Every code, sorted. `connection`: nobody could be asked, or who answered is no cloud that works now, so that the
 * application goes on offline and the next try may do. `credentials`: the cloud was met and does not let this
 * token or device in; a person has to act. `other`: all that trying again or another token would not change, and
 * what was refused over a connection that works; these keep their own words.
 */
// One line a kind: it is read as a table.
// oxfmt-ignore
export const TROUBLES: { readonly [Code in ErrorCode]: Trouble } = {
  // Nobody was asked: there is no cloud in the settings, or sync is off.
  not_connected: 'connection', sync_disabled: 'connection',
  // Nobody answered, or something in between did: a hotel's page, a proxy whose cloud is away.
  network: 'connection', bad_answer: 'connection', unavailable: 'connection',
  database_refused: 'connection',

  unauthorized: 'credentials', token_revoked: 'credentials', forbidden: 'credentials',
  device_deregistered: 'credentials',

  // The cloud was met, and said no to this request.
  bad_request: 'other', not_found: 'other', space_not_found: 'other', method_not_allowed: 'other',
  unsupported_encoding: 'other', payload_too_large: 'other', unprocessable: 'other', rate_limited: 'other',
  internal: 'other', replica_forked: 'other', lost_history: 'other', cursor_expired: 'other',
  // Connecting again does not help: somebody has to install something.
  needs_upgrade: 'other', node_too_old: 'other', node_sqlite_too_old: 'other',
  // Of this machine, its files and its settings.
  disk_full: 'other', not_attached: 'other', already_attached: 'other', needs_merge: 'other',
  nothing_to_sync: 'other', file_not_found: 'other', file_exists: 'other', not_a_database: 'other',
  no_access: 'other', not_an_export: 'other', space_not_empty: 'other', database_locked: 'other', in_use: 'other', cannot_listen: 'other', config_invalid: 'other',
  not_confirmed: 'other', bad_usage: 'other', insecure_address: 'other', resolver_failed: 'other',
  invariant: 'other', aborted: 'other',
  // Of the daemon's approvals.
  already_decided: 'other', approval_differs: 'other', not_owned: 'other', daemon_not_running: 'other',
  newer_database: 'other',
}

/** How a message begins, and the word of the origin that it must have. */
const WORDS: { readonly [T in Exclude<Trouble, 'other'>]: { readonly word: string; readonly lead: string } } =
  {
    connection: { word: 'Not connected', lead: 'Not connected' },
    credentials: { word: 'Authentication', lead: 'Authentication failed' },
  }

/**
 * What an application catches: a typed code, and the words of the origin for who looks at the message. Anything
 * thrown is taken; what was no `TidemarkError` is the cause of one.
 */
export function toSyncError(thrown: unknown): TidemarkError {
  const error = toSystemError(thrown)
  const trouble = TROUBLES[error.code]
  if (trouble === 'other') return error
  const { word, lead } = WORDS[trouble]
  if (error.message.startsWith(word)) return error
  const { details, cause, retryAfterMs } = error
  return new TidemarkError(error.code, `${lead}: ${error.message}`, {
    details,
    ...(cause === undefined ? {} : { cause }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}
