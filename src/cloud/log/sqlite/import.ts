import Database from 'better-sqlite3'

import { TidemarkError } from '../../../kernel/errors.ts'
import type { CopiedRecord, CopiedReplica, SpaceCopy } from '../copy.ts'
import { listClaims, NO_CLAIMS } from '../standing.ts'
import { agesText } from './records.ts'
import { MAX_VERSION } from './schema.ts'
import { addSpace, readSpace, type Storage } from './space.ts'

interface Importing {
  readonly newId: () => string
  /** Throws when the import may not go on. */
  readonly check: () => void
}

/** Takes a copied space in, inside a writing transaction that nothing else takes part in. */
export async function importCopy(
  storage: Storage,
  id: string,
  copy: SpaceCopy,
  { newId, check }: Importing,
): Promise<void> {
  const { statements, names } = storage
  const no = openEmpty(storage, id, newId)
  const { epoch, generations, head, floor, schema, tables } = copy.space
  if (head > MAX_VERSION)
    throw new TidemarkError('unprocessable', 'the space has more versions than a file can hold')
  statements.resetSpace.run(epoch, head, floor, schema, JSON.stringify(tables), no)
  for (const [at, { id: generation, start }] of [...generations, { id: newId(), start: head }].entries())
    statements.addGeneration.run(no, at, generation, start)
  const counts = new Map<number, { live: number; buried: number }>()
  for await (const { records, replicas } of copy.pages()) {
    check()
    for (const record of records) addRecord(storage, no, record, counts)
    for (const replica of replicas) addReplica(storage, no, replica)
  }
  check()
  for (const [table, { live, buried }] of counts) statements.countTable.run(live, buried, table)
  // They were read while the space was another one.
  names.forget()
}

/** The number of a space with nothing in it. */
function openEmpty(storage: Storage, id: string, newId: () => string): number {
  const { statements } = storage
  addSpace(storage, id, newId)
  const { no, head } = readSpace(storage, id)
  const held = statements.listTables.all(no).some(([, , live, buried]) => live + buried > 0)
  if (head > 0 || held) throw new TidemarkError('space_not_empty')
  statements.dropGenerations.run(no)
  statements.dropReplicas.run(no)
  statements.dropAllStaged.run(no)
  return no
}

function addRecord(
  { statements, names }: Storage,
  no: number,
  { record, was, claims, buriedAt }: CopiedRecord,
  counts: Map<number, { live: number; buried: number }>,
): void {
  const { version, key, hlc, by, fields, sealed } = record
  const table = names.table(no, record.table)
  const held = claims === NO_CLAIMS ? null : JSON.stringify(claims)
  const values = [
    names.writer(by),
    hlc,
    buriedAt,
    sealed ?? null,
    agesText(record),
    fields === undefined ? null : JSON.stringify(fields),
    was,
    held,
  ] as const
  try {
    statements.addRecord.run(no, version, ...values, table, key)
    for (const { index, value } of listClaims(claims)) statements.addClaim.run(table, index, value, key)
  } catch (error) {
    if (!(error instanceof Database.SqliteError) || !error.code.startsWith('SQLITE_CONSTRAINT')) throw error
    throw new TidemarkError('unprocessable', 'two records have one place, or hold the same unique value', {
      cause: error,
    })
  }
  let count = counts.get(table)
  if (count === undefined) counts.set(table, (count = { live: 0, buried: 0 }))
  count[buriedAt === null ? 'live' : 'buried']++
}

function addReplica({ statements }: Storage, no: number, replica: CopiedReplica): void {
  const { id, mutation, hashes, answer, acked, seen } = replica
  statements.keepMutation.run(no, id, mutation, JSON.stringify(hashes), answer, acked, seen)
}
