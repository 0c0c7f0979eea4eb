import { sameValue, type Encoded, type Fields } from '../../../kernel/values.ts'
import { keyColumn } from '../capture/names.ts'
import { SqliteFailure } from '../driver/failure.ts'
import type { Bounds } from './bind.ts'
import { decodeValue, placesOf, selectList } from './decode.ts'
import type { DictionaryColumn } from './dictionary.ts'
import { stateTable } from './names.ts'
import type { Session } from './session.ts'
import { decodeState, STATE_PLACES, stateColumns, type RowState } from './states.ts'
import type { SyncedTable } from './synced-table.ts'
import { Unfit } from './unfit.ts'
import { withoutSyncedTriggers } from './user-triggers.ts'

/**
 * Columns have appeared for which a newer replica's values were kept: they come back. Where the application has
 * filled the column itself meanwhile, its value stands as an edit.
 */
export function restoreColumns(
  session: Session,
  table: SyncedTable,
  appeared: readonly DictionaryColumn[],
): void {
  const kept = readKept(table).filter(({ state }) =>
    appeared.some(({ name }) => Object.hasOwn(state.extra ?? {}, name)),
  )
  if (kept.length === 0) return
  withoutSyncedTriggers(session, [table.name], () => {
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
  const extra: { [name: string]: Encoded } = { ...state.extra }
  const row = table.rows.read(key)
  if (row === null) return
  for (const { name, fill } of appeared) {
    const value = extra[name]
    if (value === undefined || !Object.hasOwn(extra, name)) continue
    if (sameValue(row[name], fill) && !tryRestore(table, key, name, value)) continue
    delete extra[name]
  }
  const back: Fields = Object.fromEntries(
    Object.entries(state.extra ?? {}).filter(([name]) => !Object.hasOwn(extra, name)),
  )
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
