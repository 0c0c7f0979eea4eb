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
import { namesAsked } from './attach.ts'
import { newBounds, pushRaw, pushValue, Template } from './bind.ts'
import {
  codecOf,
  dropDictionary,
  keySignature,
  readDictionaries,
  saveDictionary,
  updateDictionary,
  type Dictionary,
  type DictionaryColumn,
} from './dictionary.ts'
import { suspect } from './compare.ts'
import { markSql, rowKeysSql } from './joined-rows.ts'
import { withoutPoison, type Poison } from './publish/obstacle.ts'
import { isRenamed } from './renamed.ts'
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
  const seen = look(session, readFileShapes(session))
  // Nothing to write; but what was read must be of one moment.
  if (isInOrder(session, seen)) {
    return session.schemaVersion === seen.file.schemaVersion
      ? catalogueOf(session, seen, before)
      : repairSchema(session, before)
  }
  return withoutPoison((poison) => repairOnce(session, before, seen, poison))
}

function repairOnce(session: Session, before: Catalogue | null, seen: Findings, poison: Poison): Catalogue {
  const { connection } = session
  return transact(connection, 'immediate', () => {
    const now =
      session.schemaVersion === seen.file.schemaVersion ? seen : look(session, readFileShapes(session))
    stopGoneTables(session, now.shapes)
    const broken = now.outcomes
      .filter((outcome) => !isTableInOrder(session, now, outcome))
      .map(({ name }) => name)
    const shapes = broken.flatMap((name) => now.shapes.get(name) ?? [])
    const names = new Set(now.shapes.keys())
    const beside = (shape: Shape, number: number): void => {
      if (!now.dictionaries.has(number)) createStateTable(connection, number, shape)
    }
    const outcomes = installCapture(connection, shapes, { ...captureOptions(session), beside })
    const repaired = new Map(outcomes.map((outcome) => [outcome.name, outcome]))
    for (const shape of shapes) {
      const outcome = repaired.get(shape.name)
      if (outcome !== undefined)
        repairTable(session, shape, outcome, {
          known: now.dictionaries.get(outcome.number) ?? null,
          synced: names,
          mayFail: now.file.mayFail,
          poison,
        })
    }
    return catalogueOf(
      session,
      {
        file: { ...now.file, schemaVersion: session.schemaVersion },
        shapes: now.shapes,
        outcomes: now.outcomes.map((outcome) => repaired.get(outcome.name) ?? outcome),
        dictionaries: readDictionaries(connection),
      },
      before,
    )
  })
}

/** What was found in the file. */
interface Findings {
  readonly file: FileShapes
  /** Of the tables that are to be synced, by name. */
  readonly shapes: ReadonlyMap<string, Shape>
  readonly outcomes: readonly CaptureOutcome[]
  readonly dictionaries: ReadonlyMap<number, Dictionary>
}

const readFileShapes = (session: Session): FileShapes =>
  readShapes(session.connection, namesAsked(session.meta.get('choice')))

function look(session: Session, file: FileShapes): Findings {
  const shapes = chooseShapes(session, file)
  const outcomes = verifyCapture(session.connection, shapes.values(), captureOptions(session))
  return { file, shapes, outcomes, dictionaries: readDictionaries(session.connection) }
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

function isInOrder(session: Session, findings: Findings): boolean {
  if (listCaptured(session.connection).some(({ name }) => !findings.shapes.has(name))) return false
  return findings.outcomes.every((outcome) => isTableInOrder(session, findings, outcome))
}

function isTableInOrder(
  session: Session,
  { shapes, dictionaries }: Findings,
  { name, number, found }: CaptureOutcome,
): boolean {
  const shape = shapes.get(name)
  const dictionary = dictionaries.get(number)
  if (found !== 'whole' || shape === undefined || dictionary === undefined) return false
  if (dictionary.key !== keySignature(shape)) return false
  return !updateDictionary(session.connection, shape, dictionary, session.encoding).changed
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
  {
    known,
    synced,
    mayFail,
    poison,
  }: {
    readonly known: Dictionary | null
    readonly synced: ReadonlySet<string>
    readonly mayFail: boolean
    readonly poison: Poison
  },
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
    (from, to) => kept !== null && isRenamed(session, number, shape, codecOf(kept), from, to),
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
  // Rows may have changed while nobody marked them: no mark still vouches for what its row was when it was read.
  table.states.raiseMarks()
  if (appeared.length > 0) {
    for (const column of appeared) markFilled(session, table, column)
    setApplying(connection, true)
    table.mayFail = mayFail
    restoreColumns(session, table, synced, appeared, kept, poison)
    setApplying(connection, false)
  }
  if (returned.length > 0) uncover(session, name)
  if (outcome.found === 'broken' || outcome.found === 'absent') suspect(session, name)
}

/** The first moment there was. */
const RENAMED_AT = 1n

/** Rows in which a new column is not what `ADD COLUMN` fills in: a migration wrote it, perhaps unseen. */
function markFilled(session: Session, table: SyncedTable, column: DictionaryColumn): void {
  // What a renamed column holds is no new edit: whatever others have written under the new name is later.
  const bounds = pushRaw(newBounds(), column.was === undefined ? BigInt(session.time) : RENAMED_AT)
  if (!pushValue(bounds, column.fill, session.encoding)) return
  const name = `t.${quoteName(column.name)} COLLATE BINARY`
  const source = (place: (at: number) => string) => rowKeysSql(table, `${name} IS NOT ${place(1)}`)
  new Template(session.connection, (place) => markSql(table, source(place))).run(bounds)
}

function catalogueOf(
  session: Session,
  { file, shapes, outcomes, dictionaries }: Findings,
  before: Catalogue | null,
): Catalogue {
  const captured = new Map(outcomes.map((outcome) => [outcome.name, outcome]))
  const tables = new Map<string, SyncedTable>()
  for (const [name, shape] of shapes) {
    const outcome = captured.get(name)
    const dictionary = outcome === undefined ? undefined : dictionaries.get(outcome.number)
    if (outcome === undefined || dictionary === undefined) continue
    const { number, sweep } = outcome
    const old = before?.tables.get(name)
    const same =
      old?.number === number &&
      old.shape.fingerprint === shape.fingerprint &&
      isSameDictionary(old.dictionary, dictionary)
    const table = same
      ? old
      : new SyncedTable(session.connection, session.encoding, { number, shape, dictionary, sweep })
    table.mayFail = file.mayFail
    tables.set(name, table)
  }
  return { shapes: file, tables, schema: schemaOf(shapes, file) }
}

const isSameDictionary = (a: Dictionary, b: Dictionary): boolean =>
  JSON.stringify(a.columns) === JSON.stringify(b.columns)

function schemaOf(chosen: ReadonlyMap<string, Shape>, { refused }: FileShapes): StoreSchema {
  const tables = [...chosen.values()].map(({ table }) => table)
  return { tables, refused, fingerprint: createHash('sha256').update(JSON.stringify(tables)).digest('hex') }
}
