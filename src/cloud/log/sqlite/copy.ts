import Database from 'better-sqlite3'

import { TidemarkError } from '../../../kernel/errors.ts'
import type { SchemaTable } from '../../../protocol/schema.ts'
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
import { onStorage, toStorageError } from './failure.ts'
import { openForReading } from './file.ts'
import { rowToStanding, type Legend } from './records.ts'
import { LOG_MIGRATIONS, MAX_VERSION, VERSION_BITS } from './schema.ts'
import { RECORD_COLUMNS, type SpaceRow, type StandingRow } from './statements.ts'

/**
 * A space as it is now, read on a connection of its own: neither the process that serves the file nor any other is
 * kept from writing, and what they write meanwhile is not in it. Throws `space_not_found`, `not_a_database`.
 */
export function openSpaceCopy(file: string, id: string): OpenCopy {
  return onStorage(() => {
    const database = openForReading(file, { name: 'log', migrations: LOG_MIGRATIONS })
    try {
      database.exec('BEGIN')
      const { no, legend, space } = readCopied(database, id)
      const pages = readPages(database, no, legend)
      return {
        space,
        pages: () => pages,
        async [Symbol.asyncDispose]() {
          await pages.return(undefined)
          database.close()
        },
      }
    } catch (error) {
      database.close()
      throw error
    }
  })
}

/** Every space of the file by its id, read as above. */
export function countSpaces(file: string): ReadonlyMap<string, SpaceCounts> {
  return onStorage(() => {
    const database = openForReading(file, { name: 'log', migrations: LOG_MIGRATIONS })
    try {
      const rows = database
        .prepare<[], SpaceCounts & { readonly id: string }>(
          `SELECT id, epoch, head, floor,
             (SELECT ifnull(sum(live), 0) FROM tables WHERE space = s.no) AS records,
             (SELECT ifnull(sum(buried), 0) FROM tables WHERE space = s.no) AS tombstones,
             (SELECT count(*) FROM replicas WHERE space = s.no) AS replicas
           FROM spaces s`,
        )
        .all()
      return new Map(rows.map(({ id, ...counts }) => [id, counts]))
    } finally {
      database.close()
    }
  })
}

function readCopied(
  database: Database.Database,
  id: string,
): { readonly no: number; readonly legend: Legend; readonly space: CopiedSpace } {
  const all = <R>(sql: string, value?: string | number): R[] => {
    const statement = database.prepare<(string | number)[], R>(sql).raw()
    return value === undefined ? statement.all() : statement.all(value)
  }
  const [row] = all<[...SpaceRow, tables: string]>(
    'SELECT no, epoch, head, floor, schema, schema_tables FROM spaces WHERE id = ?',
    id,
  )
  if (row === undefined) throw new TidemarkError('space_not_found')
  const [no, epoch, head, floor, schema, schemaTables] = row
  const tables = all<[no: number, name: string, count: number]>(
    'SELECT no, name, live + buried FROM tables WHERE space = ?',
    no,
  )
  const generations = all<[id: string, start: number]>(
    'SELECT id, start FROM generations WHERE space = ? ORDER BY number',
    no,
  )
  const [counted] = all<[number]>('SELECT count(*) FROM replicas WHERE space = ?', no)
  return {
    no,
    legend: {
      tables: new Map(tables.map(([no, name]) => [no, name])),
      writers: new Map(all<[number, string]>('SELECT no, id FROM writers')),
    },
    space: {
      epoch,
      generations: generations.map(([id, start]) => ({ id, start })),
      head,
      floor,
      schema,
      tables: JSON.parse(schemaTables) as SchemaTable[],
      records: tables.reduce((sum, [, , count]) => sum + count, 0),
      replicas: counted?.[0] ?? 0,
    },
  }
}

type ReplicaRow = readonly [string, number, string, string, number | null, number]

async function* readPages(
  database: Database.Database,
  space: number,
  legend: Legend,
): AsyncGenerator<CopyPage> {
  try {
    const records = database
      .prepare<number[], StandingRow>(
        `SELECT ${RECORD_COLUMNS}, was, claims FROM records
         WHERE id > (? << ${VERSION_BITS}) AND id <= (? << ${VERSION_BITS}) + ${MAX_VERSION} ORDER BY id`,
      )
      .raw()
    const replicas = database
      .prepare<number[], ReplicaRow>(
        'SELECT id, mutation, hashes, answer, acked, seen FROM replicas WHERE space = ? ORDER BY id',
      )
      .raw()
    for (const rows of inPages(records.iterate(space, space), (row) => row[8]?.length ?? 0))
      yield { records: rows.map((row) => toCopied(row, legend)), replicas: [] }
    for (const rows of inPages(replicas.iterate(space), (row) => row[3].length))
      yield { records: [], replicas: rows.map(toReplica) }
  } catch (error) {
    throw toStorageError(error)
  }
}

/** Rows are read as they are asked for, so that a page is all that is in memory. */
function* inPages<Row>(rows: Iterable<Row>, size: (row: Row) => number): Generator<readonly Row[]> {
  let page: Row[] = []
  let chars = 0
  for (const row of rows) {
    page.push(row)
    chars += size(row)
    if (page.length < COPY_PAGE_RECORDS && chars < COPY_PAGE_CHARS) continue
    yield page
    page = []
    chars = 0
  }
  if (page.length > 0) yield page
}

const toCopied = (row: StandingRow, legend: Legend): CopiedRecord => ({
  ...rowToStanding(row, legend),
  buriedAt: row[5],
})

const toReplica = ([id, mutation, hashes, answer, acked, seen]: ReplicaRow): CopiedReplica => ({
  id,
  mutation,
  hashes: JSON.parse(hashes) as string[],
  answer,
  acked,
  seen,
})
