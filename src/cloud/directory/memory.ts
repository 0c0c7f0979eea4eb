import type { Clock } from '../../kernel/clock.ts'
import { uuidV7, type Random } from '../../kernel/random.ts'
import type { Device } from '../../protocol/status.ts'
import type { AuditEntry, DeviceState, Directory, TokenInfo, TokenInput, Visitor } from '../directory.ts'
import { requireDeviceNames, requireSpaceName, requireTokenNames } from './names.ts'
import { hashToken, newToken } from './token.ts'

export interface MemoryDirectoryOptions {
  readonly clock: Clock
  readonly random: Random
}

interface SpaceName {
  readonly account: string
  readonly name: string
  readonly id: string
}

/** The directory in memory: for tests and for clouds that end with their process. */
export class MemoryDirectory implements Directory {
  readonly #clock: Clock
  readonly #random: Random
  /** Tokens by the hash of their secret. */
  readonly #tokens = new Map<string, TokenInfo>()
  readonly #spaces = new Map<string, SpaceName>()
  readonly #devices = new Map<string, { readonly account: string; readonly device: Device }>()
  readonly #audit: AuditEntry[] = []

  constructor(options: MemoryDirectoryOptions) {
    this.#clock = options.clock
    this.#random = options.random
  }

  async authenticate(token: string, shown?: string): Promise<Visitor | 'unknown' | 'revoked' | 'expired'> {
    const hash = hashToken(token)
    const info = this.#tokens.get(hash)
    if (info === undefined) return 'unknown'
    if (info.revokedAt !== null) return 'revoked'
    const now = this.#clock.now()
    if (info.expiresAt !== undefined && info.expiresAt <= now) return 'expired'
    this.#tokens.set(hash, { ...info, lastUsedAt: now })
    const { id, account, scopes, spaces, defaultSpace, device = null } = info
    const asking = device ?? shown
    const deviceState = asking === undefined ? null : await this.seeDevice(account, asking)
    return { tokenId: id, account, scopes, spaces, defaultSpace, device, deviceState }
  }

  async createToken(
    input: TokenInput,
    by?: string,
  ): Promise<{ readonly token: string; readonly info: TokenInfo }> {
    requireTokenNames(input)
    const token = newToken()
    const id = this.#newId()
    const info = { ...input, id, createdAt: this.#clock.now(), lastUsedAt: null, revokedAt: null }
    this.#tokens.set(hashToken(token), info)
    this.#note('token created', input.account, id, by)
    return { token, info }
  }

  async listTokens(account?: string): Promise<readonly TokenInfo[]> {
    return [...this.#tokens.values()].filter((info) => account === undefined || info.account === account)
  }

  async revokeToken(id: string, by?: string): Promise<boolean> {
    return this.#revoke((info) => info.id === id, by) > 0
  }

  async findSpace(account: string, name: string): Promise<string | null> {
    return this.#spaces.get(placeOf(account, name))?.id ?? null
  }

  async ensureSpace(account: string, name: string, by?: string): Promise<string> {
    requireSpaceName(account, name)
    const known = this.#spaces.get(placeOf(account, name))
    if (known !== undefined) return known.id
    const space = { account, name, id: this.#newId() }
    this.#spaces.set(placeOf(account, name), space)
    this.#note('space created', account, name, by)
    return space.id
  }

  async listSpaces(account?: string): Promise<readonly SpaceName[]> {
    return [...this.#spaces.values()]
      .filter((space) => account === undefined || space.account === account)
      .sort((a, b) => (placeOf(a.account, a.name) < placeOf(b.account, b.name) ? -1 : 1))
  }

  async registerDevice(
    account: string,
    { id, name, platform }: { readonly id: string; readonly name: string; readonly platform: string },
    by?: string,
  ): Promise<Device> {
    requireDeviceNames(account, { id, name, platform })
    const known = this.#devices.get(placeOf(account, id))?.device
    const now = this.#clock.now()
    const device = { id, name, platform, created_at: known?.created_at ?? now, last_seen_at: now }
    this.#devices.set(placeOf(account, id), { account, device })
    if (known === undefined || known.deregistered_at !== undefined)
      this.#note('device registered', account, id, by)
    else if (known.name !== name || known.platform !== platform) this.#note('device changed', account, id, by)
    return device
  }

  async listDevices(account: string): Promise<readonly Device[]> {
    return [...this.#devices.values()]
      .filter((entry) => entry.account === account)
      .map(({ device }) => device)
  }

  async renameDevice(account: string, id: string, name: string, by?: string): Promise<Device | null> {
    requireDeviceNames(account, { id, name })
    const device = this.#change(account, id, (known) => ({ ...known, name }))
    if (device !== null) this.#note('device renamed', account, id, by)
    return device
  }

  async deregisterDevice(account: string, id: string, by?: string): Promise<boolean> {
    const known = this.#devices.get(placeOf(account, id))?.device
    if (known === undefined) return false
    this.#revoke((info) => info.account === account && info.device === id, by)
    if (known.deregistered_at !== undefined) return true
    const deregistered_at = this.#clock.now()
    this.#change(account, id, (device) => ({ ...device, deregistered_at }))
    this.#note('device deregistered', account, id, by)
    return true
  }

  async seeDevice(account: string, id: string): Promise<DeviceState> {
    const known = this.#devices.get(placeOf(account, id))?.device
    if (known === undefined) return 'unknown'
    if (known.deregistered_at !== undefined) return 'deregistered'
    this.#change(account, id, (device) => ({ ...device, last_seen_at: this.#clock.now() }))
    return 'active'
  }

  async audit(limit: number): Promise<readonly AuditEntry[]> {
    return this.#audit.slice(Math.max(0, this.#audit.length - limit)).reverse()
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** Answers how many tokens there are, revoked before or now. */
  #revoke(isMeant: (info: TokenInfo) => boolean, by: string | undefined): number {
    let count = 0
    for (const [hash, info] of this.#tokens) {
      if (!isMeant(info)) continue
      count++
      if (info.revokedAt !== null) continue
      this.#tokens.set(hash, { ...info, revokedAt: this.#clock.now() })
      this.#note('token revoked', info.account, info.id, by)
    }
    return count
  }

  #change(account: string, id: string, change: (device: Device) => Device): Device | null {
    const known = this.#devices.get(placeOf(account, id))
    if (known === undefined) return null
    const device = change(known.device)
    this.#devices.set(placeOf(account, id), { account, device })
    return device
  }

  #note(action: string, account: string, subject: string, by: string | undefined): void {
    this.#audit.push({ at: this.#clock.now(), action, account, subject, by: by ?? null })
  }

  #newId(): string {
    return uuidV7(this.#clock.now(), this.#random)
  }
}

/** NUL stands in no name, and sorts before everything that does. */
const placeOf = (account: string, name: string): string => `${account}\0${name}`
