import { DEFAULT_PULL_RECORDS, MAX_PULL_BYTES } from '../../../protocol/limits.ts'
import type { PullRequest } from '../../../protocol/pull.ts'
import { Batches } from '../../postgres/batches.ts'
import type { Database } from '../../postgres/pool.ts'
import { ALONE, orAlone } from './rounds.ts'

/** What a pull finds; null: there is no such space. */
export type Pulls = (id: string, request: PullRequest) => Promise<PullRow | null>

interface PullRow {
  readonly about: string
  readonly records: string | null
}
interface Pull {
  readonly id: string
  readonly request: PullRequest
}

const PULL = {
  name: 'tidemark pull',
  text: 'SELECT place, about, records FROM tidemark.pull_1($1, $2, $3, $4, $5, $6, $7)',
}
/** Polls of one round trip; and so many are under way at the same time before others wait for the next. */
const LIMITS = { most: 32, underWay: 2 }
/** What the pages of one round trip may hold together. */
const MAX_SHARED_BYTES = 16 * 1024 * 1024

/**
 * Polls that wake at one moment share a round trip: they find little, and most of what each costs is the statement.
 * Who only reads on has a round trip of its own, so that large pages keep no poll waiting.
 */
export function createPulls(database: Database): Pulls {
  const alone = async (pull: Pull): Promise<PullRow | null> => {
    const [row = null] = await read(database, [pull])
    return row
  }
  const polls = new Batches<Pull, PullRow | null | typeof ALONE>(LIMITS, (all) =>
    orAlone(all, () => read(database, all)),
  )
  return async (id, request) => {
    const pull = { id, request }
    if ((request.wait ?? 0) === 0 || request.tables !== undefined) return alone(pull)
    const row = await polls.load(pull)
    return row === ALONE ? alone(pull) : row
  }
}

/** Where there are several, none is of some tables only. */
async function read(database: Database, pulls: readonly Pull[]): Promise<readonly (PullRow | null)[]> {
  const asked = pulls.map(({ request }) => request)
  const rows = await database.query<PullRow & { readonly place: number }>(PULL, [
    pulls.map(({ id }) => id),
    asked.map(({ replica }) => replica),
    asked.map(({ cursor }) => cursor.version),
    asked.map(({ cursor }) => cursor.high),
    asked.map(({ limit }) => limit ?? DEFAULT_PULL_RECORDS),
    Math.min(MAX_PULL_BYTES, Math.floor(MAX_SHARED_BYTES / pulls.length)),
    asked[0]?.tables ?? null,
  ])
  const found: (PullRow | null)[] = pulls.map(() => null)
  for (const row of rows) found[row.place - 1] = row
  return found
}
