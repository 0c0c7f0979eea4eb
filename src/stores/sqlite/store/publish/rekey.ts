import type { Hlc } from '../../../../kernel/hlc.ts'
import { encodeInt, sameValue, setOwn, type Encoded, type Fields } from '../../../../kernel/values.ts'
import { TidemarkError } from '../../../../kernel/errors.ts'
import type { MergedRow, Publication } from '../../../../engine/store.ts'
import { quoteName, type SqlRow } from '../../driver/driver.ts'
import { newBounds, pushValue, Template } from '../bind.ts'
import { decodeValue, placesOf, selectList } from '../decode.ts'
import { referencesTo, unsyncedReferences, type Reference } from '../references.ts'
import type { Session } from '../session.ts'
import { readStanding } from '../standing.ts'
import { NO_STATE } from '../states.ts'
import type { SyncedTable } from '../synced-table.ts'
import { firstFreshId } from './fresh-id.ts'
import { failureOf } from './obstacle.ts'
import { writing } from './write-row.ts'

/**
 * Re-keying: two replicas inserted different rows under one integer key. The local row moves to a fresh key, and
 * with it every reference to it that this replica wrote; what came from the cloud points to the cloud's row.
 */
export interface Follows {
  /** Rows that went to another key, by `rowId` of where they were: what arrives there meets no local row. */
  readonly movedAway: Set<string>
  /** References that followed, by `rowId`: a record that still has the old value must not bring it back. */
  readonly changed: Map<string, { readonly from: Fields; readonly to: Fields }[]>
  /** The rows as they stand now, by the `rowId` they had. */
  readonly rekeyed: Map<string, Fields>
}

export const rowId = (table: string, key: string): string => `${table}\0${key}`

export function rekeyRows(session: Session, { merged, records }: Publication): Follows {
  const follows: Follows = { movedAway: new Set(), changed: new Map(), rekeyed: new Map() }
  const rekeys = new Map<SyncedTable, MergedRow[]>()
  for (const row of merged) {
    if (row.decision.kind !== 'rekey') continue
    const table = session.table(row.read.table)
    if (table === undefined) continue
    if (row.record === null || !table.shape.rowidAlias) {
      throw new TidemarkError('invariant', 'only a row that meets a record under an integer key is re-keyed')
    }
    rekeys.set(table, [...(rekeys.get(table) ?? []), row])
  }
  for (const [table, rows] of rekeys) {
    const taken = [...records, ...merged.flatMap(({ record }) => (record === null ? [] : [record]))]
      .filter((record) => record.table === table.name)
      .map(({ key }) => key)
    let id = firstFreshId(session, table, taken, rows.length)
    for (const { read } of rows) {
      const move = new Move(session, follows, read.at === 0 ? session.time : read.at)
      const row = move.rekey(table, read.key, encodeInt(id++))
      if (row !== null) follows.rekeyed.set(rowId(table.name, read.key), row)
    }
  }
  return follows
}

class Move {
  readonly #session: Session
  readonly #follows: Follows
  readonly #at: Hlc

  constructor(session: Session, follows: Follows, at: Hlc) {
    this.#session = session
    this.#follows = follows
    this.#at = at
  }

  rekey(table: SyncedTable, key: string, id: Encoded): Fields | null {
    const bounds = table.bindKey(key)
    const row = bounds === null ? null : table.rows.read(bounds)
    const [name] = table.keyNames
    if (row === null || name === undefined) return null
    const next = table.own({ ...row, [name]: id })
    return this.#move(table, key, row, next) ? next : null
  }

  /** Writes a row in the place of the one at `key`, perhaps at another key, and lets references follow. */
  #move(table: SyncedTable, key: string, row: Fields, next: Fields): boolean {
    const nextKey = table.keyOf(next)
    const bounds = table.bindKey(key)
    const nextBounds = nextKey === null ? null : table.bindKey(nextKey)
    if (nextKey === null || bounds === null || nextBounds === null) return false
    // A row that stands there already is none of ours; the reference stays, and is noted if it points nowhere.
    if (nextKey !== key && table.rows.read(nextBounds) !== null) return false
    const children = referencesTo(this.#session, table).flatMap((reference) =>
      this.#ownChildren(reference, row, next),
    )
    const names = table.names.filter((name) => !sameValue(row[name], next[name]))
    if (!this.#tryUpdate(() => writing(table, key, () => table.rows.update(bounds, next, names))))
      return false
    if (nextKey !== key) this.#leaveKey(table, key)
    table.states.addMark(nextBounds, this.#at)
    this.#followUnsynced(table, row, next)
    for (const { reference, childKey } of children)
      this.#follow(reference, childKey === key && reference.child === table ? nextKey : childKey, next)
    return true
  }

  #tryUpdate(update: () => boolean): boolean {
    try {
      return update()
    } catch (error) {
      if (failureOf(error) === null) throw error
      return false
    }
  }

  #follow({ child, foreignKey, references }: Reference, key: string, parent: Fields): void {
    const bounds = child.bindKey(key)
    const before = bounds === null ? null : child.rows.read(bounds)
    if (before === null) return
    const to: { [name: string]: Encoded } = {}
    const from: { [name: string]: Encoded } = {}
    foreignKey.columns.forEach((name, at) => {
      setOwn(to, name, parent[references[at] ?? ''] ?? null)
      setOwn(from, name, before[name] ?? null)
    })
    const id = rowId(child.name, key)
    if (!this.#move(child, key, before, child.own({ ...before, ...to }))) return
    this.#follows.changed.set(id, [...(this.#follows.changed.get(id) ?? []), { from, to }])
  }

  /** Rows of tables that are not synced are this file's alone: all of them follow. */
  #followUnsynced(table: SyncedTable, row: Fields, next: Fields): void {
    for (const { name, columns, references } of unsyncedReferences(this.#session, table)) {
      const bounds = newBounds()
      const values = [...references.map((column) => next[column]), ...references.map((column) => row[column])]
      if (!values.every((value) => value != null && pushValue(bounds, value, table.encoding))) continue
      const set = (place: (at: number) => string) =>
        columns.map((column, at) => `${quoteName(column)} = ${place(at)}`)
      const where = (place: (at: number) => string) =>
        columns.map((column, at) => `${quoteName(column)} = ${place(columns.length + at)}`)
      const update = new Template(
        table.connection,
        (place) =>
          `UPDATE main.${quoteName(name)} SET ${set(place).join(', ')} WHERE ${where(place).join(' AND ')}`,
      )
      this.#tryUpdate(() => writing(table, '', () => update.run(bounds).changes > 0))
    }
  }

  /** The key that a row left: a delete where the cloud knows the row, nothing where it does not. */
  #leaveKey(table: SyncedTable, key: string): void {
    this.#follows.movedAway.add(rowId(table.name, key))
    const bounds = table.bindKey(key)
    if (bounds === null) return
    // The refused change goes on under the other key.
    this.#session.quarantine.remove(table.number, key)
    this.#session.waiting.remove(table.number, key)
    if ((table.states.read(bounds) ?? NO_STATE).agreed === 'live') table.states.addMark(bounds, this.#at)
    else table.states.removeMark(bounds)
  }

  /** Children whose reference this replica wrote: unsent, or acknowledged from here. */
  #ownChildren(
    reference: Reference,
    row: Fields,
    next: Fields,
  ): readonly { readonly reference: Reference; readonly childKey: string }[] {
    const { child, foreignKey, references } = reference
    if (references.every((name) => sameValue(row[name], next[name]))) return []
    return childrenOf(reference, row)
      .filter((key) => {
        const { state, fields } = readStanding(this.#session, child, key)
        if (state.agreed !== 'live' || state.image === null || state.own || fields === null) return true
        const changed = child.codec.changed(fields, state.image)
        return foreignKey.columns.some((name) => changed.includes(name))
      })
      .map((childKey) => ({ reference, childKey }))
  }
}

/** Keys of the rows that point to this parent. */
function childrenOf({ child, parent, foreignKey, references }: Reference, row: Fields): readonly string[] {
  const bounds = newBounds()
  for (const name of references) {
    const value = row[name]
    if (value === undefined || value === null || !pushValue(bounds, value, child.encoding)) return []
  }
  const where = (place: (at: number) => string): string =>
    foreignKey.columns
      .map((name, at) => {
        const collation =
          parent.shape.columns.find((column) => column.name === references[at])?.collation ?? 'BINARY'
        return `${quoteName(name)} = ${place(at)} COLLATE ${quoteName(collation)}`
      })
      .join(' AND ')
  const keys = selectList('', child.keyNames, 'exact')
  return new Template(
    child.connection,
    (place) => `SELECT ${keys} FROM main.${quoteName(child.name)} WHERE ${where(place)}`,
  )
    .all(bounds)
    .flatMap((found) => decodeKey(child, found))
}

function decodeKey(table: SyncedTable, row: SqlRow): readonly string[] {
  const values = table.keyNames.map((_, at) =>
    decodeValue(row, at * placesOf('exact'), 'exact', table.encoding),
  )
  return values.some((value) => value === undefined || value === null)
    ? []
    : [table.keyOfValues(values as readonly Encoded[])]
}

/** The fields of a record or of a merge, with the references that followed in the meantime. */
export function followFields(follows: Follows, id: string, fields: Fields): Fields {
  let followed = fields
  for (const { from, to } of follows.changed.get(id) ?? []) {
    if (Object.keys(from).every((name) => sameValue(from[name], followed[name])))
      followed = { ...followed, ...to }
  }
  return followed
}
