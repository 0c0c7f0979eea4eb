import type pg from 'pg'

import { TidemarkError } from '../../../kernel/errors.ts'
import type { Fields } from '../../../kernel/values.ts'
import type { WireRecord } from '../../../protocol/records.ts'
import type { SchemaTable } from '../../../protocol/schema.ts'
import { toDatabaseError } from '../../postgres/failure.ts'
import type { Connection } from '../../postgres/pool.ts'
import {
  COPY_PAGE_CHARS,
  COPY_PAGE_RECORDS,
  type CopiedRecord,
  type CopiedReplica,
  type CopiedSpace,
  type CopyPage,
  type OpenCopy,
  type SpaceCounts,
} from '../copy.ts'
import { moveKeptVersions } from '../kept-answer.ts'
import { NO_CLAIMS, type StandingClaims } from '../standing.ts'
import type { Storage } from './space.ts'

/**
 * How long whoever takes the copy may think between two pages, in milliseconds: meanwhile the server can forget no
 * row that was replaced since.
 */
const PATIENCE_MS = 600_000

/** In the order of an index, whatever statistics say: a sort would read all that is left for each page. */
const BEGIN = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
  SET LOCAL idle_in_transaction_session_timeout = ${PATIENCE_MS};
  SET LOCAL enable_sort = off`

const SPACE = `SELECT no, epoch, head, floor, schema, schema_tables AS tables,
    (SELECT coalesce(sum(t.live + t.buried), 0)::bigint FROM tidemark.tables t WHERE t.space = s.no) AS records,
    (SELECT count(*) FROM tidemark.replicas r WHERE r.space = s.no) AS replicas
  FROM tidemark.spaces s WHERE id = $1`

/** The next rows in the order of a column. Sizes are summed before a large value is read. */
const page = (columns: string, from: string, order: string, size: string): string =>
  `SELECT ${columns} FROM
    (SELECT p.*, sum(p.size) OVER (ORDER BY p.${order}) - p.size AS before FROM
      (SELECT r.*, coalesce(octet_length(r.${size}), 0) AS size FROM ${from} r
        WHERE r.space = $1 AND r.${order} > $2 ORDER BY r.${order} LIMIT ${COPY_PAGE_RECORDS}) p) r
  WHERE r.before < ${COPY_PAGE_CHARS} ORDER BY r.${order}`

const RECORDS = page(
  `version, tbl AS "table", writer, hlc, buried_at AS "buriedAt", was, key, sealed, claims, ages, fields`,
  'tidemark.records',
  'version',
  'fields',
)
const REPLICAS = page('id, mutation, hashes, base, answer, acked, seen', 'tidemark.replicas', 'id', 'answer')

/** A space as it is now, on a connection of its own. Rejects with `space_not_found`. */
export async function openSpaceCopy({ database }: Storage, id: string): Promise<OpenCopy> {
  const client = await database.connect('tidemark copy')
  const ask = async <Row extends object>(text: string, ...values: (string | number)[]): Promise<Row[]> => {
    try {
      return (await client.query<Row>(text, values)).rows
    } catch (error) {
      throw toDatabaseError(error)
    }
  }
  try {
    await ask(BEGIN)
    const { no, space } = await readCopied(ask, id)
    return {
      space,
      pages: () => readPages(ask, no),
      [Symbol.asyncDispose]: () => end(client),
    }
  } catch (error) {
    await end(client)
    throw error
  }
}

/** Every space of the database by its id, with what it holds. */
export async function countSpaces(connection: Connection): Promise<ReadonlyMap<string, SpaceCounts>> {
  const rows = await connection.query<SpaceCounts & { readonly id: string }>(COUNTS)
  return new Map(rows.map(({ id, ...counts }) => [id, counts]))
}

const COUNTS = `SELECT s.id, s.epoch, s.head, s.floor,
    (SELECT coalesce(sum(t.live), 0)::bigint FROM tidemark.tables t WHERE t.space = s.no) AS records,
    (SELECT coalesce(sum(t.buried), 0)::bigint FROM tidemark.tables t WHERE t.space = s.no) AS tombstones,
    (SELECT count(*) FROM tidemark.replicas r WHERE r.space = s.no) AS replicas
  FROM tidemark.spaces s`

type Ask = <Row extends object>(text: string, ...values: (string | number)[]) => Promise<Row[]>

/** A connection that is broken already ends no less. */
const end = (client: pg.Client): Promise<void> => client.end().catch(() => {})

async function readCopied(
  ask: Ask,
  id: string,
): Promise<{ readonly no: number; readonly space: CopiedSpace }> {
  const [row] = await ask<Omit<CopiedSpace, 'tables' | 'generations'> & { no: number; tables: string }>(
    SPACE,
    id,
  )
  if (row === undefined) throw new TidemarkError('space_not_found')
  const { no, tables, ...counts } = row
  const generations = await ask<{ id: string; start: number }>(
    'SELECT id, start FROM tidemark.generations WHERE space = $1 ORDER BY number',
    no,
  )
  return {
    no,
    space: {
      ...counts,
      tables: JSON.parse(tables) as SchemaTable[],
      generations: generations.map(({ id, start }) => ({ id, start })),
    },
  }
}

interface RecordRow {
  readonly version: number
  readonly table: number
  readonly writer: number
  readonly hlc: number
  readonly buriedAt: number | null
  readonly was: number | null
  readonly key: string
  readonly sealed: string | null
  readonly claims: string | null
  readonly ages: string | null
  readonly fields: string | null
}
type ReplicaRow = Omit<CopiedReplica, 'hashes'> & { readonly hashes: string; readonly base: number }

async function* readPages(ask: Ask, no: number): AsyncGenerator<CopyPage> {
  const names = async (from: string, name: string): Promise<Map<number, string>> => {
    const rows = await ask<{ no: number; name: string }>(
      `SELECT no, ${name} AS name FROM tidemark.${from} WHERE space = $1`,
      no,
    )
    return new Map(rows.map(({ no, name }) => [no, name]))
  }
  const tables = await names('tables', 'name')
  const writers = await names('writers', 'id')
  for (let after = 0; ;) {
    const rows = await ask<RecordRow>(RECORDS, no, after)
    const last = rows.at(-1)
    if (last === undefined) break
    after = last.version
    yield {
      records: rows.map((row) => toCopied(row, tables.get(row.table) ?? '', writers.get(row.writer) ?? '')),
      replicas: [],
    }
  }
  for (let after = ''; ;) {
    const rows = await ask<ReplicaRow>(REPLICAS, no, after)
    const last = rows.at(-1)
    if (last === undefined) return
    after = last.id
    yield { records: [], replicas: rows.map(toReplica) }
  }
}

function toCopied(row: RecordRow, table: string, by: string): CopiedRecord {
  const { version, hlc, buriedAt, was, key, sealed, claims, ages, fields } = row
  const head = { table, key, version, hlc, by }
  const record: WireRecord =
    buriedAt !== null
      ? { ...head, deleted: true }
      : {
          ...head,
          fields: JSON.parse(fields ?? '{}') as Fields,
          ...(JSON.parse(`{${ages ?? ''}}`) as Pick<WireRecord, 'fieldVersions' | 'since'>),
          ...(sealed === null ? {} : { sealed }),
        }
  const held = claims === null ? NO_CLAIMS : (JSON.parse(claims) as StandingClaims)
  return { record, was, claims: held, buriedAt }
}

/** The kept answer counts from a base here: see `relative.ts`. */
const toReplica = ({ base, hashes, answer, ...rest }: ReplicaRow): CopiedReplica => ({
  ...rest,
  hashes: JSON.parse(hashes) as string[],
  answer: moveKeptVersions(answer, (version) => (version > 0 ? base + version : -version)),
})
