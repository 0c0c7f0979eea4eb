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

/** One name for each table, by its place from 1 on: rows refer to it by that. */
export class TableList {
  readonly names: string[] = []
  readonly #places = new Map<string, number>()

  place(name: string): number {
    const known = this.#places.get(name)
    if (known !== undefined) return known
    this.names.push(name)
    this.#places.set(name, this.names.length)
    return this.names.length
  }
}

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
    FROM tidemark.view_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
}

/** Null where there is no such space. Rejects with `payload_too_large` where the rows hold too much. */
export async function readView(
  connection: Connection,
  id: string,
  asked: readonly { readonly replica: string; readonly mutation: number }[] | null,
  { rows, claims }: Reads,
): Promise<View | null> {
  const tables = new TableList()
  const places = rows.map(({ table }) => tables.place(table))
  const claimed = claims.map(({ table }) => tables.place(table))
  const none = (list: readonly Value[]): Value => (list.length === 0 ? null : list)
  const [row] = await connection.query<ViewRow>(VIEW, [
    id,
    asked === null ? null : asked.map(({ replica }) => replica),
    asked === null ? null : asked.map(({ mutation }) => mutation),
    tables.names,
    none(places),
    rows.map(({ key }) => key),
    none(claimed),
    claims.map(({ index }) => index),
    claims.map(({ value }) => value),
    MAX_TOUCHED_BYTES,
  ])
  if (row?.about == null) return null
  checkTouched(row.touched ?? 0)
  const { schema_tables: schema, ...about } = JSON.parse(row.about) as About & {
    schema_tables: string | null
  }
  const replicas: (ReplicaView | undefined)[] = (asked ?? []).map(() => undefined)
  for (const [place, number, hashes, base, answer] of JSON.parse(row.replicas ?? '[]') as ReplicaRow[])
    replicas[place - 1] = { last: { number, hashes: JSON.parse(hashes) as string[] }, base, answer }
  const standings: (Standing | null)[] = rows.map(() => null)
  for (const found of JSON.parse(`[${row.rows ?? ''}]`) as StandingRow[]) {
    const place = found[0] - 1
    const { table, key } = rows[place] as Reads['rows'][number]
    standings[place] = toStanding(table, key, found)
  }
  return {
    about,
    replicas,
    standings,
    holders: JSON.parse(row.holders ?? '[]') as (string | null)[],
    schema: JSON.parse(schema ?? '[]') as SchemaTable[],
  }
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
