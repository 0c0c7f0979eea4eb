import type { Hlc } from '../../kernel/hlc.ts'
import { uuidV7, type Random } from '../../kernel/random.ts'
import type { QuarantineEntry } from '../../engine/inbox.ts'
import { rowId, type MemoryFile } from './file.ts'
import { hasNews } from './local-row.ts'
import type { MemoryTable } from './table.ts'

/** Adds a row to the quarantine, in place of an older entry of its. */
export function quarantine(
  file: MemoryFile,
  entry: Omit<QuarantineEntry, 'id' | 'at'>,
  random: Random,
): void {
  const at = file.clock.now()
  const id = rowId(entry)
  file.quarantine.delete(id)
  file.quarantine.set(id, { ...entry, id: uuidV7(at, random), at })
}

/** Takes the mark off: the row waits until it changes again, or is released. `met` is a version it does not know. */
export function withhold(table: MemoryTable, key: string, at: Hlc, met = 0): void {
  const state = table.state(key)
  const heldAt = table.marks.get(key) ?? state.heldAt ?? at
  table.setState(key, { ...state, heldAt, met: Math.max(met, state.met) })
  table.marks.delete(key)
}

/** Ends the waiting: what differs is dirty again, with its time. */
export function release(table: MemoryTable, key: string): void {
  const state = table.state(key)
  if (state.heldAt === null) return
  table.setState(key, { ...state, heldAt: null })
  if (hasNews(table, key) && !table.marks.has(key)) table.marks.set(key, state.heldAt)
}
