import { TidemarkError } from '../../../kernel/errors.ts'
import type { Connection, Value } from '../../postgres/pool.ts'
import type { Folded, HeldClaim } from '../decide-group.ts'
import type { ClaimPlace, Reads } from '../group-view.ts'
import { agesText, claimsText } from './relative.ts'
import { encodeTexts } from './text-array.ts'
import { NameList, type View } from './view.ts'

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

/** What was decided on a view of a space, to be written there if that still holds. */
export interface CommitOf {
  readonly id: string
  readonly view: View
  readonly reads: Reads
  readonly folded: Folded
  readonly mutations: readonly AppliedMutation[]
  readonly now: number
}

/** The head before the writes, from which their versions count; null: something that was read has moved. */
export type Committed = number | null
/** Somebody holds the space: nothing was done there. */
export const HELD = 'held'
const HELD_HEAD = -1

const COMMIT = {
  name: 'tidemark commit',
  text: `SELECT to_json(tidemark.commit_1(${Array.from({ length: 46 }, (_, at) => `$${at + 1}`).join(', ')}))::text AS heads`,
}

/** One space, whose lock is waited for. Where it answers null, nothing was done. */
export async function commit(connection: Connection, one: CommitOf): Promise<Committed> {
  const [head = null] = await write(connection, [one], true)
  return head
}

/**
 * Several spaces in one transaction, with one wait for the disk; for each its head, `HELD`, or null. When it rejects,
 * nothing was done in any of them.
 */
export async function commitTogether(
  connection: Connection,
  all: readonly CommitOf[],
): Promise<readonly (Committed | typeof HELD)[]> {
  const heads = await write(connection, all, false)
  return all.map((_, at) => (heads[at] === HELD_HEAD ? HELD : (heads[at] ?? null)))
}

async function write(
  connection: Connection,
  all: readonly CommitOf[],
  waits: boolean,
): Promise<readonly Committed[]> {
  for (const { view, folded } of all)
    if (view.about.head + folded.total > Number.MAX_SAFE_INTEGER)
      throw new TidemarkError('invariant', 'a space has no more versions to give')
  const tables = new NameList()
  // Those that are written come first, in the order of their counts.
  for (const [at, { folded }] of all.entries())
    for (const table of folded.counts.keys()) tables.place(at + 1, table)
  const counts = all.flatMap(({ folded }) => [...folded.counts.values()])
  const writers = new NameList()
  const each = <T>(list: (one: CommitOf, space: number) => readonly T[]): T[] =>
    all.flatMap((one, at) => list(one, at + 1))
  const writes = each(({ folded, view }, space) =>
    folded.writes.map((write) => ({ ...write, space, head: view.about.head })),
  )
  const held = (list: (one: CommitOf) => readonly HeldClaim[]): readonly Value[] =>
    heldColumns(
      each((one, space) => list(one).map((claim) => ({ ...claim, space }))),
      tables,
    )
  const asked = each(({ reads, view }, space) =>
    reads.claims.map((claim, at) => ({ ...claim, space, key: view.holders[at] ?? null })),
  )
  const mutations = each(({ mutations: own, now }, space) => own.map((one) => ({ ...one, space, now })))
  const values: Value[] = [
    each(({ reads }, space) => reads.rows.map(({ table }) => tables.place(space, table))),
    each(({ reads }) => reads.rows.map(({ key }) => key)),
    each(({ view }) => view.standings.map((standing) => standing?.record.version ?? 0)),
    ...heldColumns(asked, tables),
    writes.map(({ space, table }) => tables.place(space, table)),
    writes.map(({ key }) => key),
    writes.map(({ offset }) => offset),
    writes.map(({ after }) => after.record.hlc),
    writes.map(({ space, after }) => writers.place(space, after.record.by)),
    sparse(
      each(({ folded, now }) =>
        folded.writes.map(({ after }) => (after.record.deleted === true ? now : null)),
      ),
    ),
    sparse(writes.map(({ after }) => after.was)),
    sparse(writes.map(({ after }) => after.record.sealed ?? null)),
    texts(writes.map(({ after, head }) => claimsText(after.claims, after.record.version, head))),
    texts(writes.map(({ after, head }) => agesText(after.record, head))),
    texts(writes.map(({ text }) => text)),
    ...held(({ folded }) => folded.drops),
    ...held(({ folded }) => folded.takes),
    mutations.map(({ space }) => space),
    mutations.map(({ replica }) => replica),
    mutations.map(({ after }) => after),
    mutations.map(({ number }) => number),
    mutations.map(({ hashes }) => JSON.stringify(hashes)),
    mutations.map(({ answer }) => answer),
    mutations.map(({ acked }) => acked),
    mutations.map(({ now }) => now),
  ]
  const abouts = all.map(({ view }) => view.about)
  // Those that are only read have no counts.
  const onlyRead = tables.names.slice(counts.length).map(() => null)
  const [row] = await connection.query<{ readonly heads: string | null }>(COMMIT, [
    waits,
    all.map(({ id }) => id),
    abouts.map(({ generation }) => generation),
    abouts.map(({ wrote }) => wrote),
    abouts.map(({ floor }) => floor),
    all.map(({ folded }) => folded.total),
    tables.spaces,
    tables.names,
    [...counts.map(({ live }) => live), ...onlyRead],
    [...counts.map(({ buried }) => buried), ...onlyRead],
    writers.spaces,
    writers.names,
    ...values,
  ])
  return JSON.parse(row?.heads ?? '[]') as Committed[]
}

/** A column without a value is not sent. */
const sparse = (column: readonly (string | number | null)[]): Value =>
  column.every((value) => value === null) ? null : column

const texts = (column: readonly (string | null)[]): Value =>
  column.every((text) => text === null) ? null : encodeTexts(column)

/** A unique value of a table, and the key that has it, takes it or lets it go. */
interface PlacedClaim extends ClaimPlace {
  readonly space: number
  readonly key: string | null
}

function heldColumns(claims: readonly PlacedClaim[], tables: NameList): readonly Value[] {
  if (claims.length === 0) return [null, null, null, null]
  return [
    claims.map(({ space, table }) => tables.place(space, table)),
    claims.map(({ index }) => index),
    claims.map(({ value }) => value),
    claims.map(({ key }) => key),
  ]
}
