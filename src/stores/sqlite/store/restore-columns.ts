import { sameValue, setOwn, type Encoded, type Fields } from '../../../kernel/values.ts'
import type { InboxDraft } from '../../../engine/inbox.ts'
import { keyColumn } from '../capture/names.ts'
import { SqliteFailure } from '../driver/failure.ts'
import { readTriggerEffects } from '../shape/trigger-effects.ts'
import type { Bounds } from './bind.ts'
import { decodeValue, placesOf, selectList } from './decode.ts'
import { codecOf, type Dictionary, type DictionaryColumn } from './dictionary.ts'
import { stateTable } from './names.ts'
import { isPoisoned, type Poison } from './publish/obstacle.ts'
import { writing } from './publish/write-row.ts'
import type { Session } from './session.ts'
import { decodeState, STATE_PLACES, stateColumns, type RowState } from './states.ts'
import type { SyncedTable } from './synced-table.ts'
import { Unfit } from './unfit.ts'
import { withoutWriters } from './user-triggers.ts'

/**
 * Columns have appeared for which a newer replica's values were kept: they come back. Where the application has
 * filled the column itself meanwhile, its value stands as an edit.
 */
export function restoreColumns(
  session: Session,
  table: SyncedTable,
  synced: ReadonlySet<string>,
  appeared: readonly DictionaryColumn[],
  before: Dictionary,
  poison: Poison,
): void {
  const kept = readKept(table).filter(({ state }) =>
    appeared.some(({ name }) => Object.hasOwn(state.extra ?? {}, name)),
  )
  if (kept.length === 0) return
  const effects = readTriggerEffects(table.connection, synced)
  const codec = codecOf(before)
  const isUnsent = (
    { was: [name = ''] = [] }: DictionaryColumn,
    value: Encoded,
    { image }: RowState,
  ): boolean => image !== null && codec.changed({ [name]: value }, image).length > 0
  withoutWriters(table.connection, effects, [table.name], () => {
    for (const row of kept) {
      const notes = restoreRow(table, row, appeared, {
        isUnsent,
        isPoisoned: isPoisoned(poison, table.name, row.text),
      })
      for (const note of notes) session.note(note)
    }
  })
}

interface KeptRow {
  /** Canonical. */
  readonly text: string
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
      const text = table.keyOfValues(values as readonly Encoded[])
      const key = table.bindKey(text)
      const state = decodeState(row, 0)
      return key === null || state === null ? [] : [{ text, key, state }]
    })
}

/** Answers what was decided between two values of one column. */
function restoreRow(
  table: SyncedTable,
  { text, key, state }: KeptRow,
  appeared: readonly DictionaryColumn[],
  {
    isUnsent,
    isPoisoned,
  }: {
    readonly isUnsent: (column: DictionaryColumn, value: Encoded, state: RowState) => boolean
    readonly isPoisoned: boolean
  },
): readonly InboxDraft[] {
  const row = table.rows.read(key)
  if (row === null) return []
  const extra: { [name: string]: Encoded } = { ...state.extra }
  const back: { [name: string]: Encoded } = {}
  const notes: InboxDraft[] = []
  for (const column of appeared) {
    const { name, fill } = column
    const value = extra[name]
    if (value === undefined || !Object.hasOwn(extra, name)) continue
    const own = row[name] ?? null
    const isApart = column.was !== undefined && !sameValue(own, value)
    // What the application has filled in is an edit; under a new name it is one where the old name's was not sent.
    const stands = column.was === undefined ? !sameValue(own, fill) : isUnsent(column, own, state)
    if (!stands && (isPoisoned || !tryRestore(table, { text, key }, name, value))) continue
    // What this replica sent under the old name may be later than what it meets (I7): nobody here can tell.
    if (isApart && (stands ? isUnsent(column, value, state) : state.own))
      notes.push(noteOf(table, text, name, { row, state, chosen: stands ? 'local' : 'remote', ...RENAMED }))
    // What was filled in replaces what nobody here has seen (I7).
    if (column.was === undefined && stands && !sameValue(own, value))
      notes.push(noteOf(table, text, name, { row, state, chosen: 'local', ...FILLED }))
    // What the column makes of the value is no edit.
    setOwn(back, name, stands ? value : (table.rows.read(key)?.[name] ?? null))
    delete extra[name]
  }
  const image = state.image === null ? null : Uint8Array.from(table.codec.encode(back, state.image))
  table.states.write(key, { ...state, image, extra: Object.keys(extra).length === 0 ? null : extra })
  return notes
}

function noteOf(
  table: SyncedTable,
  key: string,
  column: string,
  {
    row,
    state,
    chosen,
    by,
    reason,
  }: { readonly row: Fields; readonly state: RowState } & Pick<InboxDraft, 'chosen' | 'by' | 'reason'>,
): InboxDraft {
  const fields = { ...row, ...state.extra }
  return {
    kind: 'field',
    table: table.name,
    key,
    columns: [column],
    local: row,
    remote: { table: table.name, key, version: state.version, hlc: 0, by: 'another', fields },
    chosen,
    by,
    reason,
  }
}

const RENAMED = {
  by: 'renamed column',
  reason: 'The column was renamed here; another replica had written it under the new name already.',
}
const FILLED = {
  by: 'new column',
  reason: 'The column was added and filled here; another replica had written it already.',
}

/** A value that the new column refuses stays where it was kept. */
function tryRestore(
  table: SyncedTable,
  { text, key }: Pick<KeptRow, 'text' | 'key'>,
  name: string,
  value: Encoded,
): boolean {
  try {
    // From entries: a column may be called `__proto__`.
    const fields = Object.fromEntries([[name, value]])
    return writing(table, text, () => table.rows.update(key, fields, [name]))
  } catch (error) {
    if (error instanceof Unfit || (error instanceof SqliteFailure && error.constraint !== null)) return false
    throw error
  }
}
