import { MAX_PULL_BYTES } from '../../../protocol/limits.ts'
import type { PullRequest } from '../../../protocol/pull.ts'
import type { WireRecord } from '../../../protocol/records.ts'
import { checkFloor, checkHistory } from '../history.ts'
import type { HydratePage } from '../log.ts'
import type { Pulls } from './pulls.ts'
import { inThisLife, type About, type Space, type Storage } from './space.ts'

export interface Page {
  readonly space: Space
  readonly records: WireRecord[]
  readonly next: number
  readonly more: boolean
  /** What the database knows of the replica that asks; null: nothing. */
  readonly reader: { readonly acked: number | null; readonly seen: number } | null
}

interface PullAbout extends About {
  readonly next: number
  readonly more: boolean
  readonly acked: number | null
  readonly seen: number | null
}

const HYDRATE = {
  name: 'tidemark hydrate',
  text: `SELECT about, lines, last_table AS "table", last_key AS key FROM tidemark.hydrate_1($1, $2, $3, $4, $5, $6)`,
}

/** One page of a pull, of one moment (I4). Rejects with `lost_history`, `cursor_expired`, `space_not_found`. */
export async function readPage(
  storage: Storage,
  pulls: Pulls,
  id: string,
  request: PullRequest,
): Promise<Page> {
  const { cursor } = request
  const { about, records } = await inThisLife(storage, id, async () => {
    const row = await pulls(id, request)
    return row === null ? null : { about: JSON.parse(row.about) as PullAbout, records: row.records }
  })
  const space = await storage.histories.read(storage.database, id, about)
  checkHistory(space, cursor)
  checkFloor(space, cursor.version)
  const { next, more, acked, seen } = about
  return {
    space,
    records: JSON.parse(`[${records ?? ''}]`) as WireRecord[],
    next,
    more,
    reader: seen === null ? null : { acked, seen },
  }
}

interface HydrateRow {
  readonly about: string | null
  readonly lines: string | null
  readonly table: string | null
  readonly key: string | null
}

/** The texts of the next live records, in the order of tables and keys. */
export async function readHydratePage(
  storage: Storage,
  id: string,
  after: { readonly table: string; readonly key: string } | null,
  limit: number,
  tables: readonly string[] | undefined,
): Promise<HydratePage> {
  const { about, row } = await inThisLife(storage, id, async () => {
    const values = [id, after?.table ?? null, after?.key ?? null, limit, MAX_PULL_BYTES, tables ?? null]
    const [row] = await storage.database.query<HydrateRow>(HYDRATE, values)
    return row?.about == null ? null : { about: JSON.parse(row.about) as About, row }
  })
  const { lines, table, key } = row
  return {
    head: about.head,
    // JSON has no raw line feed.
    lines: lines === null ? [] : lines.split('\n'),
    last: table === null || key === null ? null : { table, key },
  }
}
