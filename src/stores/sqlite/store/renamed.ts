import type { InboxDraft } from '../../../engine/inbox.ts'
import type { LocalRow } from '../../../engine/store.ts'
import { fieldVersion } from '../../../protocol/field-version.ts'
import type { WireRecord } from '../../../protocol/records.ts'
import { sameValue, type Encoded, type Fields } from '../../../kernel/values.ts'
import type { Hlc } from '../../../kernel/hlc.ts'
import { keyColumn, markTable } from '../capture/names.ts'
import { quoteName } from '../driver/driver.ts'
import type { Shape } from '../shape/shape.ts'
import { newBounds, pushValue, Template } from './bind.ts'
import { decodeValue, selectList } from './decode.ts'
import type { DictionaryColumn } from './dictionary.ts'
import type { ImageCodec } from './image.ts'
import { stateTable } from './names.ts'
import type { Session } from './session.ts'
import type { RowState } from './states.ts'
import type { SyncedTable } from './synced-table.ts'

/**
 * `ALTER TABLE … RENAME COLUMN` by the application. To the cloud it is another column: what stands in it is sent under
 * the new name, and the old name stays for replicas that have not migrated yet. So that nothing is lost between the two:
 * - what an older replica writes under the old name is taken over under the new one, and sent as an edit;
 * - a replica that migrates later takes what others wrote under the new name, and only what it has not sent stands
 *   against that.
 */

/** Rows looked at: that all of them agree by chance is not to be feared. */
const EVIDENCE_ROWS = 1_000

/**
 * True when rows that were not written since hold in one column what was agreed for the other. Rows that hold what
 * `ADD COLUMN` would have filled in say nothing.
 */
export function isRenamed(
  session: Session,
  number: number,
  shape: Shape,
  before: ImageCodec,
  from: DictionaryColumn,
  to: DictionaryColumn,
): boolean {
  const bounds = newBounds()
  if (!pushValue(bounds, to.fill, session.encoding)) return false
  const joined = (alias: string): string =>
    shape.key
      .map(({ name, at, collation }, index) => {
        const own = shape.columns[at]?.collation
        return `t.${quoteName(name)}${own === collation ? '' : ` COLLATE ${collation}`} = ${alias}.${keyColumn(index)}`
      })
      .join(' AND ')
  const rows = new Template(
    session.connection,
    (place) => `SELECT s.image, ${selectList('t.', [to.name], 'exact')} FROM ${stateTable(number)} s
      JOIN main.${quoteName(shape.name)} t ON ${joined('s')}
      WHERE s.image IS NOT NULL AND NOT EXISTS (SELECT 1 FROM ${markTable(number)} m WHERE ${joined('m')})
        AND t.${quoteName(to.name)} COLLATE BINARY IS NOT ${place(0)} LIMIT ${EVIDENCE_ROWS}`,
  ).all(bounds)
  return (
    rows.length > 0 &&
    rows.every((row) => {
      const value = decodeValue(row, 1, 'exact', session.encoding) ?? null
      return before.changed({ [from.name]: value }, row[0] as Uint8Array).length === 0
    })
  )
}

/** A record whose old names are newer than the new ones, as this replica has to see it. */
export interface Bridged {
  readonly fields: Fields
  /** Columns taken over from an old name, and the name. */
  readonly taken: readonly { readonly column: string; readonly from: string }[]
  /** When the latest of them was written. */
  readonly at: Hlc
}

/** Null when the record has nothing new under an old name. */
export function bridgeRecord(table: SyncedTable, record: WireRecord): Bridged | null {
  const { fields } = record
  if (table.renamed.length === 0 || fields === undefined) return null
  const own = table.own(fields)
  const taken: { column: string; from: string }[] = []
  let at = 0
  for (const { name, was } of table.renamed) {
    let [newest] = own[name] === undefined ? [0] : fieldVersion(record, name)
    let from: string | null = null
    for (const old of was) {
      const [version] = fieldVersion(record, old)
      if (own[old] === undefined || version <= newest) continue
      newest = version
      from = old
    }
    if (from === null || sameValue(own[from], own[name])) continue
    taken.push({ column: name, from })
    at = Math.max(at, fieldVersion(record, from)[1])
  }
  if (taken.length === 0) return null
  const values = taken.map(({ column, from }) => [column, own[from] as Encoded] as const)
  return { fields: { ...fields, ...Object.fromEntries(values) }, taken, at }
}

/**
 * What was taken over stands against a value under the new name that its writer cannot have seen (I7). A value that only
 * the renaming itself has sent is none, nor is the one that was taken over before.
 */
export function bridgeNote(
  table: SyncedTable,
  record: WireRecord,
  { fields, taken }: Bridged,
  state: RowState | null,
): InboxDraft | null {
  const own = table.own(record.fields ?? {})
  const beaten = taken.filter(
    ({ column, from }) =>
      own[column] !== undefined &&
      fieldVersion(record, column)[1] > 1 &&
      !sameValue(state?.extra?.[from], own[column]),
  )
  if (beaten.length === 0) return null
  return {
    kind: 'field',
    table: table.name,
    key: record.key,
    columns: beaten.map(({ column }) => column),
    local: fields,
    remote: record,
    chosen: 'local',
    by: 'renamed column',
    reason: 'A replica in which the column has its old name wrote it later; what it wrote was taken over.',
  }
}

/** A local edit under the new name stands against one that came under the old name. */
export function editNote(
  read: LocalRow,
  record: WireRecord,
  { fields }: Bridged,
  beaten: Bridged['taken'],
): InboxDraft {
  return {
    kind: 'field',
    table: read.table,
    key: read.key,
    columns: beaten.map(({ column }) => column),
    local: read.fields,
    remote: { ...record, fields },
    chosen: 'local',
    by: 'renamed column',
    reason: 'A replica in which the column has its old name wrote it too; what was written here stands.',
  }
}
