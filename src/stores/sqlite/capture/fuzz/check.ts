import type { Shape } from '../../shape/shape.ts'
import { keyOfLine, markOfLine } from './snapshot.ts'

/** What stands in a file at one moment. */
export interface Moment {
  /** Table → its rows as lines, and the columns they show. */
  readonly tables: ReadonlyMap<string, TableLines>
  /** Table → lines of its mark table. */
  readonly marks: ReadonlyMap<string, readonly string[]>
  readonly sweeps: readonly string[]
}

export interface TableLines {
  readonly columns: readonly string[]
  readonly lines: readonly string[]
}

/** Keys of rows that are not the same in both, and whether the row is gone. Rows with a NULL in the key are left out. */
export function changedKeys(
  before: TableLines,
  after: TableLines,
  shape: Shape,
): ReadonlyMap<string, 'gone' | 'other'> {
  const rows = (side: TableLines): ReadonlyMap<string, string> => {
    const byKey = new Map<string, string>()
    for (const line of side.lines) {
      const key = keyOfLine(line, side.columns, shape)
      if (key !== null) byKey.set(key, line)
    }
    return byKey
  }
  const [old, now] = [rows(before), rows(after)]
  const changed = new Map<string, 'gone' | 'other'>()
  for (const [key, line] of old) if (now.get(key) !== line) changed.set(key, now.has(key) ? 'other' : 'gone')
  for (const key of now.keys()) if (!old.has(key)) changed.set(key, 'other')
  return changed
}

export function marksOf(moment: Moment, shape: Shape): ReadonlyMap<string, number> {
  return new Map(
    (moment.marks.get(shape.name) ?? [])
      .map((line) => markOfLine(line, shape))
      .map(({ key, at }) => [key, at]),
  )
}

/** Changed rows without a mark, except displaced ones of a table that asks to be swept. */
export function missedKeys(base: Moment, now: Moment, shape: Shape): readonly string[] {
  const [before, after] = [base.tables.get(shape.name), now.tables.get(shape.name)]
  if (before === undefined || after === undefined || before.columns.join('|') !== after.columns.join('|'))
    return []
  const marks = marksOf(now, shape)
  const swept = now.sweeps.includes(shape.name)
  return [...changedKeys(before, after, shape)]
    .filter(([key, how]) => !marks.has(key) && !(swept && how === 'gone'))
    .map(([key]) => key)
}

/** Rows changed between two moments whose mark is not later than it was. */
export function unraisedKeys(before: Moment, now: Moment, shape: Shape): readonly string[] {
  const [old, new_] = [before.tables.get(shape.name), now.tables.get(shape.name)]
  if (old === undefined || new_ === undefined) return []
  const [marked, remarked] = [marksOf(before, shape), marksOf(now, shape)]
  const swept = now.sweeps.includes(shape.name)
  return [...changedKeys(old, new_, shape)]
    .filter(([key, how]) => {
      const [was, is] = [marked.get(key), remarked.get(key)]
      return was !== undefined && is !== undefined && is <= was && !(swept && how === 'gone')
    })
    .map(([key]) => key)
}
