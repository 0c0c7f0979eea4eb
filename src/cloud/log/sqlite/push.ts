import type { PushAnswer } from '../../../protocol/push.ts'
import type { Change } from '../../../protocol/records.ts'
import { decideBatch } from '../batch.ts'
import { decideMutation, type Decision, type Mutation, type SpaceView } from '../decide.ts'
import { tellGeneration } from '../history.ts'
import { keepAnswer, repeatAnswer } from '../kept-answer.ts'
import type { BatchRow, PushInput } from '../log.ts'
import type { SchemaTable } from '../../../protocol/schema.ts'
import { meterTouched } from '../touched.ts'
import { admitTurn, judgeTurn, weighPart, type LastMutation } from '../turns.ts'
import { pushNewRows } from './new-rows.ts'
import { writeRecords } from './records.ts'
import { findStanding, moveHead, readSpace, type Space, type Storage } from './space.ts'

/** One push request, inside a writing transaction. */
export function pushRequest(storage: Storage, id: string, input: PushInput): PushAnswer {
  const { statements } = storage
  const { request, hash } = input
  const { replica } = request
  const space = readSpace(storage, id)
  const row = statements.findReplica.get(space.no, replica)
  const last: LastMutation = {
    number: row?.[0] ?? 0,
    hashes: row === undefined ? [] : (JSON.parse(row[1]) as string[]),
  }
  const staged = statements.listStaged
    .all(space.no, replica)
    .map(([hash, of, attempt, bytes]) => ({ hash, of, attempt, bytes }))
  const text = onlyOnce(() => JSON.stringify(request.changes))
  const bytes = () => weighPart(text().length, request.changes.length)
  const turn = admitTurn(judgeTurn(last, staged, request, hash, bytes), request, last, space)
  const about = { epoch: space.epoch, generation: tellGeneration(space, request.cursor) }
  switch (turn.kind) {
    case 'replay': {
      const meter = meterTouched()
      const read = (table: string, key: string) =>
        findStanding(storage, space.no, table, key, meter)?.record ?? null
      return { ...about, head: space.head, results: [...repeatAnswer(row?.[2] ?? '[]', read)] }
    }
    case 'staged':
      return { ...about, head: space.head, staged: turn.parts, results: [] }
    case 'stage': {
      const { of, attempt } = request.part ?? { of: 1, attempt: '' }
      if (turn.fresh) statements.dropStaged.run(space.no, replica)
      statements.stage.run(space.no, replica, turn.index, of, attempt, hash, bytes(), text())
      statements.seeReplica.run(space.no, replica, row?.[3] ?? null, storage.now())
      return { ...about, head: space.head, staged: turn.index + 1, results: [] }
    }
    case 'apply': {
      const parts = turn.hashes.length > 1 ? statements.stagedChanges.all(space.no, replica) : []
      const changes = [...parts.flatMap((part) => JSON.parse(part) as Change[]), ...request.changes]
      const mutation = { replica, force: request.force === true, changes }
      const { head, results } =
        pushNewRows(storage, space, mutation) ?? pushMutation(storage, space, mutation)
      if (staged.length > 0) statements.dropStaged.run(space.no, replica)
      const acked = request.cursor?.version ?? row?.[3] ?? null
      const kept = keepAnswer(results, changes)
      statements.keepMutation.run(
        space.no,
        replica,
        request.mutation,
        JSON.stringify(turn.hashes),
        kept,
        acked,
        storage.now(),
      )
      return { ...about, head, results: [...results] }
    }
  }
}

function pushMutation(storage: Storage, space: Space, mutation: Mutation): Omit<Decision, 'writes'> {
  const { head, results, writes } = decideMutation(mutation, viewOf(storage, space))
  moveHead(storage, space, head)
  writeRecords(storage, space.no, writes, storage.now())
  return { head, results }
}

/** Origin 000's upsert, inside a writing transaction. */
export function pushBatch(
  storage: Storage,
  id: string,
  rows: readonly BatchRow[],
): { readonly head: number; readonly stands: readonly boolean[] } {
  const space = readSpace(storage, id)
  const schema = JSON.parse(storage.statements.readSchema.get(space.no) ?? '[]') as SchemaTable[]
  const { head, writes, stands } = decideBatch(rows, viewOf(storage, space), schema)
  moveHead(storage, space, head)
  writeRecords(storage, space.no, writes, storage.now())
  return { head, stands }
}

function viewOf(storage: Storage, { no, head, floor }: Space): SpaceView {
  const meter = meterTouched()
  return {
    head,
    floor,
    now: storage.now(),
    standing: (table, key) => findStanding(storage, no, table, key, meter),
    holder(table, index, value) {
      const number = storage.names.tables(no).byName.get(table)
      return number === undefined ? null : (storage.statements.findClaim.get(number, index, value) ?? null)
    },
  }
}

function onlyOnce<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null
  return () => (made ??= { value: make() }).value
}
