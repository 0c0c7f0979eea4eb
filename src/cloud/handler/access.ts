import { TidemarkError } from '../../kernel/errors.ts'
import { ROUTES } from '../../protocol/routes.ts'
import { PROTOCOL_VERSION } from '../../protocol/version.ts'
import type { DeviceState, Directory, Grant, Visitor } from '../directory.ts'
import type { ApiRoute } from './contract.ts'
import { MAX_TOKEN_CHARS } from './limits.ts'

/** What a request shows before anything of it is read. */
export interface Credentials {
  /** The bearer token; null when there is none. */
  readonly token: string | null
  /** The header `tidemark-device`. */
  readonly device?: string | undefined
  /** The header `tidemark-protocol`. A plain HTTP program may leave it out. */
  readonly protocol?: string | undefined
  /** The name of the request in the log. */
  readonly request?: string | undefined
}

/** A request that may go on: its route, and whose it is. */
export interface Admission {
  readonly route: ApiRoute
  readonly credentials: Credentials
  readonly grant: Grant
}

const DEVICE_ID = /^[A-Za-z0-9._-]{1,64}$/

/**
 * I12: whether these credentials reach this route, decided before any work. `open` is the grant of requests
 * without a token, where the cloud serves its own machine only.
 * Throws `needs_upgrade`, `unauthorized`, `token_revoked`, `forbidden`, `device_deregistered`, `bad_request`.
 */
export async function admitRequest(
  directory: Directory,
  open: Grant | null,
  route: ApiRoute,
  credentials: Credentials,
): Promise<Admission> {
  checkProtocol(credentials.protocol)
  const { deviceState, ...grant } = await readVisitor(directory, open, credentials)
  const { scope } = ROUTES[route]
  if (!grant.scopes.includes(scope)) {
    throw new TidemarkError('forbidden', `The token lacks the scope ${scope}`, { details: { scope } })
  }
  checkDevice(grant, deviceState, route, credentials.device)
  return { route, credentials, grant }
}

function checkProtocol(version: string | undefined): void {
  if (version === undefined || version === String(PROTOCOL_VERSION)) return
  throw new TidemarkError('needs_upgrade', undefined, {
    // Told again only where it is one.
    details: { cloud: PROTOCOL_VERSION, client: /^\d{1,9}$/.test(version) ? version : null },
  })
}

async function readVisitor(
  directory: Directory,
  open: Grant | null,
  { token, device }: Credentials,
): Promise<Visitor> {
  const shown = device !== undefined && DEVICE_ID.test(device) ? device : undefined
  if (token === null) {
    if (open === null) throw new TidemarkError('unauthorized', 'The request has no token')
    return {
      ...open,
      deviceState: shown === undefined ? null : await directory.seeDevice(open.account, shown),
    }
  }
  if (token.length === 0 || token.length > MAX_TOKEN_CHARS) throw new TidemarkError('unauthorized')
  const visitor = await directory.authenticate(token, shown)
  if (visitor === 'unknown') throw new TidemarkError('unauthorized')
  if (visitor === 'revoked' || visitor === 'expired')
    throw new TidemarkError('token_revoked', undefined, { details: { reason: visitor } })
  return visitor
}

function checkDevice(
  grant: Grant,
  state: DeviceState | null,
  route: ApiRoute,
  shown: string | undefined,
): void {
  if (shown !== undefined && !DEVICE_ID.test(shown))
    throw new TidemarkError('bad_request', 'The device header holds no device id')
  if (shown !== undefined && grant.device !== null && grant.device !== shown) {
    throw new TidemarkError('forbidden', 'The token is bound to another device')
  }
  // A token that is not bound may register the device anew: that is the way back.
  const comesBack = route === 'registerDevice' && grant.device === null
  if (state === 'deregistered' && !comesBack) throw new TidemarkError('device_deregistered')
}

/** Throws `forbidden` when the grant does not reach the space, whether or not there is such a space. */
export function requireSpace(grant: Grant, space: string): void {
  if (grant.spaces === null || grant.spaces.includes(space)) return
  throw new TidemarkError('forbidden', 'The token does not reach this space', { details: { space } })
}
