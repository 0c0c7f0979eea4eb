import { createHash } from 'node:crypto'

import type { StoreSchema } from '../../../engine/store.ts'
import {
  dropCapture,
  installCapture,
  listCaptured,
  setApplying,
  verifyCapture,
  type CaptureOutcome,
} from '../capture/capture.ts'
import { quoteName, transact } from '../driver/driver.ts'
import { readShapes } from '../shape/read.ts'
import type { FileShapes, Shape } from '../shape/shape.ts'
import { newBounds, pushRaw, pushValue, Template } from './bind.ts'
import {
  dropDictionary,
  keySignature,
  readDictionaries,
  saveDictionary,
  updateDictionary,
  type Dictionary,
  type DictionaryColumn,
} from './dictionary.ts'
import { markSql, rowKeysSql } from './joined-rows.ts'
import { restoreColumns } from './restore-columns.ts'
import type { Catalogue, Session } from './session.ts'
import { createStateTable, dropStateTable } from './state-tables.ts'
import { SyncedTable } from './synced-table.ts'

/**
 * Reads the schema of the file and puts in order what depends on it: capture of new and altered tables, images of
 * columns that came or went, everything of tables that are gone. Runs outside any transaction; writes only when
 * something has to change. Tables whose writes may have been missed are left in `suspect`, to be compared later.
 */
export function repairSchema(session: Session, before: Catalogue | null): Catalogue {
  const { connection } = session
  const shapes = readShapes(connection)
  const chosen = chooseShapes(session, shapes)
  const dictionaries = readDictionaries(connection)
  if (isInOrder(session, chosen, dictionaries)) {
    // Nothing to write; but what was read must be of one moment.
    if (session.schemaVersion === shapes.schemaVersion) {
      return catalogueOf(
        session,
        shapes,
        chosen,
        verifyCapture(connection, chosen.values(), captureOptions(session)),
        dictionaries,
        before,
      )
    }
    return repairSchema(session, before)
  }
  return transact(connection, 'immediate', () => {
    const now = readShapes(connection)
    const tables = chooseShapes(session, now)
    const known = readDictionaries(connection)
    stopGoneTables(session, tables)
    const outcomes = installCapture(connection, tables.values(), captureOptions(session))
    for (const outcome of outcomes) {
      const shape = tables.get(outcome.name)
      if (shape !== undefined) repairTable(session, shape, outcome, known.get(outcome.number) ?? null)
    }
    const version = { ...now, schemaVersion: session.schemaVersion }
    return catalogueOf(session, version, tables, outcomes, readDictionaries(connection), before)
  })
}

const captureOptions = (session: Session): { readonly clock?: string } =>
  session.clockExpression === undefined ? {} : { clock: session.clockExpression }

function chooseShapes(session: Session, { shapes }: FileShapes): ReadonlyMap<string, Shape> {
  const { tables, exclude } = session.meta.get('choice')
  const chosen = [...shapes].filter(
    ([name]) => (tables === null || tables.includes(name)) && !exclude.includes(name),
  )
  return new Map(chosen.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function isInOrder(
  session: Session,
  shapes: ReadonlyMap<string, Shape>,
  dictionaries: ReadonlyMap<number, Dictionary>,
): boolean {
  const { connection } = session
  if (listCaptured(connection).some(({ name }) => !shapes.has(name))) return false
  return verifyCapture(connection, shapes.values(), captureOptions(session)).every(
    ({ name, number, found }) => {
      const shape = shapes.get(name)
      const dictionary = dictionaries.get(number)
      if (found !== 'whole' || shape === undefined || dictionary === undefined) return false
      return (
        dictionary.key === keySignature(shape) &&
        !updateDictionary(connection, shape, dictionary, session.encoding).changed
      )
    },
  )
}

/** A table that was dropped, renamed, or can be synced no longer: sync of it stops, and no tombstones are made. */
function stopGoneTables(session: Session, shapes: ReadonlyMap<string, Shape>): void {
  for (const { number, name } of listCaptured(session.connection)) {
    if (shapes.has(name)) continue
    dropCapture(session.connection, name)
    forgetTable(session, number, name)
  }
}

function forgetTable(session: Session, number: number, name: string): void {
  dropStateTable(session.connection, number)
  dropDictionary(session.connection, number)
  session.parking.removeAll(number)
  session.waiting.removeAll(number)
  session.quarantine.removeAll(number)
  uncover(session, name)
}

/** What the cloud holds of the table is read anew. */
function uncover(session: Session, name: string): void {
  const { meta } = session
  meta.set(
    'covered',
    meta.get('covered').filter((table) => table !== name),
  )
  meta.set(
    'hydrated',
    meta.get('hydrated').filter((table) => table !== name),
  )
}

function repairTable(
  session: Session,
  shape: Shape,
  outcome: CaptureOutcome,
  known: Dictionary | null,
): void {
  const { connection } = session
  const { number, name } = outcome
  const kept = known !== null && known.key === keySignature(shape) ? known : null
  if (known !== null && kept === null) forgetTable(session, number, name)
  const { dictionary, appeared, returned, changed } = updateDictionary(
    connection,
    shape,
    kept,
    session.encoding,
  )
  if (changed) saveDictionary(connection, number, dictionary)
  if (kept === null) {
    // Nothing was agreed yet, or under another key: every row is news.
    createStateTable(connection, number, shape)
    const table = new SyncedTable(connection, session.encoding, {
      number,
      shape,
      dictionary,
      sweep: outcome.sweep,
    })
    connection.prepare(markSql(table, rowKeysSql(table, '1'))).run(BigInt(session.time))
    return
  }
  const table = new SyncedTable(connection, session.encoding, {
    number,
    shape,
    dictionary,
    sweep: outcome.sweep,
  })
  if (appeared.length > 0) {
    for (const column of appeared) markFilled(session, table, column)
    setApplying(connection, true)
    restoreColumns(session, table, appeared)
    setApplying(connection, false)
  }
  if (returned.length > 0) uncover(session, name)
  if (outcome.found === 'broken' || outcome.found === 'absent') suspect(session, name)
}

/** Rows in which a new column is not what `ADD COLUMN` fills in: a migration wrote it, perhaps unseen. */
function markFilled(session: Session, table: SyncedTable, column: DictionaryColumn): void {
  const bounds = pushRaw(newBounds(), BigInt(session.time))
  if (!pushValue(bounds, column.fill, session.encoding)) return
  const name = `t.${quoteName(column.name)} COLLATE BINARY`
  const source = (place: (at: number) => string) => rowKeysSql(table, `${name} IS NOT ${place(1)}`)
  new Template(session.connection, (place) => markSql(table, source(place))).run(bounds)
}

function suspect(session: Session, name: string): void {
  const names = session.meta.get('suspect')
  if (!names.includes(name)) session.meta.set('suspect', [...names, name])
}

function catalogueOf(
  session: Session,
  shapes: FileShapes,
  chosen: ReadonlyMap<string, Shape>,
  outcomes: readonly CaptureOutcome[],
  dictionaries: ReadonlyMap<number, Dictionary>,
  before: Catalogue | null,
): Catalogue {
  const captured = new Map(outcomes.map((outcome) => [outcome.name, outcome]))
  const tables = new Map<string, SyncedTable>()
  for (const [name, shape] of chosen) {
    const outcome = captured.get(name)
    const dictionary = outcome === undefined ? undefined : dictionaries.get(outcome.number)
    if (outcome === undefined || dictionary === undefined) continue
    const { number, sweep } = outcome
    const old = before?.tables.get(name)
    const same =
      old?.number === number &&
      old.shape.fingerprint === shape.fingerprint &&
      isSameDictionary(old.dictionary, dictionary)
    tables.set(
      name,
      same
        ? old
        : new SyncedTable(session.connection, session.encoding, { number, shape, dictionary, sweep }),
    )
  }
  return { shapes, tables, schema: schemaOf(chosen, shapes) }
}

const isSameDictionary = (a: Dictionary, b: Dictionary): boolean =>
  JSON.stringify(a.columns) === JSON.stringify(b.columns)

function schemaOf(chosen: ReadonlyMap<string, Shape>, { refused }: FileShapes): StoreSchema {
  const tables = [...chosen.values()].map(({ table }) => table)
  return { tables, refused, fingerprint: createHash('sha256').update(JSON.stringify(tables)).digest('hex') }
}
