import { TidemarkError } from '../../../kernel/errors.ts'
import type { Connection, Value } from '../../postgres/pool.ts'
import type { Folded, HeldClaim } from '../decide-group.ts'
import type { Reads } from '../group-view.ts'
import { agesText, claimsText } from './relative.ts'
import { encodeTexts } from './text-array.ts'
import { TableList, type View } from './view.ts'

/** What becomes the last mutation of a replica. */
export interface AppliedMutation {
  readonly replica: string
  /** The number of its last mutation as it was read. */
  readonly after: number
  readonly number: number
  readonly hashes: readonly string[]
  /** Relative to the head that the commit answers. */
  readonly answer: string
  /** Null: it says nothing of what it has read. */
  readonly acked: number | null
}

const COMMIT = {
  name: 'tidemark commit',
  text: `SELECT tidemark.commit_1(${Array.from({ length: 43 }, (_, at) => `$${at + 1}`).join(', ')}) AS head`,
}

/**
 * Writes what was decided on a view. Answers the head before the writes, from which their versions count; null, with
 * nothing done, when something that was read has moved.
 */
export async function commit(
  connection: Connection,
  id: string,
  view: View,
  reads: Reads,
  folded: Folded,
  mutations: readonly AppliedMutation[],
  now: number,
): Promise<number | null> {
  const { head, floor, generation, wrote } = view.about
  if (head + folded.total > Number.MAX_SAFE_INTEGER)
    throw new TidemarkError('invariant', 'a space has no more versions to give')
  const tables = new TableList()
  // Those that are written come first, in the order of their counts.
  for (const table of folded.counts.keys()) tables.place(table)
  const written = tables.names.length
  const counts = [...folded.counts.values()]
  const writers = new TableList()
  const { writes } = folded
  const records = writes.map(({ after }) => after.record)
  const values: Value[] = [
    reads.rows.map(({ table }) => tables.place(table)),
    reads.rows.map(({ key }) => key),
    view.standings.map((standing) => standing?.record.version ?? 0),
    ...(reads.claims.length === 0
      ? [null, null, null, null]
      : [
          reads.claims.map(({ table }) => tables.place(table)),
          reads.claims.map(({ index }) => index),
          reads.claims.map(({ value }) => value),
          view.holders,
        ]),
    writes.map(({ table }) => tables.place(table)),
    writes.map(({ key }) => key),
    writes.map(({ offset }) => offset),
    records.map(({ hlc }) => hlc),
    records.map(({ by }) => writers.place(by)),
    sparse(records.map(({ deleted }) => (deleted === true ? now : null))),
    sparse(writes.map(({ after }) => after.was)),
    sparse(records.map(({ sealed }) => sealed ?? null)),
    texts(writes.map(({ after }) => claimsText(after.claims, after.record.version, head))),
    texts(records.map((record) => agesText(record, head))),
    texts(writes.map(({ text }) => text)),
    folded.total,
    counts.map(({ live }) => live),
    counts.map(({ buried }) => buried),
    ...heldColumns(folded.drops, tables),
    ...heldColumns(folded.takes, tables),
    mutations.map(({ replica }) => replica),
    mutations.map(({ after }) => after),
    mutations.map(({ number }) => number),
    mutations.map(({ hashes }) => JSON.stringify(hashes)),
    mutations.map(({ answer }) => answer),
    mutations.map(({ acked }) => acked),
    now,
  ]
  const about: Value[] = [id, generation, wrote, floor, tables.names, written, writers.names]
  const [row] = await connection.query<{ head: number | null }>(COMMIT, [...about, ...values])
  return row?.head ?? null
}

/** A column without a value is not sent. */
const sparse = (column: readonly (string | number | null)[]): Value =>
  column.every((value) => value === null) ? null : column

const texts = (column: readonly (string | null)[]): Value =>
  column.every((text) => text === null) ? null : encodeTexts(column)

function heldColumns(held: readonly HeldClaim[], tables: TableList): readonly Value[] {
  if (held.length === 0) return [null, null, null, null]
  return [
    held.map(({ table }) => tables.place(table)),
    held.map(({ index }) => index),
    held.map(({ value }) => value),
    held.map(({ key }) => key),
  ]
}
