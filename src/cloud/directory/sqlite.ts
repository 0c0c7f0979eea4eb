import { randomUUID } from 'node:crypto'

import type Database from 'better-sqlite3'

import type { Clock } from '../../kernel/clock.ts'
import type { AuditEntry, DeviceState, Directory } from '../directory.ts'
import { onStorage } from '../log/sqlite/failure.ts'
import { openCloudFile } from '../log/sqlite/file.ts'
import { requireDeviceNames, requireSpaceName, requireTokenNames } from './names.ts'
import { deviceOf, grantOf, infoOf, spacesText, type DeviceRow, type TokenRow } from './rows.ts'
import { DIRECTORY_MIGRATIONS } from './schema.ts'
import { hashToken, newToken } from './token.ts'

export interface SqliteDirectoryOptions {
  /** The cloud's one file. Several processes may have its directory open. */
  readonly file: string
  readonly clock: Clock
}

/** A visit is noted at most this often, in milliseconds: a request must not cost a write. */
const SEEN_EVERY_MS = 60_000

/** Opens the directory of a cloud's file. Rejects with `not_a_database`, `needs_upgrade`, `disk_full`. */
export async function openSqliteDirectory({ file, clock }: SqliteDirectoryOptions): Promise<Directory> {
  return createDirectory(openCloudFile(file, { name: 'directory', migrations: DIRECTORY_MIGRATIONS }), clock)
}

function createDirectory(database: Database.Database, clock: Clock): Directory {
  const one = <Row>(sql: string) => {
    const statement = database.prepare(sql)
    return (...values: unknown[]): Row | undefined =>
      onStorage(() => statement.get(...values) as Row | undefined)
  }
  const all = <Row>(sql: string) => {
    const statement = database.prepare(sql)
    return (...values: unknown[]): Row[] => onStorage(() => statement.all(...values) as Row[])
  }
  const run = (sql: string) => {
    const statement = database.prepare(sql)
    return (...values: unknown[]): number => statement.run(...values).changes
  }
  const write = <T>(work: () => T): T => onStorage(() => database.transaction(work).immediate())

  const tokenByHash = one<TokenRow>('SELECT * FROM access_tokens WHERE hash = ?')
  const useToken = run('UPDATE access_tokens SET last_used_at = ? WHERE id = ?')
  const addToken = run(
    `INSERT INTO access_tokens (id, hash, account, name, scopes, spaces, default_space, device, created_at, expires_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  const tokens = all<TokenRow>('SELECT * FROM access_tokens WHERE ? IS NULL OR account = ? ORDER BY rowid')
  const revoke = run('UPDATE access_tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL')
  const tokenById = one<TokenRow>('SELECT * FROM access_tokens WHERE id = ?')
  const tokensOfDevice = all<{ readonly id: string }>(
    'SELECT id FROM access_tokens WHERE account = ? AND device = ? AND revoked_at IS NULL ORDER BY rowid',
  )
  const spaceByName = one<{ readonly id: string }>(
    'SELECT id FROM space_names WHERE account = ? AND name = ?',
  )
  const addSpace = run('INSERT INTO space_names (account, name, id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
  const spaces = all<{ readonly account: string; readonly name: string; readonly id: string }>(
    'SELECT account, name, id FROM space_names WHERE ? IS NULL OR account = ? ORDER BY account, name',
  )
  const deviceById = one<DeviceRow>('SELECT * FROM devices WHERE account = ? AND id = ?')
  const putDevice = run(
    `INSERT INTO devices (account, id, name, platform, created_at, last_seen_at) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (account, id) DO UPDATE
     SET name = excluded.name, platform = excluded.platform, last_seen_at = excluded.last_seen_at, deregistered_at = NULL`,
  )
  const devices = all<DeviceRow>('SELECT * FROM devices WHERE account = ? ORDER BY rowid')
  const renameDevice = run('UPDATE devices SET name = ? WHERE account = ? AND id = ?')
  const endDevice = run(
    'UPDATE devices SET deregistered_at = ? WHERE account = ? AND id = ? AND deregistered_at IS NULL',
  )
  const touchDevice = run('UPDATE devices SET last_seen_at = ? WHERE account = ? AND id = ?')
  const addAudit = run('INSERT INTO audit (at, action, account, subject, actor) VALUES (?, ?, ?, ?, ?)')
  const auditEntries = all<AuditEntry>(
    'SELECT at, action, account, subject, actor AS "by" FROM audit ORDER BY no DESC LIMIT ?',
  )
  const note = (action: string, account: string, subject: string, by: string | undefined) =>
    addAudit(clock.now(), action, account, subject, by ?? null)

  const see = (account: string, id: string): DeviceState => {
    const row = deviceById(account, id)
    if (row === undefined) return 'unknown'
    if (row.deregistered_at !== null) return 'deregistered'
    const now = clock.now()
    if (now - row.last_seen_at > SEEN_EVERY_MS) noteVisit(() => touchDevice(now, account, id))
    return 'active'
  }

  return {
    async authenticate(token, shown) {
      const row = tokenByHash(hashToken(token))
      if (row === undefined) return 'unknown'
      const now = clock.now()
      if (row.revoked_at !== null) return 'revoked'
      if (row.expires_at !== null && row.expires_at <= now) return 'expired'
      if (now - (row.last_used_at ?? 0) > SEEN_EVERY_MS) noteVisit(() => useToken(now, row.id))
      const grant = grantOf(row)
      const device = grant.device ?? shown
      return { ...grant, deviceState: device === undefined ? null : see(grant.account, device) }
    },

    async createToken(input, by) {
      requireTokenNames(input)
      const token = newToken()
      const id = randomUUID()
      const row = write(() => {
        addToken(
          id,
          hashToken(token),
          input.account,
          input.name,
          input.scopes.join(','),
          spacesText(input),
          input.defaultSpace,
          input.device ?? null,
          clock.now(),
          input.expiresAt ?? null,
        )
        note('token created', input.account, id, by)
        return tokenById(id) as TokenRow
      })
      return { token, info: infoOf(row) }
    },

    listTokens: async (account) => tokens(account ?? null, account ?? null).map(infoOf),

    revokeToken: async (id, by) =>
      write(() => {
        if (revoke(clock.now(), id) === 0) return tokenById(id) !== undefined
        note('token revoked', tokenById(id)?.account ?? '', id, by)
        return true
      }),

    findSpace: async (account, name) => spaceByName(account, name)?.id ?? null,

    async ensureSpace(account, name, by) {
      requireSpaceName(account, name)
      const known = spaceByName(account, name)
      if (known !== undefined) return known.id
      return write(() => {
        if (addSpace(account, name, randomUUID()) > 0) note('space created', account, name, by)
        return (spaceByName(account, name) as { readonly id: string }).id
      })
    },

    listSpaces: async (account) => spaces(account ?? null, account ?? null),

    async registerDevice(account, device, by) {
      requireDeviceNames(account, device)
      return write(() => {
        const known = deviceById(account, device.id)
        const now = clock.now()
        putDevice(account, device.id, device.name, device.platform, now, now)
        // A device says who it is at every start: only what is new belongs in the audit.
        if (known === undefined || known.deregistered_at !== null)
          note('device registered', account, device.id, by)
        else if (known.name !== device.name || known.platform !== device.platform)
          note('device changed', account, device.id, by)
        return deviceOf(deviceById(account, device.id) as DeviceRow)
      })
    },

    listDevices: async (account) => devices(account).map(deviceOf),

    async renameDevice(account, id, name, by) {
      requireDeviceNames(account, { id, name })
      return write(() => {
        if (renameDevice(name, account, id) === 0) return null
        note('device renamed', account, id, by)
        return deviceOf(deviceById(account, id) as DeviceRow)
      })
    },

    deregisterDevice: async (account, id, by) =>
      write(() => {
        if (deviceById(account, id) === undefined) return false
        const now = clock.now()
        for (const token of tokensOfDevice(account, id)) {
          revoke(now, token.id)
          note('token revoked', account, token.id, by)
        }
        if (endDevice(now, account, id) > 0) note('device deregistered', account, id, by)
        return true
      }),

    seeDevice: async (account, id) => see(account, id),

    audit: async (limit) => auditEntries(limit),

    async [Symbol.asyncDispose]() {
      database.close()
    },
  }
}

/** A visit that cannot be noted (a full disk, a busy file) is no reason to refuse the visitor. */
function noteVisit(write: () => unknown): void {
  try {
    write()
  } catch {
    // The next visit tries again.
  }
}
