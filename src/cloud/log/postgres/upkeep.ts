import { checkFloor, acknowledgeHydrate, releasedVersion, tellGeneration, type Reader } from '../history.ts'
import type { HydratePlace, HydrateStart } from '../../../protocol/pull.ts'
import { joinSchemas, type SchemaAnswer, type SchemaTable } from '../../../protocol/schema.ts'
import type { Ack } from '../acks.ts'
import { checkSchemaSize } from '../schema-size.ts'
import { lookUp } from './sql/common.ts'
import { lockSpace, MARKS, newestOf, type Storage } from './space.ts'

/** Tombstones dropped in one transaction: bounds how long a push waits for it. */
const CHUNK = 5_000

const READERS = {
  name: 'tidemark readers',
  text: 'SELECT acked, seen FROM tidemark.replicas WHERE space = $1',
}
const ACKED = {
  name: 'tidemark acked',
  text: 'SELECT acked FROM tidemark.replicas WHERE space = $1 AND id = $2',
}
const SEE = {
  name: 'tidemark see',
  text: `INSERT INTO tidemark.replicas AS r (space, id, mutation, hashes, base, answer, acked, seen)
    SELECT no, $2, 0, '[]', 0, '[]', $3, $4 FROM tidemark.spaces WHERE id = $1
    ON CONFLICT (space, id) DO UPDATE SET acked = excluded.acked, seen = excluded.seen`,
}
/** Of two nodes that know of one replica, the later visit counts. Always in one order, so that none waits for another. */
const SEE_MANY = {
  name: 'tidemark see many',
  text: `WITH told AS MATERIALIZED (
      SELECT r.ctid, x.acked, x.seen
      FROM (SELECT s.no, x.* FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS x(space, id, acked, seen)
        CROSS JOIN ${lookUp('s.no', 'spaces s', 's.id = x.space')} s ORDER BY s.no, x.id COLLATE "C" OFFSET 0) x
      CROSS JOIN LATERAL (SELECT r.ctid FROM tidemark.replicas r
        WHERE r.space = x.no AND r.id = x.id AND r.seen <= x.seen OFFSET 0 FOR UPDATE) r)
    UPDATE tidemark.replicas r SET acked = told.acked, seen = told.seen FROM told WHERE r.ctid = told.ctid`,
}
const COUNT = {
  name: 'tidemark count',
  text: `SELECT coalesce(sum(live), 0)::bigint AS live FROM tidemark.tables WHERE space = $1 AND ($2::text[] IS NULL OR name = ANY($2))`,
}
const DROP = {
  name: 'tidemark drop tombstones',
  text: `WITH gone AS (SELECT version FROM tidemark.records
      WHERE space = $1 AND buried_at IS NOT NULL AND (version <= $2 OR buried_at < $3) ORDER BY version LIMIT $4),
    dropped AS (DELETE FROM tidemark.records r WHERE r.space = $1 AND r.version = ANY(ARRAY(SELECT version FROM gone))
      RETURNING r.version, r.tbl),
    counted AS (UPDATE tidemark.tables t SET buried = t.buried - d.count
      FROM (SELECT tbl, count(*) FROM dropped GROUP BY tbl) d WHERE t.space = $1 AND t.no = d.tbl)
    SELECT count(*) AS dropped, coalesce(max(version), 0) AS last FROM dropped`,
}
const RAISE_FLOOR = {
  name: 'tidemark raise floor',
  text: `UPDATE tidemark.spaces SET floor = greatest(floor, $2), ${MARKS} WHERE no = $1`,
}
const DROP_ABANDONED = {
  name: 'tidemark drop abandoned',
  text: `DELETE FROM tidemark.staged g WHERE g.space = $1 AND NOT EXISTS
    (SELECT FROM tidemark.replicas r WHERE r.space = $1 AND r.id = g.replica AND r.seen >= $2)`,
}

/** Registers the acknowledgement under the space's lock, which the floor is raised under too. */
export function startHydrate(
  storage: Storage,
  id: string,
  replica: string,
  told: { readonly tables?: readonly string[] | undefined; readonly resume?: HydratePlace | undefined },
  waiting: number | null,
): Promise<HydrateStart> {
  return storage.database.transaction(async (connection) => {
    const space = await lockSpace(storage, connection, id)
    if (told.resume !== undefined) checkFloor(space, told.resume.head)
    const head = told.resume?.head ?? space.head
    const [row] = await connection.query<{ acked: number | null }>(ACKED, [space.no, replica])
    const acked = acknowledgeHydrate(waiting ?? row?.acked ?? null, space, Math.min(head, space.head))
    await connection.query(SEE, [id, replica, acked, storage.clock.now()])
    const [count] = await connection.query<{ live: number }>(COUNT, [space.no, told.tables ?? null])
    const { floor, schema } = space
    return {
      ...newestOf(space),
      generation: tellGeneration(space, null),
      head,
      floor,
      schema,
      count: count?.live ?? 0,
    }
  })
}

export async function writeAck(storage: Storage, id: string, replica: string, ack: Ack): Promise<void> {
  await storage.database.query(SEE, [id, replica, ack.acked, ack.seen])
}

export async function writeAcks(
  { database }: Storage,
  acks: readonly { readonly space: string; readonly replica: string; readonly ack: Ack }[],
): Promise<void> {
  if (acks.length === 0) return
  await database.query(SEE_MANY, [
    acks.map(({ space }) => space),
    acks.map(({ replica }) => replica),
    acks.map(({ ack }) => ack.acked),
    acks.map(({ ack }) => ack.seen),
  ])
}

export function putSchema(
  storage: Storage,
  id: string,
  told: readonly SchemaTable[],
): Promise<SchemaAnswer & { readonly risen: boolean }> {
  return storage.database.transaction(async (connection) => {
    const { no, schema, tables: text } = await lockSpace(storage, connection, id)
    const tables = [...checkSchemaSize(joinSchemas(JSON.parse(text) as SchemaTable[], told))]
    const joined = JSON.stringify(tables)
    if (joined === text) return { schema, tables, risen: false }
    await connection.query(
      `UPDATE tidemark.spaces SET schema = $2, schema_tables = $3, ${MARKS} WHERE no = $1`,
      [no, schema + 1, joined],
    )
    return { schema: schema + 1, tables, risen: true }
  })
}

/** Drops some tombstones, the oldest first, and raises the floor to the last of them. */
export function collectChunk(
  storage: Storage,
  id: string,
  options: { readonly liveSince: number; readonly retainSince: number },
): Promise<{ readonly dropped: number; readonly more: boolean }> {
  return storage.database.transaction(async (connection) => {
    const space = await lockSpace(storage, connection, id)
    const readers = await connection.query<Reader>(READERS, [space.no])
    const released = releasedVersion(readers, options.liveSince, space)
    const [gone] = await connection.query<{ dropped: number; last: number }>(DROP, [
      space.no,
      released,
      options.retainSince,
      CHUNK,
    ])
    const { dropped, last } = gone ?? { dropped: 0, last: 0 }
    // Where the floor stays too: what was read of a tombstone before has moved.
    if (dropped > 0) await connection.query(RAISE_FLOOR, [space.no, last])
    await connection.query(DROP_ABANDONED, [space.no, options.liveSince])
    return { dropped, more: dropped === CHUNK }
  })
}

export function forgetReplica(storage: Storage, id: string, replica: string): Promise<void> {
  return storage.database.transaction(async (connection) => {
    const { no } = await lockSpace(storage, connection, id)
    await connection.query('DELETE FROM tidemark.replicas WHERE space = $1 AND id = $2', [no, replica])
    await connection.query('DELETE FROM tidemark.staged WHERE space = $1 AND replica = $2', [no, replica])
  })
}
