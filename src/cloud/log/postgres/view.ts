import type { Fields } from '../../../kernel/values.ts'
import type { FieldVersion, WireRecord } from '../../../protocol/records.ts'
import type { SchemaTable } from '../../../protocol/schema.ts'
import type { Connection, Value } from '../../postgres/pool.ts'
import type { Reads } from '../group-view.ts'
import { NO_CLAIMS, type Standing, type StandingClaims } from '../standing.ts'
import { checkTouched, MAX_TOUCHED_BYTES } from '../touched.ts'
import type { LastMutation } from '../turns.ts'
import type { About } from './space.ts'

/** A replica as a push finds it; the kept answer only where the number that was asked about is its last. */
export interface ReplicaView {
  readonly last: LastMutation
  readonly base: number
  readonly answer: string | null
}

export interface View {
  readonly about: About
  /** In the order they were asked for; undefined: has not pushed yet. */
  readonly replicas: readonly (ReplicaView | undefined)[]
  /** In the order of the reads. */
  readonly standings: readonly (Standing | null)[]
  readonly holders: readonly (string | null)[]
  /** Where no replica was asked about. */
  readonly schema: readonly SchemaTable[]
}

/** What a view of one space is asked for. */
export interface ViewOf {
  readonly id: string
  /** Null: nothing of replicas, but the schema. */
  readonly asked: readonly { readonly replica: string; readonly mutation: number }[] | null
  readonly reads: Reads
}

/** Names within spaces, each once, by its place from 1 on: rows refer to it by that. */
export class NameList {
  readonly spaces: number[] = []
  readonly names: string[] = []
  readonly #places = new Map<string, number>()

  /** `space`: its place among those that are asked at the same time. */
  place(space: number, name: string): number {
    const id = `${space} ${name}`
    const known = this.#places.get(id)
    if (known !== undefined) return known
    this.spaces.push(space)
    this.names.push(name)
    this.#places.set(id, this.names.length)
    return this.names.length
  }
}

type AboutAndSchema = About & { readonly schema_tables: string | null }

interface ViewRow {
  readonly about: string | null
  readonly replicas: string | null
  readonly rows: string | null
  readonly touched: number | null
  readonly holders: string | null
}
type ReplicaRow = readonly [
  place: number,
  mutation: number,
  hashes: string,
  base: number,
  answer: string | null,
]
type StandingRow = readonly [
  place: number,
  version: number,
  hlc: number,
  by: string,
  buriedAt: number | null,
  was: number | null,
  sealed: string | null,
  claims: StandingClaims | null,
  ages: { readonly since?: FieldVersion; readonly fieldVersions?: { [field: string]: FieldVersion } } | null,
  fields: Fields | null,
]

const VIEW = {
  name: 'tidemark view',
  text: `SELECT about, replicas, rows, touched, holders
    FROM tidemark.view_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
}

/** Null where there is no such space. Rejects with `payload_too_large` where the rows hold too much. */
export async function readView(
  connection: Connection,
  id: string,
  asked: ViewOf['asked'],
  reads: Reads,
): Promise<View | null> {
  const [view] = await readViews(connection, [{ id, asked, reads }])
  return view ?? null
}

/**
 * Several spaces in one round trip and of one moment. All are asked of replicas, or none. Rejects with
 * `payload_too_large` where the rows of all together hold too much.
 */
export async function readViews(
  connection: Connection,
  views: readonly ViewOf[],
): Promise<readonly (View | null)[]> {
  const tables = new NameList()
  const replicas = views.flatMap(({ asked }, at) =>
    (asked ?? []).map(({ replica, mutation }) => ({ space: at + 1, replica, mutation })),
  )
  const rows = views.flatMap(({ reads }) => reads.rows)
  const claims = views.flatMap(({ reads }) => reads.claims)
  const places = views.flatMap(({ reads }, at) => reads.rows.map(({ table }) => tables.place(at + 1, table)))
  const claimed = views.flatMap(({ reads }, at) =>
    reads.claims.map(({ table }) => tables.place(at + 1, table)),
  )
  const none = (list: readonly Value[]): Value => (list.length === 0 ? null : list)
  const [row] = await connection.query<ViewRow>(VIEW, [
    views.map(({ id }) => id),
    replicas.map(({ space }) => space),
    views.some(({ asked }) => asked === null) ? null : replicas.map(({ replica }) => replica),
    replicas.map(({ mutation }) => mutation),
    tables.spaces,
    tables.names,
    none(places),
    rows.map(({ key }) => key),
    none(claimed),
    claims.map(({ index }) => index),
    claims.map(({ value }) => value),
    MAX_TOUCHED_BYTES,
  ])
  checkTouched(row?.touched ?? 0)
  const abouts = JSON.parse(row?.about ?? '[]') as (AboutAndSchema | null)[]
  const found: (ReplicaView | undefined)[] = replicas.map(() => undefined)
  for (const [place, number, hashes, base, answer] of JSON.parse(row?.replicas ?? '[]') as ReplicaRow[])
    found[place - 1] = { last: { number, hashes: JSON.parse(hashes) as string[] }, base, answer }
  const standings: (Standing | null)[] = rows.map(() => null)
  for (const standing of JSON.parse(`[${row?.rows ?? ''}]`) as StandingRow[]) {
    const place = standing[0] - 1
    const { table, key } = rows[place] as Reads['rows'][number]
    standings[place] = toStanding(table, key, standing)
  }
  const holders = JSON.parse(row?.holders ?? '[]') as (string | null)[]
  return views.map(({ asked, reads }, at) => {
    const own = {
      replicas: found.splice(0, asked?.length ?? 0),
      standings: standings.splice(0, reads.rows.length),
      holders: holders.splice(0, reads.claims.length),
    }
    const said = abouts[at] ?? null
    if (said === null) return null
    const { schema_tables: schema, ...about } = said
    return { about, ...own, schema: JSON.parse(schema ?? '[]') as SchemaTable[] }
  })
}

function toStanding(
  table: string,
  key: string,
  [, version, hlc, by, buriedAt, was, sealed, claims, ages, fields]: StandingRow,
): Standing {
  const head = { table, key, version, hlc, by }
  const record: WireRecord =
    buriedAt === null
      ? { ...head, fields: fields ?? {}, ...ages, ...(sealed === null ? {} : { sealed }) }
      : { ...head, deleted: true }
  return { record, was, claims: claims ?? NO_CLAIMS }
}
