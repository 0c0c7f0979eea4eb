import type { Database } from '../postgres/pool.ts'

/** A visit is noted at most this often, in milliseconds: a request must not cost a write. */
const SEEN_EVERY_MS = 60_000
/** Visitors whose last note is remembered; beyond them some are noted once more than they need be. */
const MAX_REMEMBERED = 10_000

/** Notes when tokens and devices were last seen, beside the requests and never in their way. */
export interface Visits {
  /** `last`: as the database has it. */
  token(id: string, last: number | null, now: number): void
  device(account: string, id: string, last: number, now: number): void
  /** Resolves when what was told so far is written, or given up. Never rejects. */
  settled(): Promise<void>
}

/** Visits that go into one round trip. */
interface Batch {
  /** Tokens by id, devices by account and id. */
  readonly tokens: Map<string, number>
  readonly devices: Map<string, readonly [account: string, id: string, at: number]>
}

const TOKENS_SEEN = { name: 'tidemark_tokens_seen', text: 'SELECT tidemark.tokens_seen_1($1, $2)' }
const DEVICES_SEEN = { name: 'tidemark_devices_seen', text: 'SELECT tidemark.devices_seen_1($1, $2, $3)' }

export function createVisits(database: Database): Visits {
  /** When this node last noted each: until that is written, and if it could not be, the row says nothing of it. */
  const noted = new Map<string, number>()
  let open: Batch | null = null
  let last = Promise.resolve()

  /** One batch is written at a time; who comes meanwhile goes into the next. */
  const openBatch = (): Batch => {
    if (open !== null) return open
    const batch: Batch = { tokens: new Map(), devices: new Map() }
    open = batch
    last = last
      .then(() => {
        open = null
        return writeBatch(database, batch)
      })
      // A visit that cannot be noted is no reason to refuse the visitor: one of the next minute tries again.
      .catch(() => {})
    return batch
  }

  const isDue = (key: string, seen: number | null, now: number): boolean => {
    if (now - Math.max(seen ?? 0, noted.get(key) ?? 0) <= SEEN_EVERY_MS) return false
    if (noted.size >= MAX_REMEMBERED) noted.clear()
    noted.set(key, now)
    return true
  }

  return {
    token(id, seen, now) {
      if (isDue(id, seen, now)) openBatch().tokens.set(id, now)
    },
    device(account, id, seen, now) {
      const key = `${account}\0${id}`
      if (isDue(key, seen, now)) openBatch().devices.set(key, [account, id, now])
    },
    settled: () => last,
  }
}

async function writeBatch(database: Database, { tokens, devices }: Batch): Promise<void> {
  if (tokens.size > 0) {
    await database.query(TOKENS_SEEN, [[...tokens.keys()], [...tokens.values()]])
  }
  if (devices.size > 0) {
    const all = [...devices.values()]
    await database.query(DEVICES_SEEN, [
      all.map(([account]) => account),
      all.map(([, id]) => id),
      all.map(([, , at]) => at),
    ])
  }
}
