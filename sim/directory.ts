import { TidemarkError } from '../src/kernel/errors.ts'
import type { Directory, Visitor } from '../src/cloud/directory.ts'

/** The accounts of the simulated cloud: one account, one space, a token per replica that can be taken away. */
export interface SimDirectory extends Directory {
  /** Tokens that are refused just now. */
  readonly revoked: Set<string>
  /** Devices that are refused just now. */
  readonly deregistered: Set<string>
}

export const SPACE = 'world'
export const SPACE_ID = 'space-1'
export const tokenOf = (replica: string): string => `token-${replica}`

export function createDirectory(): SimDirectory {
  const revoked = new Set<string>()
  const deregistered = new Set<string>()
  const absent = () => Promise.reject(new TidemarkError('not_found'))
  return {
    revoked,
    deregistered,
    async authenticate(token) {
      if (!token.startsWith('token-')) return 'unknown'
      if (revoked.has(token)) return 'revoked'
      const device = token.slice('token-'.length)
      const visitor: Visitor = {
        tokenId: token,
        account: 'account-1',
        scopes: ['read', 'write'],
        spaces: [SPACE],
        defaultSpace: SPACE,
        device,
        deviceState: deregistered.has(device) ? 'deregistered' : 'active',
      }
      return visitor
    },
    findSpace: async (_account, name) => (name === SPACE ? SPACE_ID : null),
    ensureSpace: async () => SPACE_ID,
    listSpaces: async () => [{ account: 'account-1', name: SPACE, id: SPACE_ID }],
    seeDevice: async (_account, id) => (deregistered.has(id) ? 'deregistered' : 'active'),
    createToken: absent,
    listTokens: async () => [],
    revokeToken: async () => false,
    registerDevice: absent,
    listDevices: async () => [],
    renameDevice: async () => null,
    deregisterDevice: async () => false,
    audit: async () => [],
    [Symbol.asyncDispose]: async () => {},
  }
}
