import type { Cursor } from '../protocol/records.ts'
import type { Aside, ReplicaState } from './store.ts'

/** Asides kept, of the sets of tables that were read last: without one a set is read from the cursor again. */
export const MAX_ASIDES = 16

/** The asides with this one, which is the newest now. */
export function withAside(asides: readonly Aside[], aside: Aside): readonly Aside[] {
  const others = asides.filter(({ tables }) => !isSameSet(tables, aside.tables))
  return [aside, ...others].slice(0, MAX_ASIDES)
}

/** Where a pull of these tables begins: at the cursor, or beyond it where they were read further by themselves. */
export function placeOf(state: ReplicaState, cursor: Cursor, tables: readonly string[] | null): Cursor {
  if (tables === null) return cursor
  const aside = state.asides.find((one) => isSameSet(one.tables, tables))?.cursor
  if (aside === undefined || aside.epoch !== cursor.epoch || aside.version <= cursor.version) return cursor
  return { ...aside, high: Math.max(aside.high, cursor.high) }
}

const isSameSet = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name, at) => name === b[at])
