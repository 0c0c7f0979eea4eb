import type { PushAnswer } from '../../../protocol/push.ts'
import type { Change } from '../../../protocol/records.ts'
import { TidemarkError } from '../../../kernel/errors.ts'
import type { Connection } from '../../postgres/pool.ts'
import type { PushInput } from '../log.ts'
import { admitTurn, judgeTurn, weighPart, type StagedPart } from '../turns.ts'
import type { PushItem } from './push.ts'
import { answerOf, inThisLife, type Storage } from './space.ts'
import { readView, type View } from './view.ts'

interface StagedRow extends StagedPart {
  /** Only where it is the last part that came. */
  readonly changes: string | null
}

const STAGED = {
  name: 'tidemark staged',
  text: `SELECT g.hash, g.of_parts AS of, g.attempt, g.bytes, CASE WHEN $3 THEN g.changes END AS changes
    FROM tidemark.staged g JOIN tidemark.spaces s ON s.no = g.space
    WHERE s.id = $1 AND g.replica = $2 ORDER BY g.part`,
}
const ONE_AT_A_TIME = {
  name: 'tidemark one at a time',
  text: 'SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))',
}
const STAGE = {
  name: 'tidemark stage',
  text: `INSERT INTO tidemark.staged (space, replica, part, of_parts, attempt, hash, bytes, changes)
    SELECT no, $2, $3, $4, $5, $6, $7, $8 FROM tidemark.spaces WHERE id = $1`,
}
const UNSTAGE = {
  name: 'tidemark unstage',
  text: `DELETE FROM tidemark.staged g USING tidemark.spaces s WHERE s.id = $1 AND g.space = s.no AND g.replica = $2`,
}
const SEE = {
  name: 'tidemark see part',
  text: `INSERT INTO tidemark.replicas AS r (space, id, mutation, hashes, base, answer, acked, seen)
    SELECT no, $2, 0, '[]', 0, '[]', NULL, $3 FROM tidemark.spaces WHERE id = $1
    ON CONFLICT (space, id) DO UPDATE SET seen = excluded.seen`,
}

/**
 * One part of a mutation: staged, or answered as staged. The last one, with which the mutation is due, comes back
 * with the changes of all. Parts of one replica are taken one at a time, without the space's lock: other replicas'
 * pushes do not wait for many megabytes.
 */
export async function pushPart(
  storage: Storage,
  id: string,
  input: PushInput,
): Promise<{ readonly answer: PushAnswer } | { readonly item: PushItem }> {
  const { request, hash } = input
  const { replica } = request
  const text = JSON.stringify(request.changes)
  const bytes = weighPart(text.length, request.changes.length)
  // Before the transaction: a generation that begins must be seen by what is judged in it.
  await inThisLife(storage, id, () => look(storage.database, id, input))
  return storage.database.transaction(async (connection) => {
    await connection.query(ONE_AT_A_TIME, [id, replica])
    // What is staged before what is applied, and with its changes: another node may apply it at any moment, and then
    // either all of it was read, or the mutation is found to be the last one.
    const isLast = request.part?.index === (request.part?.of ?? 1) - 1
    const staged: readonly StagedRow[] = await connection.query<StagedRow>(STAGED, [id, replica, isLast])
    const view = await look(connection, id, input)
    if (view === null) throw new TidemarkError('space_not_found')
    const space = await storage.histories.read(connection, id, view.about)
    const last = view.replicas[0]?.last ?? { number: 0, hashes: [] }
    const turn = admitTurn(
      judgeTurn(last, staged, request, hash, () => bytes),
      request,
      last,
      space,
    )
    const answer = { ...answerOf(space, request.cursor), head: space.head, results: [] }
    switch (turn.kind) {
      case 'staged':
        return { answer: { ...answer, staged: turn.parts } }
      case 'stage': {
        const { of, attempt } = request.part ?? { of: 1, attempt: '' }
        // The replica's row first, as a commit takes them: else the two could wait for each other.
        await connection.query(SEE, [id, replica, storage.clock.now()])
        if (turn.fresh) await connection.query(UNSTAGE, [id, replica])
        await connection.query(STAGE, [id, replica, turn.index, of, attempt, hash, bytes, text])
        return { answer: { ...answer, staged: turn.index + 1 } }
      }
      case 'replay':
        return { item: { ...input, staged, changes: request.changes } }
      case 'apply': {
        const before = staged.flatMap(({ changes }) => JSON.parse(changes ?? '[]') as Change[])
        return { item: { ...input, staged, changes: [...before, ...request.changes] } }
      }
    }
  })
}

const look = (connection: Connection, id: string, { request }: PushInput): Promise<View | null> =>
  readView(connection, id, [request], { rows: [], claims: [] })
