import { TidemarkError } from '../../../kernel/errors.ts'
import type { History } from '../history.ts'
import type { Names } from './names.ts'
import { rowToStanding } from './records.ts'
import { MAX_VERSION } from './schema.ts'
import type { Statements } from './statements.ts'
import type { Standing } from '../standing.ts'

/** What every step on the file needs. */
export interface Storage {
  readonly statements: Statements
  readonly names: Names
  /** Milliseconds. */
  readonly now: () => number
}

/** A space as it is in the file now. */
export interface Space extends History {
  readonly no: number
  readonly schema: number
}

/** Throws `space_not_found`. */
export function readSpace({ statements, names }: Storage, id: string): Space {
  const row = statements.findSpace.get(id)
  if (row === undefined) throw new TidemarkError('space_not_found')
  const [no, epoch, head, floor, schema] = row
  return { no, epoch, head, floor, schema, generations: names.generations(no) }
}

/** Makes a space with its first generation; false when it was there. */
export function addSpace({ statements, names }: Storage, id: string, newId: () => string): boolean {
  if (statements.findSpace.get(id) !== undefined) return false
  const no = Number(statements.addSpace.run(id, newId()).lastInsertRowid)
  names.addGeneration(no, { id: newId(), start: 0 })
  return true
}

/** The generation of this start of the storage begins at the head. */
export function beginGeneration(storage: Storage, id: string, newId: () => string): void {
  const space = readSpace(storage, id)
  storage.names.addGeneration(space.no, { id: newId(), start: space.head })
}

export function moveHead({ statements }: Storage, space: Space, head: number): void {
  if (head > MAX_VERSION) throw new TidemarkError('invariant', 'a space has no more versions to give')
  if (head !== space.head) statements.moveHead.run(head, space.no)
}

/** The row as it stands, a tombstone too; `meter` is told what it holds, before it is read into values. */
export function findStanding(
  { statements, names }: Storage,
  space: number,
  table: string,
  key: string,
  meter: (bytes: number) => void,
): Standing | null {
  const { byName, byNumber } = names.tables(space)
  const no = byName.get(table)
  if (no === undefined) return null
  const row = statements.findRecord.get(no, key)
  if (row === undefined) return null
  meter((row[8]?.length ?? 0) + (row[7]?.length ?? 0) + (row[10]?.length ?? 0))
  return rowToStanding(row, { tables: byNumber, writers: names.writersByNumber() })
}
