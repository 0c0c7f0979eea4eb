import { TidemarkError } from '../kernel/errors.ts'
import { decideSync, type Config } from './config.ts'

/** Where a profile sends to, and with what. */
export interface Connection {
  readonly endpoint: string
  readonly token: string | null
}

/** Of the profile. Throws `not_connected`, `sync_disabled` naming the rule that decided, `unauthorized`. */
export function requireConnection(config: Config): Connection {
  const endpoint = config.read('endpoint').value
  if (typeof endpoint !== 'string') throw new TidemarkError('not_connected')
  const decision = decideSync(config)
  if (!decision.on) throw new TidemarkError('sync_disabled', `Sync is off: ${decision.rule}`)
  return { endpoint, token: chooseToken(config) }
}

/** The token to send; null: none. `auth none` sends none even where one is stored. Throws `unauthorized`. */
function chooseToken(config: Config): string | null {
  const auth = config.read('auth')
  if (auth.value === 'none') return null
  const token = config.read('token').value
  if (typeof token === 'string') return token
  if (auth.value === null) return null
  // Asked for by name: sent without one, rows would go to an endpoint that takes anyone's.
  throw new TidemarkError('unauthorized', `${auth.variable ?? 'auth'} is token, but no token is set`)
}

/** How engines of this profile work, from its settings. */
export function engineSettings(config: Config): { readonly pollMs: number; readonly batchRows?: number } {
  const rows = config.read('sync_batch_size').value
  return {
    pollMs: Number(config.read('sync_interval').value) * 1_000,
    ...(typeof rows === 'number' ? { batchRows: rows } : {}),
  }
}
