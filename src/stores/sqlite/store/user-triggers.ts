import { isOwnName } from '../capture/names.ts'
import { quoteName, type Connection } from '../driver/driver.ts'
import { SqliteFailure } from '../driver/failure.ts'
import type { StandIn } from '../shape/stand-in.ts'
import { countSteps, readTriggerEffects, type TriggerEffect } from '../shape/trigger-effects.ts'
import type { Session } from './session.ts'

/**
 * Runs `work` without those of the application's triggers that write synced tables, which would count twice what the
 * other replica's triggers counted already. Triggers that feed other tables run, or a full-text index would go
 * corrupt; of those that do both, the statements that feed others run. Where no such trigger can fire, the schema is
 * not touched. `tables`: those written to; null: any. What throws must take the transaction back.
 */
export function withoutSyncedTriggers<T>(
  session: Session,
  tables: readonly string[] | null,
  work: () => T,
): T {
  if (tables !== null && !tables.some((name) => hasTriggers(session, name))) return work()
  session.triggerEffects ??= readTriggerEffects(
    session.connection,
    new Set(session.tables.map(({ name }) => name)),
  )
  return withoutWriters(session.connection, session.triggerEffects, tables, work)
}

/** The same, with what the triggers write given. */
export function withoutWriters<T>(
  connection: Connection,
  effects: readonly TriggerEffect[],
  tables: readonly string[] | null,
  work: () => T,
): T {
  const off = findSyncedWriters(effects, tables)
  if (off.length === 0) return work()
  const tablesOff = new Set(off.map(({ table }) => table.toLowerCase()))
  const before = listTriggers(connection, tablesOff)
  for (const { name } of off) connection.exec(`DROP TRIGGER main.${quoteName(name)}`)
  const standing = placeStandIns(connection, off)
  // Capture's are silent meanwhile, wherever they stand.
  const isOthers = ({ name }: StandingTrigger): boolean => !isOwnName(name)
  if (standing.length > 0) putInOrder(connection, tablesOff, before, isOthers)
  const result = work()
  for (const { name } of standing) connection.exec(`DROP TRIGGER main.${quoteName(name)}`)
  for (const { sql } of off) connection.exec(sql)
  putInOrder(connection, tablesOff, before)
  return result
}

/** Whether a stand-in compiles, asked once for as long as the triggers are known. */
const fitness = new WeakMap<StandIn, boolean>()

/** Puts stand-ins where there are any that compile. Answers which triggers they stand for. */
function placeStandIns(connection: Connection, off: readonly TriggerEffect[]): readonly TriggerEffect[] {
  let standing = off.flatMap((effect) => {
    const { standIn } = effect
    return standIn !== null && place(connection, standIn) ? [{ ...effect, standIn }] : []
  })
  if (standing.every(({ standIn }) => fitness.has(standIn))) return standing
  // What one needs may have been another that does not compile.
  for (let before = -1; before !== standing.length;) {
    before = standing.length
    standing = standing.filter(({ name, table, standIn }) => {
      const isFit = countSteps(connection, table, name) === standIn.steps
      fitness.set(standIn, isFit)
      if (!isFit) connection.exec(`DROP TRIGGER main.${quoteName(name)}`)
      return isFit
    })
  }
  return standing
}

function place(connection: Connection, standIn: StandIn): boolean {
  if (fitness.get(standIn) === false) return false
  try {
    connection.exec(standIn.sql)
    return true
  } catch (error) {
    if (!(error instanceof SqliteFailure)) throw error
    fitness.set(standIn, false)
    return false
  }
}

interface StandingTrigger {
  readonly name: string
  readonly sql: string
}

/** Triggers on these tables, the oldest first. */
function listTriggers(connection: Connection, tables: ReadonlySet<string>): readonly StandingTrigger[] {
  return connection
    .prepare("SELECT name, tbl_name, sql FROM main.sqlite_schema WHERE type = 'trigger' ORDER BY rowid")
    .all()
    .filter(([, table]) => tables.has(String(table).toLowerCase()))
    .map(([name, , sql]) => ({ name: String(name), sql: String(sql) }))
}

/**
 * The youngest trigger fires first. The application's come back in the order they had, for it may count on that
 * without knowing; and capture's are the youngest of all: no other may end a statement before them.
 */
function putInOrder(
  connection: Connection,
  tables: ReadonlySet<string>,
  before: readonly StandingTrigger[],
  counts: (trigger: StandingTrigger) => boolean = () => true,
): void {
  const places = new Map(before.map(({ name }, at) => [name, at]))
  const placeOf = ({ name }: StandingTrigger): number =>
    isOwnName(name) ? Infinity : (places.get(name) ?? before.length)
  const now = listTriggers(connection, tables).filter(counts)
  const wanted = now.toSorted((one, other) => {
    const [a, b] = [placeOf(one), placeOf(other)]
    return a === b ? 0 : a - b
  })
  const moved = wanted.findIndex((trigger, at) => trigger !== now[at])
  if (moved === -1) return
  // Those before the first that moved stand where they should.
  for (const { name } of wanted.slice(moved)) connection.exec(`DROP TRIGGER main.${quoteName(name)}`)
  for (const { sql } of wanted.slice(moved)) connection.exec(sql)
}

/** In the order in which they stand, and so in which they fire. */
function findSyncedWriters(
  effects: readonly TriggerEffect[],
  tables: readonly string[] | null,
): readonly TriggerEffect[] {
  const isWriter = ({ kind }: TriggerEffect): boolean => kind === 'synced' || kind === 'mixed'
  if (tables === null) return effects.filter(isWriter)
  const reached = reachedFrom(tables, effects, isWriter)
  return effects.filter((effect) => isWriter(effect) && reached.has(effect.table.toLowerCase()))
}

function hasTriggers(session: Session, name: string): boolean {
  return (session.catalogue.shapes.shapes.get(name)?.triggers.length ?? 0) > 0
}

/** Tables whose triggers statements on these may set off, however many others stand between. */
function reachedFrom(
  tables: readonly string[],
  effects: readonly TriggerEffect[],
  isOff: (effect: TriggerEffect) => boolean,
): ReadonlySet<string> {
  const reached = new Set(tables.map((name) => name.toLowerCase()))
  // Views are written through their triggers alone, which EXPLAIN does not name as tables: any may be reached.
  for (const { table, isView } of effects.map(withKind)) if (isView) reached.add(table.toLowerCase())
  for (let before = -1; before !== reached.size;) {
    before = reached.size
    for (const effect of effects) {
      if (!reached.has(effect.table.toLowerCase())) continue
      const writes = isOff(effect) ? (effect.standIn?.writes ?? []) : effect.writes
      for (const written of writes) reached.add(written.toLowerCase())
    }
  }
  return reached
}

const withKind = (effect: TriggerEffect): TriggerEffect & { readonly isView: boolean } => ({
  ...effect,
  isView: /\bINSTEAD\s+OF\b/i.test(effect.sql),
})
