import { TidemarkError } from '../../../kernel/errors.ts'
import type { Connection } from '../../postgres/pool.ts'
import type { CopiedRecord, CopiedReplica, SpaceCopy } from '../copy.ts'
import { listClaims } from '../standing.ts'
import { agesText, claimsText } from './relative.ts'
import { MARKS, type Storage } from './space.ts'

/** How long the copy may leave us waiting for its next page, in milliseconds; the space is locked meanwhile. */
const PATIENCE_MS = 600_000

const LOCK = 'SELECT no, head FROM tidemark.spaces WHERE id = $1 FOR UPDATE'
const RECORDS = {
  name: 'tidemark import records',
  text: `INSERT INTO tidemark.records (space, tbl, version, hlc, writer, buried_at, was, key, sealed, claims, ages, fields)
    SELECT $1, * FROM unnest($2::int[], $3::bigint[], $4::bigint[], $5::int[], $6::bigint[], $7::bigint[], $8::text[],
      $9::text[], $10::text[], $11::text[], $12::text[])`,
}
const CLAIMS = {
  name: 'tidemark import claims',
  text: `INSERT INTO tidemark.claims (space, tbl, claim, key)
    SELECT $1, x.t, tidemark.claim_1(x.n, x.v), x.k FROM unnest($2::int[], $3::text[], $4::text[], $5::text[]) AS x(t, n, v, k)`,
}
const REPLICAS = {
  name: 'tidemark import replicas',
  text: `INSERT INTO tidemark.replicas (space, id, mutation, hashes, base, answer, acked, seen)
    SELECT $1, x.id, x.mutation, x.hashes, 0, x.answer, x.acked, x.seen
    FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
      AS x(id, mutation, hashes, answer, acked, seen)`,
}
const TABLES = `INSERT INTO tidemark.tables (space, no, name, live, buried)
  SELECT $1, * FROM unnest($2::int[], $3::text[], $4::bigint[], $5::bigint[])`
const WRITERS = `INSERT INTO tidemark.writers (space, no, id) SELECT $1, * FROM unnest($2::int[], $3::text[])`
const GENERATIONS = `INSERT INTO tidemark.generations (space, number, id, start)
  SELECT $1, * FROM unnest($2::int[], $3::text[], $4::bigint[])`
/** With the marks of a write of this life of the database. */
const SPACE = `UPDATE tidemark.spaces SET epoch = $2, generation = $3, head = $4, floor = $5, schema = $6, schema_tables = $7,
  ${MARKS} WHERE no = $1`

/** No version is above it: all of them stay as they are. */
const ABSOLUTE = Number.MAX_SAFE_INTEGER

interface Counted {
  readonly no: number
  live: number
  buried: number
}

/** Takes a copied space in, in one transaction. */
export async function importCopy(storage: Storage, id: string, copy: SpaceCopy): Promise<void> {
  try {
    await storage.database.transaction((connection) => write(storage, connection, id, copy))
  } catch (error) {
    if (!(error instanceof TidemarkError) || error.details['sqlstate'] !== '23505') throw error
    throw new TidemarkError('unprocessable', 'two records have one place, or hold the same unique value', {
      cause: error,
    })
  }
}

async function write(storage: Storage, connection: Connection, id: string, copy: SpaceCopy): Promise<void> {
  await connection.query(`SET LOCAL idle_in_transaction_session_timeout = ${PATIENCE_MS}`)
  const no = await lockEmpty(storage, connection, id)
  const tables = new Map<string, Counted>()
  const writers = new Map<string, number>()
  for await (const { records, replicas } of copy.pages()) {
    if (records.length > 0) await addRecords(connection, no, records, tables, writers)
    if (replicas.length > 0) await addReplicas(connection, no, replicas)
  }
  const { epoch, head, floor, schema } = copy.space
  const generation = storage.newId()
  const generations = [...copy.space.generations, { id: generation, start: head }]
  const counts = [...tables.values()]
  await connection.query(TABLES, [
    no,
    counts.map(({ no }) => no),
    [...tables.keys()],
    counts.map(({ live }) => live),
    counts.map(({ buried }) => buried),
  ])
  await connection.query(WRITERS, [no, [...writers.values()], [...writers.keys()]])
  await connection.query(GENERATIONS, [
    no,
    generations.map((_, at) => at),
    generations.map(({ id }) => id),
    generations.map(({ start }) => start),
  ])
  await connection.query(SPACE, [
    no,
    epoch,
    generation,
    head,
    floor,
    schema,
    JSON.stringify(copy.space.tables),
  ])
}

/** Whoever else wants the space waits from here on. */
async function lockEmpty({ newId }: Storage, connection: Connection, id: string): Promise<number> {
  await connection.query('SELECT tidemark.ensure_space_1($1, $2, $3)', [id, newId(), newId()])
  const [space] = await connection.query<{ no: number; head: number }>(LOCK, [id])
  if (space === undefined || space.head > 0) throw new TidemarkError('space_not_empty')
  for (const table of ['generations', 'tables', 'writers', 'replicas', 'staged'])
    await connection.query(`DELETE FROM tidemark.${table} WHERE space = $1`, [space.no])
  return space.no
}

async function addRecords(
  connection: Connection,
  no: number,
  records: readonly CopiedRecord[],
  tables: Map<string, Counted>,
  writers: Map<string, number>,
): Promise<void> {
  const places = records.map(({ record, buriedAt }) => {
    let table = tables.get(record.table)
    if (table === undefined) tables.set(record.table, (table = { no: tables.size + 1, live: 0, buried: 0 }))
    table[buriedAt === null ? 'live' : 'buried']++
    return table.no
  })
  const by = records.map(({ record }) => {
    const known = writers.get(record.by)
    if (known !== undefined) return known
    writers.set(record.by, writers.size + 1)
    return writers.size
  })
  await connection.query(RECORDS, [
    no,
    places,
    records.map(({ record }) => record.version),
    records.map(({ record }) => record.hlc),
    by,
    records.map(({ buriedAt }) => buriedAt),
    records.map(({ was }) => was),
    records.map(({ record }) => record.key),
    records.map(({ record }) => record.sealed ?? null),
    records.map(({ record, claims }) => claimsText(claims, record.version, ABSOLUTE)),
    records.map(({ record }) => agesText(record, ABSOLUTE)),
    records.map(({ record: { fields } }) => (fields === undefined ? null : JSON.stringify(fields))),
  ])
  const held = records.flatMap(({ record: { key }, claims }, at) =>
    listClaims(claims).map(({ index, value }) => ({ table: places[at] ?? 0, index, value, key })),
  )
  if (held.length === 0) return
  await connection.query(CLAIMS, [
    no,
    held.map(({ table }) => table),
    held.map(({ index }) => index),
    held.map(({ value }) => value),
    held.map(({ key }) => key),
  ])
}

/** Their answers are of absolute versions, which is what counting from a base of 0 comes to. */
async function addReplicas(
  connection: Connection,
  no: number,
  replicas: readonly CopiedReplica[],
): Promise<void> {
  await connection.query(REPLICAS, [
    no,
    replicas.map(({ id }) => id),
    replicas.map(({ mutation }) => mutation),
    replicas.map(({ hashes }) => JSON.stringify(hashes)),
    replicas.map(({ answer }) => answer),
    replicas.map(({ acked }) => acked),
    replicas.map(({ seen }) => seen),
  ])
}
