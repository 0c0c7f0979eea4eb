import { randomBytes } from 'node:crypto'

import { createDaemonClient, type DaemonClient } from '../../client/daemon-client.ts'
import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { Folders } from '../../machine/folders.ts'
import { DAEMON_API, OPERATIONS } from '../../protocol/daemon-api.ts'
import { CHALLENGE_HEADER, isProof, PROOF_HEADER } from './proof.ts'
import { readRunNote } from './run-note.ts'
import { readApiToken } from './token.ts'

/** A daemon of this machine that does not say who it is within this is none. */
const PROOF_MS = 5_000
export interface ConnectedDaemon {
  readonly client: DaemonClient
  readonly url: string
  readonly pid: number
}

/**
 * The running daemon of these folders. What listens where it said may be another program by now: the token is shown
 * only to who has proved to know it. Rejects with `daemon_not_running`.
 */
export async function connectDaemon(
  folders: Folders,
  { clock }: { readonly clock: Clock },
): Promise<ConnectedDaemon> {
  const note = readRunNote(folders)
  const token = readApiToken(folders)
  if (note === null || token === null) throw new TidemarkError('daemon_not_running')
  const { url, pid } = note
  const prove = (): Promise<void> => requireProof(url, token, clock)
  await prove()
  // Each time: the daemon may have ended since. What remains is the moment between the proof and the request.
  const provenFetch: typeof fetch = async (input, init) => {
    await prove()
    return fetch(input, init)
  }
  return { client: createDaemonClient({ url, token, clock, fetch: provenFetch }), url, pid }
}

async function requireProof(url: string, token: string, clock: Clock): Promise<void> {
  const challenge = randomBytes(32).toString('base64url')
  const late = new AbortController()
  const cancel = clock.after(PROOF_MS, () => late.abort())
  try {
    const response = await fetch(`${url}${DAEMON_API}${OPERATIONS.getHealth.path}`, {
      headers: { [CHALLENGE_HEADER]: challenge },
      redirect: 'error',
      signal: late.signal,
    })
    await response.body?.cancel()
    if (isProof(response.headers.get(PROOF_HEADER), token, challenge, Number(new URL(url).port))) return
  } catch (cause) {
    throw new TidemarkError('daemon_not_running', `Nothing answers at ${url}`, { cause })
  } finally {
    cancel()
  }
  throw new TidemarkError(
    'daemon_not_running',
    `What answers at ${url} is not the daemon of this data folder, or has another token`,
  )
}
