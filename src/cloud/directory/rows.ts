import type { Scope } from '../../protocol/routes.ts'
import type { Device } from '../../protocol/status.ts'
import type { Grant, TokenInfo, TokenInput } from '../directory.ts'

/** A token as the tables keep it, in SQLite and in PostgreSQL. */
export interface TokenRow {
  readonly id: string
  readonly account: string
  readonly name: string
  readonly scopes: string
  readonly spaces: string | null
  readonly default_space: string
  readonly device: string | null
  readonly created_at: number
  readonly expires_at: number | null
  readonly last_used_at: number | null
  readonly revoked_at: number | null
}

export interface DeviceRow {
  readonly id: string
  readonly name: string
  readonly platform: string
  readonly created_at: number
  readonly last_seen_at: number
  readonly deregistered_at: number | null
}

export const spacesText = ({ spaces }: TokenInput): string | null =>
  spaces === null ? null : JSON.stringify(spaces)

const readSpaces = (text: string | null): readonly string[] | null =>
  text === null ? null : (JSON.parse(text) as readonly string[])

const readScopes = (text: string): readonly Scope[] => (text === '' ? [] : (text.split(',') as Scope[]))

export const grantOf = (row: Omit<TokenRow, 'name' | 'created_at'>): Grant => ({
  tokenId: row.id,
  account: row.account,
  scopes: readScopes(row.scopes),
  spaces: readSpaces(row.spaces),
  defaultSpace: row.default_space,
  device: row.device,
})

export const infoOf = (row: TokenRow): TokenInfo => ({
  id: row.id,
  account: row.account,
  name: row.name,
  scopes: readScopes(row.scopes),
  spaces: readSpaces(row.spaces),
  defaultSpace: row.default_space,
  createdAt: row.created_at,
  lastUsedAt: row.last_used_at,
  revokedAt: row.revoked_at,
  ...(row.device === null ? {} : { device: row.device }),
  ...(row.expires_at === null ? {} : { expiresAt: row.expires_at }),
})

export const deviceOf = (row: DeviceRow): Device => ({
  id: row.id,
  name: row.name,
  platform: row.platform,
  created_at: row.created_at,
  last_seen_at: row.last_seen_at,
  ...(row.deregistered_at === null ? {} : { deregistered_at: row.deregistered_at }),
})
