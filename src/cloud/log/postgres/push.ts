import { TidemarkError } from '../../../kernel/errors.ts'
import type { PushAnswer } from '../../../protocol/push.ts'
import type { Change, WireRecord } from '../../../protocol/records.ts'
import type { Connection } from '../../postgres/pool.ts'
import { decideBatch } from '../batch.ts'
import { decideGroup, foldWrites, mustStandAlone } from '../decide-group.ts'
import { readsOf, spaceView, toGroupView, type Reads } from '../group-view.ts'
import type { BatchRow, PushInput } from '../log.ts'
import { rowId } from '../standing.ts'
import { admitTurn, judgeTurn, weighPart, type StagedPart } from '../turns.ts'
import { commit, type AppliedMutation } from './commit.ts'
import { keepRelativeAnswer, repeatRelativeAnswer } from './relative.ts'
import type { Rounds } from './rounds.ts'
import { answerOf, newestOf, type Space, type Storage } from './space.ts'
import { readView, type ReplicaView } from './view.ts'

/** A push that is the last or the only one of its mutation, with the changes of all parts together. */
export interface PushItem extends PushInput {
  readonly staged: readonly StagedPart[]
  readonly changes: readonly Change[]
}

/** What became of one push of a group: its answer, why it is refused, or null: it goes with the next group. */
export type Outcome = PushAnswer | TidemarkError | null

/** Nothing was done: something that was read has moved, or the space's generation has to begin first. */
export const MOVED = 'moved'
const NOTHING: Reads = { rows: [], claims: [] }

/**
 * Several pushes of one space, each of another replica, decided one after the other on one view and written in one
 * commit. Rejects with `space_not_found`, and when the database fails: then what was done is found by doing it again.
 */
export async function pushGroup(
  storage: Storage,
  rounds: Rounds,
  id: string,
  items: readonly PushItem[],
): Promise<readonly Outcome[] | typeof MOVED> {
  const { connection } = rounds
  const reads = readsOf(items.flatMap(({ changes }) => changes))
  const asked = items.map(({ request }) => request)
  const view = await rounds.view({ id, asked, reads })
  if (view === null) throw new TidemarkError('space_not_found')
  if (!view.about.fresh) return MOVED
  const space = await storage.histories.read(connection, id, view.about)
  const { head } = space

  const outcomes: Outcome[] = items.map(() => null)
  const due: { readonly at: number; readonly item: PushItem; readonly hashes: readonly string[] }[] = []
  for (const [at, item] of items.entries()) {
    const replica = view.replicas[at]
    const hashes = judge(item, replica, space)
    if (hashes instanceof TidemarkError) outcomes[at] = hashes
    else if (hashes === null) {
      const answer = await replay(connection, id, space, item, replica as ReplicaView)
      if (answer === MOVED) return MOVED
      outcomes[at] = answer
    } else if (due.length === 0 || !mustStandAlone(item, head)) due.push({ at, item, hashes })
  }
  if (due.length === 0) return outcomes

  const now = storage.clock.now()
  const mutations = due.map(({ item: { request, changes } }) => {
    const { replica, force } = request
    return { replica, force: force === true, changes }
  })
  const groupView = toGroupView({ head, floor: space.floor, now }, reads, view.standings, view.holders)
  const decision = decideGroup(mutations, groupView, head)
  const applied = due.map(({ at, item, hashes }, place): AppliedMutation => {
    const { replica, mutation, cursor } = item.request
    return {
      replica,
      after: view.replicas[at]?.last.number ?? 0,
      number: mutation,
      hashes,
      answer: keepRelativeAnswer(decision.answers[place]?.results ?? [], item.changes, head),
      acked: cursor?.version ?? null,
    }
  })
  const base = await rounds.commit({ id, view, reads, folded: decision, mutations: applied, now })
  if (base === null) return MOVED
  const { answers } = base === head ? decision : decideGroup(mutations, groupView, base)
  for (const [place, { at, item }] of due.entries()) {
    const answer = answers[place]
    if (answer === undefined) throw new TidemarkError('invariant', 'a push was decided without an answer')
    outcomes[at] = {
      ...answerOf(space, item.request.cursor),
      head: answer.head,
      results: [...answer.results],
    }
  }
  return outcomes
}

/** The hashes of a mutation that is due; null for one that was applied before (I3); or what refuses it. */
function judge(
  { request, hash, staged }: PushItem,
  replica: ReplicaView | undefined,
  space: Space,
): readonly string[] | null | TidemarkError {
  const last = replica?.last ?? { number: 0, hashes: [] }
  try {
    const turn = admitTurn(
      judgeTurn(last, staged, request, hash, () =>
        weighPart(JSON.stringify(request.changes).length, request.changes.length),
      ),
      request,
      last,
      space,
    )
    if (turn.kind === 'apply') return turn.hashes
    if (turn.kind === 'replay') return null
    throw new TidemarkError('invariant', 'a part was taken for a whole mutation')
  } catch (error) {
    if (error instanceof TidemarkError) return error
    throw error
  }
}

/** The kept answer, with the records it shows as they are by now, as long as that is the same history. */
async function replay(
  connection: Connection,
  id: string,
  space: Space,
  { request }: PushItem,
  { base, answer }: ReplicaView,
): Promise<PushAnswer | typeof MOVED> {
  const kept = answer ?? '[]'
  const places: { table: string; key: string }[] = []
  repeatRelativeAnswer(kept, base, (table, key) => {
    places.push({ table, key })
    return null
  })
  const records = new Map<string, WireRecord | null>()
  if (places.length > 0) {
    const view = await readView(connection, id, [], { ...NOTHING, rows: places })
    if (view?.about.fresh !== true || view.about.generation !== newestOf(space).generation.id) return MOVED
    for (const [at, { table, key }] of places.entries())
      records.set(rowId(table, key), view.standings[at]?.record ?? null)
  }
  const results = repeatRelativeAnswer(kept, base, (table, key) => records.get(rowId(table, key)) ?? null)
  return { ...answerOf(space, request.cursor), head: space.head, results: [...results] }
}

/** Origin 000's upsert. */
export async function pushBatch(
  storage: Storage,
  { connection }: Rounds,
  id: string,
  rows: readonly BatchRow[],
): Promise<{ readonly head: number; readonly stands: readonly boolean[] } | typeof MOVED> {
  const reads = readsOf(rows)
  const view = await readView(connection, id, null, reads)
  if (view === null) throw new TidemarkError('space_not_found')
  if (!view.about.fresh) return MOVED
  const { head, floor } = view.about
  const now = storage.clock.now()
  const groupView = toGroupView({ head, floor, now }, reads, view.standings, view.holders)
  const { writes, stands } = decideBatch(rows, spaceView(groupView, head), view.schema)
  if (writes.length === 0) return { head, stands }
  const folded = foldWrites(writes, head)
  const base = await commit(connection, { id, view, reads, folded, mutations: [], now })
  return base === null ? MOVED : { head: base + writes.length, stands }
}
