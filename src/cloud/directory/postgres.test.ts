import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { openTestDatabase, type TestDatabase } from '../../../test/postgres/database.ts'
import { systemClock, type Clock } from '../../kernel/clock.ts'
import { directoryContract } from '../../testing/directory-contract.ts'
import type { Directory, TokenInput } from '../directory.ts'
import { migrate } from '../postgres/migrate.ts'
import { MIGRATIONS } from '../postgres/migrations.ts'
import { openDatabase, type Database } from '../postgres/pool.ts'
import { openPostgresDirectory } from './postgres.ts'

const TABLES = ['access_tokens', 'space_names', 'devices', 'audit'].map((name) => `tidemark.${name}`)
const START = 1_700_000_000_000

let shared: TestDatabase
let admin: Database

beforeAll(async () => {
  shared = await openTestDatabase()
  admin = openDatabase({ url: shared.url })
  await migrate(admin, MIGRATIONS, systemClock)
})
afterAll(async () => {
  await admin[Symbol.asyncDispose]()
  await shared[Symbol.asyncDispose]()
})

/** Directories of one empty database, each with connections of its own, as on several nodes. */
async function openNodes(clock: Clock) {
  await admin.query(`TRUNCATE ${TABLES.join(', ')}`)
  const opened: { readonly database: Database; readonly directory: Directory }[] = []
  return {
    open() {
      const database = openDatabase({ url: shared.url })
      const directory = openPostgresDirectory({ database, clock })
      opened.push({ database, directory })
      return directory
    },
    async [Symbol.asyncDispose]() {
      for (const { database, directory } of opened) {
        await directory[Symbol.asyncDispose]()
        await database[Symbol.asyncDispose]()
      }
    },
  }
}

function timeOf() {
  let now = START
  const clock: Clock = { now: () => now, after: () => () => {} }
  return { clock, now: () => now, advance: (ms: number) => void (now += ms) }
}

directoryContract('postgres', async () => {
  const time = timeOf()
  const nodes = await openNodes(time.clock)
  return {
    directory: nodes.open(),
    time,
    other: async () => nodes.open(),
    async dump() {
      const rows = await Promise.all(TABLES.map((table) => admin.query<object>(`SELECT * FROM ${table}`)))
      return JSON.stringify(rows)
    },
    [Symbol.asyncDispose]: () => nodes[Symbol.asyncDispose](),
  }
})

const token = (more: Partial<TokenInput> = {}): TokenInput => ({
  account: 'acme',
  name: 'n',
  scopes: ['read'],
  spaces: null,
  defaultSpace: 's',
  ...more,
})

describe('several nodes on one database', () => {
  const countAudit = async (): Promise<{ readonly [action: string]: number }> => {
    const rows = await admin.query<{ action: string; n: number }>(
      'SELECT action, count(*)::int AS n FROM tidemark.audit GROUP BY action',
    )
    return Object.fromEntries(rows.map(({ action, n }) => [action, n]))
  }

  test('what all of them make at once is made once, and nobody sees an error', async () => {
    await using nodes = await openNodes(timeOf().clock)
    const both = [nodes.open(), nodes.open()]
    const atOnce = <T>(work: (directory: Directory, at: number) => Promise<T>): Promise<T[]> =>
      Promise.all(Array.from({ length: 40 }, (_, at) => work(both[at % 2] as Directory, at)))

    const ids = await atOnce((directory, at) => directory.ensureSpace('acme', `space-${at % 4}`))
    expect(new Set(ids).size).toBe(4)
    expect(await both[0]?.listSpaces()).toHaveLength(4)

    const register = (directory: Directory, at: number) =>
      directory.registerDevice('acme', { id: `d${at % 3}`, name: `n${at}`, platform: 'p' })
    await atOnce(register)
    expect(await both[0]?.listDevices('acme')).toHaveLength(3)
    expect(await countAudit()).toEqual({ 'space created': 4, 'device registered': 3, 'device changed': 37 })

    const made = await atOnce((directory, at) => directory.createToken(token({ device: `d${at % 3}` })))
    expect(await both[1]?.listTokens()).toHaveLength(40)
    await atOnce(async (directory, at) => {
      if (at % 4 === 0) await directory.revokeToken(made[at]?.info.id ?? '')
      await directory.deregisterDevice('acme', `d${at % 3}`)
    })
    expect(await countAudit()).toMatchObject({ 'token revoked': 40, 'device deregistered': 3 })
    // Ended and registered again in turns: each end is noted as often as it came to pass.
    await atOnce<unknown>((directory, at) =>
      at % 4 < 2 ? directory.deregisterDevice('acme', 'd0') : register(directory, 0),
    )
    const after = await countAudit()
    const device = (await both[0]?.listDevices('acme'))?.find(({ id }) => id === 'd0')
    const ends = (after['device deregistered'] ?? 0) - 3
    const starts = (after['device registered'] ?? 0) - 3
    expect(starts - ends).toBe(device?.deregistered_at === undefined ? 1 : 0)
  })

  test('I12: what one revokes is refused by the next request to any other', async () => {
    await using nodes = await openNodes(timeOf().clock)
    const all = [nodes.open(), nodes.open(), nodes.open()]
    for (let round = 0; round < 20; round++) {
      const [one, ...others] = [...all.slice(round % 3), ...all.slice(0, round % 3)] as [
        Directory,
        ...Directory[],
      ]
      const { token: secret, info } = await one.createToken(token())
      for (const other of others) expect(await other.authenticate(secret)).toMatchObject({ account: 'acme' })
      await one.revokeToken(info.id)
      for (const other of others) expect(await other.authenticate(secret)).toBe('revoked')
    }
  })
})

describe('visits', () => {
  /** A directory, and the statements that it sends. */
  async function openWatched(time: { readonly clock: Clock }) {
    const sent: string[] = []
    const interrupt = { before: async (): Promise<void> => {} }
    const watched = new Proxy(admin, {
      get(target, name) {
        if (name !== 'query') {
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === 'function' ? value.bind(target) : value
        }
        return async (...[statement, values]: Parameters<Database['query']>) => {
          const name = typeof statement === 'string' ? statement : (statement.name ?? '')
          sent.push(name)
          if (name === 'tidemark_tokens_seen') await interrupt.before()
          return target.query(statement, values)
        }
      },
    })
    await admin.query(`TRUNCATE ${TABLES.join(', ')}`)
    const directory = openPostgresDirectory({ database: watched, clock: time.clock })
    const { token: secret } = await directory.createToken(token({ device: 'd1' }))
    await directory.registerDevice('acme', { id: 'd1', name: 'n', platform: 'p' })
    sent.length = 0
    return { directory, secret, sent, interrupt }
  }
  const seenAt = async () =>
    (
      await admin.query<{ used: number; seen: number }>(
        `SELECT (SELECT last_used_at FROM tidemark.access_tokens) AS used, (SELECT last_seen_at FROM tidemark.devices) AS seen`,
      )
    )[0]

  test('a request costs one statement at most, a thousand of one moment two; their visits are noted in one', async () => {
    const time = timeOf()
    const { directory, secret, sent } = await openWatched(time)
    time.advance(61_000)
    await Promise.all(Array.from({ length: 1_000 }, () => directory.authenticate(secret)))
    await directory[Symbol.asyncDispose]()
    expect(await seenAt()).toEqual({ used: time.now(), seen: time.now() })
    time.advance(60_000)
    await directory.authenticate(secret)
    await directory[Symbol.asyncDispose]()
    const count = (name: string) => sent.filter((one) => one === name).length
    expect([count('tidemark_tokens_seen'), count('tidemark_devices_seen')]).toEqual([1, 1])
    expect(sent.length).toBe(count('tidemark_authenticate') + 2)
    expect(count('tidemark_authenticate')).toBe(3)
  })

  test('many visitors share a round trip while one is under way', async () => {
    const time = timeOf()
    const { directory, sent } = await openWatched(time)
    const made = await Promise.all(Array.from({ length: 60 }, () => directory.createToken(token())))
    sent.length = 0
    await Promise.all(made.map(({ token: secret }) => directory.authenticate(secret)))
    const listed = await directory.listTokens()
    expect(listed.filter(({ lastUsedAt }) => lastUsedAt === time.now())).toHaveLength(60)
    const writes = sent.filter((one) => one === 'tidemark_tokens_seen').length
    expect(writes).toBeGreaterThan(0)
    expect(writes).toBeLessThan(60)
  })

  test('a row that somebody holds is not waited for, and noted a minute later', async () => {
    const time = timeOf()
    const { directory, secret } = await openWatched(time)
    time.advance(120_000)
    const early = time.now()
    await admin.transaction(async (connection) => {
      await connection.query('SELECT FROM tidemark.access_tokens FOR UPDATE')
      await connection.query('SELECT FROM tidemark.devices FOR UPDATE')
      expect(await directory.authenticate(secret)).toMatchObject({ deviceState: 'active' })
      // Would not end while the rows are held.
      await directory[Symbol.asyncDispose]()
    })
    expect(await seenAt()).toEqual({ used: null, seen: START })
    time.advance(60_001)
    await directory.authenticate(secret)
    await directory[Symbol.asyncDispose]()
    expect(await seenAt()).toEqual({ used: early + 60_001, seen: early + 60_001 })
  })

  test('one that cannot be noted refuses nobody, and an older one takes nothing back', async () => {
    const time = timeOf()
    const { directory, secret, interrupt } = await openWatched(time)
    await admin.query(
      `CREATE FUNCTION tidemark.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
       CREATE TRIGGER no BEFORE UPDATE ON tidemark.access_tokens FOR EACH ROW EXECUTE FUNCTION tidemark.no()`,
    )
    expect(await directory.authenticate(secret)).toMatchObject({ account: 'acme' })
    await directory[Symbol.asyncDispose]()
    await admin.query('DROP FUNCTION tidemark.no() CASCADE')
    time.advance(60_001)
    // Another node, whose clock is ahead, notes its visitor between the look and the note of this one.
    interrupt.before = async () => {
      await admin.query('UPDATE tidemark.access_tokens SET last_used_at = $1', [time.now() + 1])
      await admin.query('UPDATE tidemark.devices SET last_seen_at = $1', [time.now() + 1])
    }
    expect(await directory.authenticate(secret)).toMatchObject({ account: 'acme' })
    await directory[Symbol.asyncDispose]()
    expect(await seenAt()).toEqual({ used: time.now() + 1, seen: time.now() + 1 })
  })
})

describe('plans', () => {
  test('no request reads a whole table, though all were small when the connection was made', async () => {
    const time = timeOf()
    await using nodes = await openNodes(time.clock)
    const maker = nodes.open()
    const { token: secret } = await maker.createToken(token())
    await maker.registerDevice('acme', { id: 'd1', name: 'n', platform: 'p' })
    const space = await maker.ensureSpace('acme', 's')
    // One page each, and known to be so.
    for (const table of TABLES) await admin.query(`VACUUM ANALYZE ${table}`)

    await using database = openDatabase({ url: shared.url, limits: { connections: 1 } })
    const directory = openPostgresDirectory({ database, clock: time.clock })
    const countScans = async (): Promise<number> => {
      await database.query('SELECT pg_stat_force_next_flush()')
      const [row] = await database.query<{ readonly n: number }>(
        `SELECT sum(seq_scan)::int AS n FROM pg_stat_user_tables WHERE schemaname || '.' || relname = ANY($1)`,
        [TABLES],
      )
      return row?.n ?? -1
    }
    await admin.query('SELECT pg_stat_force_next_flush()')
    const before = await countScans()
    // Often enough for a plan to be kept.
    for (let round = 0; round < 12; round++) {
      time.advance(61_000)
      expect(await directory.authenticate(secret, 'd1')).toMatchObject({ deviceState: 'active' })
      expect(await directory.findSpace('acme', 's')).toBe(space)
      expect(await directory.seeDevice('acme', 'd1')).toBe('active')
    }
    await directory[Symbol.asyncDispose]()
    expect((await countScans()) - before).toBe(0)
    // The visits were among them.
    expect(await directory.listTokens('acme')).toMatchObject([{ lastUsedAt: time.now() }])
  })
})
