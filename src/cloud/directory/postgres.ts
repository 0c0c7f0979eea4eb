import { createHash, randomUUID } from 'node:crypto'

import type { Clock } from '../../kernel/clock.ts'
import type { Device } from '../../protocol/status.ts'
import type { AuditEntry, DeviceState, Directory, TokenInfo, TokenInput, Visitor } from '../directory.ts'
import { isCleanText } from '../../http/check.ts'
import { Batches } from '../postgres/batches.ts'
import type { Connection, Database } from '../postgres/pool.ts'
import { requireDeviceNames, requireName, requireSpaceName, requireTokenNames } from './names.ts'
import { createVisits, type Visits } from './postgres-visits.ts'
import { deviceOf, grantOf, infoOf, spacesText, type DeviceRow, type TokenRow } from './rows.ts'
import { newToken } from './token.ts'

export interface PostgresDirectoryOptions {
  /** Migrated. */
  readonly database: Database
  readonly clock: Clock
  /** True: the database is closed with the directory. Absent: it is the log's too, and closed by its owner. */
  readonly ownsDatabase?: boolean
}

/**
 * Opens the directory of a cloud on PostgreSQL. Any number of nodes may: nothing is kept between requests, so what
 * one node revokes is refused by all with their next statement.
 */
export function openPostgresDirectory(options: PostgresDirectoryOptions): Directory {
  return new PostgresDirectory(options)
}

/** Tokens, each with the device that asks with it: who asks at the same time shares a round trip. */
const AUTHENTICATE = { name: 'tidemark_authenticate', text: 'SELECT * FROM tidemark.visitors_1($1, $2)' }
const FIND_SPACE = { name: 'tidemark_find_space', text: 'SELECT tidemark.find_space_1($1, $2) AS id' }
const SEE_DEVICE = { name: 'tidemark_see_device', text: 'SELECT * FROM tidemark.device_1($1, $2)' }

/** Of one round trip; and so many are under way at the same time before others wait for the next one. */
const MAX_ASKED = 500
const MAX_UNDER_WAY = 2

interface VisitorRow extends Omit<TokenRow, 'name' | 'created_at'> {
  readonly place: number
  /** Null: there is no such device. */
  readonly last_seen_at: number | null
  readonly deregistered_at: number | null
}

const TOKEN_COLUMNS =
  'id, account, name, scopes, spaces, default_space, device, created_at, expires_at, last_used_at, revoked_at'
const DEVICE_COLUMNS = 'id, name, platform, created_at, last_seen_at, deregistered_at'

class PostgresDirectory implements Directory {
  readonly #database: Database
  readonly #clock: Clock
  readonly #ownsDatabase: boolean
  readonly #visits: Visits
  readonly #lookUp: Batches<
    { readonly hash: Uint8Array; readonly device: string | null },
    VisitorRow | undefined
  >

  constructor({ database, clock, ownsDatabase = false }: PostgresDirectoryOptions) {
    this.#database = database
    this.#clock = clock
    this.#ownsDatabase = ownsDatabase
    this.#visits = createVisits(database)
    this.#lookUp = new Batches({ most: MAX_ASKED, underWay: MAX_UNDER_WAY }, async (asked) => {
      const rows = await database.query<VisitorRow>(AUTHENTICATE, [
        asked.map(({ hash }) => hash),
        asked.map((one) => one.device),
      ])
      const byPlace = new Map(rows.map((row) => [row.place, row]))
      return asked.map((_, at) => byPlace.get(at + 1))
    })
  }

  async authenticate(token: string, shown?: string): Promise<Visitor | 'unknown' | 'revoked' | 'expired'> {
    const device = shown !== undefined && isCleanText(shown) ? shown : null
    const row = await this.#lookUp.load({ hash: hashBytes(token), device })
    if (row === undefined) return 'unknown'
    if (row.revoked_at !== null) return 'revoked'
    const now = this.#clock.now()
    if (row.expires_at !== null && row.expires_at <= now) return 'expired'
    this.#visits.token(row.id, row.last_used_at, now)
    const grant = grantOf(row)
    const asking = grant.device ?? shown ?? null
    return { ...grant, deviceState: asking === null ? null : this.#see(grant.account, asking, row) }
  }

  async createToken(
    input: TokenInput,
    by?: string,
  ): Promise<{ readonly token: string; readonly info: TokenInfo }> {
    requireTokenNames(input)
    const token = newToken()
    const [row] = await this.#database.query<TokenRow>(
      `WITH made AS (
         INSERT INTO tidemark.access_tokens
           (id, hash, account, name, scopes, spaces, default_space, device, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING ${TOKEN_COLUMNS}
       ), noted AS (
         INSERT INTO tidemark.audit (at, action, account, subject, actor)
         SELECT created_at, 'token created', account, id, $11 FROM made
       ) SELECT * FROM made`,
      [
        randomUUID(),
        hashBytes(token),
        input.account,
        input.name,
        input.scopes.join(','),
        spacesText(input),
        input.defaultSpace,
        input.device ?? null,
        this.#clock.now(),
        input.expiresAt ?? null,
        actorOf(by),
      ],
    )
    return { token, info: infoOf(row as TokenRow) }
  }

  async listTokens(account?: string): Promise<readonly TokenInfo[]> {
    if (!areClean(account)) return []
    await this.#visits.settled()
    const rows = await this.#database.query<TokenRow>(
      `SELECT ${TOKEN_COLUMNS} FROM tidemark.access_tokens WHERE $1::text IS NULL OR account = $1 ORDER BY no`,
      [account ?? null],
    )
    return rows.map(infoOf)
  }

  async revokeToken(id: string, by?: string): Promise<boolean> {
    if (!areClean(id)) return false
    // Of two at once the second waits for the row, sees it revoked, and notes nothing.
    const [found] = await this.#database.query<{ readonly there: boolean }>(
      `WITH ended AS (
         UPDATE tidemark.access_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING id, account
       ), noted AS (
         INSERT INTO tidemark.audit (at, action, account, subject, actor)
         SELECT $2, 'token revoked', account, id, $3 FROM ended
       ) SELECT EXISTS (SELECT FROM tidemark.access_tokens WHERE id = $1) AS there`,
      [id, this.#clock.now(), actorOf(by)],
    )
    return found?.there === true
  }

  async findSpace(account: string, name: string): Promise<string | null> {
    if (!areClean(account, name)) return null
    const [space] = await this.#database.query<{ readonly id: string | null }>(FIND_SPACE, [account, name])
    return space?.id ?? null
  }

  async ensureSpace(account: string, name: string, by?: string): Promise<string> {
    requireSpaceName(account, name)
    const known = await this.findSpace(account, name)
    if (known !== null) return known
    const [made] = await this.#database.query<{ readonly id: string }>(
      `WITH made AS (
         INSERT INTO tidemark.space_names (account, name, id) VALUES ($1, $2, $3)
         ON CONFLICT (account, name) DO NOTHING RETURNING id
       ), noted AS (
         INSERT INTO tidemark.audit (at, action, account, subject, actor) SELECT $4, 'space created', $1, $2, $5 FROM made
       ) SELECT id FROM made`,
      [account, name, randomUUID(), this.#clock.now(), actorOf(by)],
    )
    // Another one was first: it was waited for, and the next statement sees what it made.
    return made?.id ?? (await this.ensureSpace(account, name, by))
  }

  async listSpaces(account?: string) {
    if (!areClean(account)) return []
    return this.#database.query<{ readonly account: string; readonly name: string; readonly id: string }>(
      `SELECT account, name, id FROM tidemark.space_names WHERE $1::text IS NULL OR account = $1
       ORDER BY account, name`,
      [account ?? null],
    )
  }

  async registerDevice(
    account: string,
    device: { readonly id: string; readonly name: string; readonly platform: string },
    by?: string,
  ): Promise<Device> {
    requireDeviceNames(account, device)
    const { id, name, platform } = device
    const now = this.#clock.now()
    return this.#database.transaction(async (connection) => {
      const made = await connection.query<DeviceRow>(
        `INSERT INTO tidemark.devices (account, id, name, platform, created_at, last_seen_at)
         VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (account, id) DO NOTHING RETURNING ${DEVICE_COLUMNS}`,
        [account, id, name, platform, now],
      )
      const before = made[0] === undefined ? await lockDevice(connection, account, id) : undefined
      // A device says who it is at every start: only what is new belongs in the audit.
      const action =
        before === undefined || before.deregistered_at !== null
          ? 'device registered'
          : before.name !== name || before.platform !== platform
            ? 'device changed'
            : null
      if (action !== null) await note(connection, { at: now, action, account, subject: id, by })
      if (made[0] !== undefined) return deviceOf(made[0])
      const [row] = await connection.query<DeviceRow>(
        `UPDATE tidemark.devices SET name = $3, platform = $4, last_seen_at = $5, deregistered_at = NULL
         WHERE account = $1 AND id = $2 RETURNING ${DEVICE_COLUMNS}`,
        [account, id, name, platform, now],
      )
      return deviceOf(row as DeviceRow)
    })
  }

  async listDevices(account: string): Promise<readonly Device[]> {
    if (!areClean(account)) return []
    await this.#visits.settled()
    const rows = await this.#database.query<DeviceRow>(
      `SELECT ${DEVICE_COLUMNS} FROM tidemark.devices WHERE account = $1 ORDER BY no`,
      [account],
    )
    return rows.map(deviceOf)
  }

  async renameDevice(account: string, id: string, name: string, by?: string): Promise<Device | null> {
    requireDeviceNames(account, { id, name })
    await this.#visits.settled()
    const [row] = await this.#database.query<DeviceRow>(
      `WITH renamed AS (
         UPDATE tidemark.devices SET name = $3 WHERE account = $1 AND id = $2 RETURNING ${DEVICE_COLUMNS}
       ), noted AS (
         INSERT INTO tidemark.audit (at, action, account, subject, actor) SELECT $4, 'device renamed', $1, id, $5 FROM renamed
       ) SELECT * FROM renamed`,
      [account, id, name, this.#clock.now(), actorOf(by)],
    )
    return row === undefined ? null : deviceOf(row)
  }

  async deregisterDevice(account: string, id: string, by?: string): Promise<boolean> {
    if (!areClean(account, id)) return false
    const now = this.#clock.now()
    return this.#database.transaction(async (connection) => {
      // The device's row is held by whoever changes it: two who end it do not meet at its tokens.
      const before = await lockDevice(connection, account, id)
      if (before === undefined) return false
      await connection.query(
        `WITH ended AS (
           UPDATE tidemark.access_tokens SET revoked_at = $3
           WHERE account = $1 AND device = $2 AND revoked_at IS NULL RETURNING no, id
         ) INSERT INTO tidemark.audit (at, action, account, subject, actor)
           SELECT $3, 'token revoked', $1, id, $4 FROM ended ORDER BY no`,
        [account, id, now, actorOf(by)],
      )
      if (before.deregistered_at !== null) return true
      await connection.query(
        'UPDATE tidemark.devices SET deregistered_at = $3 WHERE account = $1 AND id = $2',
        [account, id, now],
      )
      await note(connection, { at: now, action: 'device deregistered', account, subject: id, by })
      return true
    })
  }

  async seeDevice(account: string, id: string): Promise<DeviceState> {
    if (!areClean(account, id)) return 'unknown'
    const [row] = await this.#database.query<Pick<DeviceRow, 'last_seen_at' | 'deregistered_at'>>(
      SEE_DEVICE,
      [account, id],
    )
    return row === undefined ? 'unknown' : this.#see(account, id, row)
  }

  async audit(limit: number): Promise<readonly AuditEntry[]> {
    return this.#database.query<AuditEntry>(
      'SELECT at, action, account, subject, actor AS by FROM tidemark.audit ORDER BY no DESC LIMIT $1',
      [limit],
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#visits.settled()
    if (this.#ownsDatabase) await this.#database[Symbol.asyncDispose]()
  }

  #see(
    account: string,
    id: string,
    row: { readonly last_seen_at: number | null; readonly deregistered_at: number | null },
  ): DeviceState {
    if (row.last_seen_at === null) return 'unknown'
    if (row.deregistered_at !== null) return 'deregistered'
    this.#visits.device(account, id, row.last_seen_at, this.#clock.now())
    return 'active'
  }
}

async function lockDevice(
  connection: Connection,
  account: string,
  id: string,
): Promise<DeviceRow | undefined> {
  const [row] = await connection.query<DeviceRow>(
    `SELECT ${DEVICE_COLUMNS} FROM tidemark.devices WHERE account = $1 AND id = $2 FOR NO KEY UPDATE`,
    [account, id],
  )
  return row
}

async function note(
  connection: Connection,
  entry: Omit<AuditEntry, 'by'> & { readonly by: string | undefined },
): Promise<void> {
  await connection.query(
    'INSERT INTO tidemark.audit (at, action, account, subject, actor) VALUES ($1, $2, $3, $4, $5)',
    [entry.at, entry.action, entry.account, entry.subject, actorOf(entry.by)],
  )
}

function actorOf(by: string | undefined): string | null {
  if (by === undefined) return null
  requireName('who did it', by)
  return by
}

const hashBytes = (token: string): Uint8Array => createHash('sha256').update(token).digest()

/** Of a name that the database cannot hold there is nothing in it. */
const areClean = (...names: readonly (string | undefined)[]): boolean =>
  names.every((name) => name === undefined || isCleanText(name))
