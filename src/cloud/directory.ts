import type { Scope } from '../protocol/routes.ts'
import type { Device } from '../protocol/status.ts'

/**
 * Who may do what: accounts own spaces, tokens belong to accounts, devices hold replicas. A port of its own
 * (suite: `testing/directory-contract.ts`), kept by the same storage as the log.
 *
 * Tokens are secrets of 32 random bytes; only their SHA-256 is kept. `authenticate` is called once per request,
 * before any work (I12).
 *
 * Whatever is changed stands in the audit, written with the change or not at all. `by` says who did it: the id of
 * the token that asked, or another short name such as `command line`; absent: the program that holds the directory.
 */
export interface Directory extends AsyncDisposable {
  /**
   * The grant of a token, or why there is none. Unknown tokens and hashes take the same time. `shown` is the id of the
   * device that the request names; the device that asks is the token's own, else that one. Notes the visits of both.
   */
  authenticate(token: string, shown?: string): Promise<Visitor | 'unknown' | 'revoked' | 'expired'>

  createToken(input: TokenInput, by?: string): Promise<{ readonly token: string; readonly info: TokenInfo }>
  /** The oldest first, those that no longer work included. */
  listTokens(account?: string): Promise<readonly TokenInfo[]>
  /** False when there is no such token. Takes effect at once, in every process; what was revoked stays so. */
  revokeToken(id: string, by?: string): Promise<boolean>

  /** The id of the account's space of this name, null when there is none. */
  findSpace(account: string, name: string): Promise<string | null>
  /** Makes the account's space when it is not there. */
  ensureSpace(account: string, name: string, by?: string): Promise<string>
  listSpaces(
    account?: string,
  ): Promise<readonly { readonly account: string; readonly name: string; readonly id: string }[]>

  /** Registers or updates; a deregistered device comes back only with a token that is not bound to it. */
  registerDevice(
    account: string,
    device: { readonly id: string; readonly name: string; readonly platform: string },
    by?: string,
  ): Promise<Device>
  listDevices(account: string): Promise<readonly Device[]>
  renameDevice(account: string, id: string, name: string, by?: string): Promise<Device | null>
  /** Its tokens are revoked at once. False when there is no such device. */
  deregisterDevice(account: string, id: string, by?: string): Promise<boolean>
  /** Notes the visit. */
  seeDevice(account: string, id: string): Promise<DeviceState>

  /** The newest entries first: tokens, spaces and devices made, changed or ended. Visits are none. */
  audit(limit: number): Promise<readonly AuditEntry[]>
}

export interface TokenInput {
  readonly account: string
  readonly name: string
  readonly scopes: readonly Scope[]
  /** Names of spaces, or null for every space of the account. */
  readonly spaces: readonly string[] | null
  readonly defaultSpace: string
  readonly device?: string
  /** Milliseconds since 1970; absent: does not expire. */
  readonly expiresAt?: number
}

export interface TokenInfo extends TokenInput {
  readonly id: string
  readonly createdAt: number
  readonly lastUsedAt: number | null
  readonly revokedAt: number | null
}

export interface Grant {
  readonly tokenId: string
  readonly account: string
  readonly scopes: readonly Scope[]
  readonly spaces: readonly string[] | null
  readonly defaultSpace: string
  readonly device: string | null
}

export type DeviceState = 'unknown' | 'active' | 'deregistered'

/** Who asks: what the token grants, and what is known of the device; null when there is none. */
export interface Visitor extends Grant {
  readonly deviceState: DeviceState | null
}

export interface AuditEntry {
  readonly at: number
  readonly action: string
  readonly account: string
  /** The id of a token or device, the name of a space. */
  readonly subject: string
  readonly by: string | null
}
