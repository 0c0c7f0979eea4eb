import { quoteName, quoteText } from '../driver/driver.ts'
import type { Shape, ShapeIndex } from '../shape/shape.ts'
import { FLAG_ROW, keyIsWhole, keyOfRow, markStatement, markTime, NOT_APPLYING, rowidNames } from './marks.ts'
import { FLAG_TABLE, TABLES_TABLE, probeTable, triggerName } from './names.ts'
import {
  collateUnless,
  fillOf,
  isRowNumber,
  planIndexes,
  probedColumns,
  type IndexPlan,
  type PlannedTerm,
} from './plan.ts'
import type { TriggerSource, TriggerText } from './source.ts'

/**
 * Rows displaced by `OR REPLACE` fire no DELETE trigger. These two triggers mark, before an insert or update,
 * the rows that hold what the new row is about to hold, for each unique index other than the key's own and
 * for the hidden row number. A mark too many costs a comparison; one too few would lose a deletion (I1).
 *
 * Traps, each found by a failing case:
 * - A column cannot be dropped while any trigger names it, but an application may drop an index and then its
 *   column. So for an index that can be dropped, columns are named inside an inner SELECT: a name that is
 *   gone there is found in an outer row of NULLs (`fallbackRow`), and the trigger finds nothing.
 * - Without its index a search reads the whole table, for each row inserted. So the trigger asks first
 *   whether the index is still there: by its place in the schema table, and by name if it moved (VACUUM).
 * - NEW has no generated columns in BEFORE UPDATE, and an expression over NEW has none of the affinities that
 *   it has over a row. So the new row is put into a table of the same columns, and computed there.
 * - OR REPLACE turns NULL in a NOT NULL column into the default after these triggers have run, and a row number
 *   that SQLite is to choose is −1 in NEW: what an index makes of either is asked of a sweep.
 * - A condition is asked of the rows that are there, never of the new one: computing it might fail.
 */
export function displacedTriggers(source: TriggerSource): readonly TriggerText[] {
  const { shape, number } = source
  const plans = planIndexes(shape, source.unusable)
  if (plans.length === 0 && shape.hiddenRowid === null) return []
  const table = quoteName(shape.name)
  const of = watchedNames(shape, plans)
  const trigger = (kind: 'bi' | 'bu', event: string): TriggerText => {
    const name = triggerName(number, kind)
    const body = displacedStatements(source, plans, kind).join(' ')
    return { name, sql: `CREATE TRIGGER ${quoteName(name)} BEFORE ${event} ON ${table} BEGIN ${body} END` }
  }
  return [
    trigger('bi', 'INSERT'),
    trigger('bu', of === null ? 'UPDATE' : `UPDATE OF ${of.map(quoteName).join(', ')}`),
  ]
}

/** Columns whose change can displace a row; null when they cannot be told. */
function watchedNames(shape: Shape, plans: readonly IndexPlan[]): readonly string[] | null {
  if (plans.some((plan) => plan.kind === 'sweep')) return null
  const names = plans.flatMap((plan) => plan.columns)
  return [...new Set([...names, ...(shape.withoutRowid ? [] : rowidNames(shape))])]
}

function displacedStatements(
  source: TriggerSource,
  plans: readonly IndexPlan[],
  kind: 'bi' | 'bu',
): readonly string[] {
  const { shape } = source
  const statements: string[] = []
  if (shape.hiddenRowid !== null) statements.push(markByRowid(source, shape.hiddenRowid, kind))
  const probed = probedColumns(plans)
  if (probed.length > 0) statements.push(fillProbe(source, probed))
  if (plans.some((plan) => plan.kind === 'sweep')) statements.push(askForSweep(source, ''))
  for (const plan of plans) {
    if (plan.kind === 'sweep') continue
    statements.push(plan.kind === 'fixed' ? markByConstraint(source, plan) : markByIndex(source, plan))
    const sweep = sweepCondition(source, plan)
    if (sweep !== null) statements.push(askForSweep(source, ` AND ${sweep}`))
  }
  return statements
}

function markByRowid(source: TriggerSource, rowid: string, kind: 'bi' | 'bu'): string {
  const { shape, number, clock } = source
  const moved = kind === 'bu' ? ` AND NEW.${rowid} <> OLD.${rowid}` : ''
  return markStatement(
    shape,
    number,
    `${keyOfRow(shape, 'd')}, ${markTime(clock)} FROM ${quoteName(shape.name)} AS d CROSS JOIN ${FLAG_ROW}` +
      ` WHERE d.${rowid} = NEW.${rowid}${moved}${keyIsWhole(shape, 'd')} AND ${NOT_APPLYING}`,
  )
}

/** A UNIQUE constraint goes only with its table: names can be written plainly. */
function markByConstraint(source: TriggerSource, plan: IndexPlan): string {
  const { shape, number, clock } = source
  const equal = plan.terms.map(
    (term) => `d.${term.left} = ${newValue(term, `NEW.${quoteName(term.column ?? '')}`)}`,
  )
  return markStatement(
    shape,
    number,
    `${keyOfRow(shape, 'd')}, ${markTime(clock)} FROM ${quoteName(shape.name)} AS d CROSS JOIN ${FLAG_ROW}` +
      ` WHERE ${equal.join(' AND ')}${keyIsWhole(shape, 'd')} AND ${NOT_APPLYING}`,
  )
}

function markByIndex(source: TriggerSource, plan: IndexPlan): string {
  const { shape, number, clock } = source
  const table = quoteName(shape.name)
  const equal = plan.terms.map((term) => `${term.left} = ${newTerm(source, term)}`)
  const where = plan.where === null ? '' : ` AND (${plan.where})`
  const place = placeOf(shape)
  const found = `(SELECT ${place.inner} FROM ${table} WHERE ${equal.join(' AND ')}${where})`
  const flag = (column: string): string => `(SELECT "${column}" FROM ${quoteName(FLAG_TABLE)} WHERE "id" = 1)`
  const time = `max(${clock}, ${flag('floor')} + 1)`
  // Of `d`, or it would be asked before anything was found.
  const applying = `CASE WHEN d.${place.any} IS NOT NULL THEN ${flag('applying')} END = 0`
  return markStatement(
    shape,
    number,
    `${keyOfRow(shape, 'd')}, ${time} FROM ${fallbackRow(plan.names, indexIsThere(source, plan.index))}` +
      ` CROSS JOIN ${table} AS d WHERE ${place.outer} = ${found}${keyIsWhole(shape, 'd')} AND ${applying}`,
  )
}

/** How a row is found again: by its number where it has one, else by its key. */
function placeOf(shape: Shape): { readonly inner: string; readonly outer: string; readonly any: string } {
  const rowid = shape.rowidAlias ? quoteName(shape.key[0]?.name ?? '') : shape.hiddenRowid
  if (rowid !== null) return { inner: rowid, outer: `d.${rowid}`, any: rowid }
  const inner = shape.key.map((key) => quoteName(key.name)).join(', ')
  const outer = shape.key.map(
    (key) => `d.${quoteName(key.name)}${collateUnless(key.collation, shape.columns[key.at]?.collation)}`,
  )
  return {
    inner,
    outer: outer.length === 1 ? (outer[0] ?? '') : `(${outer.join(', ')})`,
    any: quoteName(shape.key[0]?.name ?? ''),
  }
}

/** A row of NULLs called `new` in which names are found that the table no longer has. */
function fallbackRow(columns: readonly string[], condition: string | null): string {
  const nulls = ['_tidemark_none', ...columns].map((name) => `NULL AS ${quoteName(name)}`).join(', ')
  return `(SELECT ${nulls}${condition === null ? '' : ` WHERE ${condition}`}) AS new`
}

/** By its place first, since the schema table of 2,000 tables is long. `HINT` finds the place again. */
function indexIsThere(source: TriggerSource, index: ShapeIndex): string | null {
  if (index.constraint) return null
  const name = quoteText(index.name)
  const row = source.indexRows.get(index.name) ?? 0
  return (
    `EXISTS (SELECT 1 FROM sqlite_master WHERE rowid = ${row} AND name = ${name} AND type = 'index')` +
    ` OR EXISTS (SELECT 1 FROM sqlite_master WHERE name = ${name} AND type = 'index')`
  )
}

/** Matches what `indexIsThere` knows of places in the schema table: it may go out of date without harm. */
export const HINT = /(?<=FROM sqlite_master WHERE rowid = )\d+(?= AND name = )/g

function newTerm(source: TriggerSource, term: PlannedTerm): string {
  if (term.probe === null) return newValue(term, `(SELECT new.${quoteName(term.column ?? '')})`)
  const probe = quoteName(probeTable(source.number))
  const guarded = term.guard === null ? term.probe : `CASE WHEN ${term.guard} THEN ${term.probe} END`
  return `(SELECT ${guarded} FROM ${probe})`
}

const newValue = (term: PlannedTerm, value: string): string => filled(term.fill, value)

const filled = (fill: string | null, value: string): string =>
  fill === null ? value : `ifnull(${value}, (${fill}))`

function fillProbe(source: TriggerSource, columns: readonly string[]): string {
  const probe = quoteName(probeTable(source.number))
  const names = columns.map(quoteName)
  const values = columns.map((name) =>
    filled(fillOf(source.shape, name).text, `(SELECT new.${quoteName(name)})`),
  )
  return (
    `INSERT INTO ${probe} ("_tidemark_one", ${names.join(', ')})` +
    ` SELECT 1, ${values.join(', ')} FROM ${fallbackRow(columns, null)} WHERE 1` +
    ` ON CONFLICT ("_tidemark_one") DO UPDATE SET ${names.map((name) => `${name} = excluded.${name}`).join(', ')};`
  )
}

/** Says that rows may have been displaced which no trigger can name. */
function askForSweep(source: TriggerSource, condition: string): string {
  const flag = `(SELECT "applying" FROM ${quoteName(FLAG_TABLE)} WHERE "id" = 1) = 0`
  return (
    `UPDATE ${quoteName(TABLES_TABLE)} SET "sweep" = 1` +
    ` WHERE "number" = ${source.number} AND "sweep" = 0 AND ${flag}${condition};`
  )
}

/** When a planned search may miss a row; null: never. */
function sweepCondition(source: TriggerSource, plan: IndexPlan): string | null {
  const probe = quoteName(probeTable(source.number))
  const json = plan.json.map(
    (name) => `(${quoteName(name)} IS NOT NULL AND json_valid(${quoteName(name)}) = 0)`,
  )
  const conditions = json.length === 0 ? [] : [`EXISTS (SELECT 1 FROM ${probe} WHERE ${json.join(' OR ')})`]
  if (plan.chance.length > 0) {
    const unknown = plan.chance.map((name) => {
      const value = `(SELECT new.${quoteName(name)})`
      return isRowNumber(source.shape, name) ? `${value} = -1` : `${value} IS NULL`
    })
    conditions.push(`EXISTS (SELECT 1 FROM ${fallbackRow(plan.chance, null)} WHERE ${unknown.join(' OR ')})`)
  }
  return conditions.length === 0 ? null : `(${conditions.join(' OR ')})`
}
