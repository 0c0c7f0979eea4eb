import { sameValue, type Encoded } from '../../../kernel/values.ts'
import { keyColumn } from '../capture/names.ts'
import { SqliteFailure } from '../driver/failure.ts'
import { readTriggerEffects } from '../shape/trigger-effects.ts'
import type { Bounds } from './bind.ts'
import { decodeValue, placesOf, selectList } from './decode.ts'
import type { DictionaryColumn } from './dictionary.ts'
import { stateTable } from './names.ts'
import { decodeState, STATE_PLACES, stateColumns, type RowState } from './states.ts'
import type { SyncedTable } from './synced-table.ts'
import { Unfit } from './unfit.ts'
import { withoutWriters } from './user-triggers.ts'

/**
 * Columns have appeared for which a newer replica's values were kept: they come back. Where the application has
 * filled the column itself meanwhile, its value stands as an edit.
 */
export function restoreColumns(
  table: SyncedTable,
  synced: ReadonlySet<string>,
  appeared: readonly DictionaryColumn[],
): void {
  const kept = readKept(table).filter(({ state }) =>
    appeared.some(({ name }) => Object.hasOwn(state.extra ?? {}, name)),
  )
  if (kept.length === 0) return
  const effects = readTriggerEffects(table.connection, synced)
  withoutWriters(table.connection, effects, [table.name], () => {
    for (const { key, state } of kept) restoreRow(table, key, state, appeared)
  })
}

interface KeptRow {
  readonly key: Bounds
  readonly state: RowState
}

function readKept(table: SyncedTable): readonly KeptRow[] {
  const keys = selectList(
    '',
    table.keyNames.map((_, at) => keyColumn(at)),
    'exact',
  )
  const sql = `SELECT ${stateColumns('')}, ${keys} FROM ${stateTable(table.number)} WHERE extra IS NOT NULL`
  return table.connection
    .prepare(sql)
    .all()
    .flatMap((row) => {
      const values = table.keyNames.map((_, at) =>
        decodeValue(row, STATE_PLACES + at * placesOf('exact'), 'exact', table.encoding),
      )
      const key = table.bindKey(table.keyOfValues(values as readonly Encoded[]))
      const state = decodeState(row, 0)
      return key === null || state === null ? [] : [{ key, state }]
    })
}

function restoreRow(
  table: SyncedTable,
  key: Bounds,
  state: RowState,
  appeared: readonly DictionaryColumn[],
): void {
  const row = table.rows.read(key)
  if (row === null) return
  const extra: { [name: string]: Encoded } = { ...state.extra }
  const back: { [name: string]: Encoded } = {}
  for (const { name, fill } of appeared) {
    const value = extra[name]
    if (value === undefined || !Object.hasOwn(extra, name)) continue
    const isFilled = !sameValue(row[name], fill)
    if (!isFilled && !tryRestore(table, key, name, value)) continue
    // What the column makes of the value is no edit; what the application filled in is one.
    back[name] = isFilled ? value : (table.rows.read(key)?.[name] ?? null)
    delete extra[name]
  }
  const image = state.image === null ? null : Uint8Array.from(table.codec.encode(back, state.image))
  table.states.write(key, { ...state, image, extra: Object.keys(extra).length === 0 ? null : extra })
}

/** A value that the new column refuses stays where it was kept. */
function tryRestore(table: SyncedTable, key: Bounds, name: string, value: Encoded): boolean {
  try {
    return table.rows.update(key, { [name]: value }, [name])
  } catch (error) {
    if (error instanceof Unfit || (error instanceof SqliteFailure && error.constraint !== null)) return false
    throw error
  }
}
