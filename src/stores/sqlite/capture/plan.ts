import { quoteName } from '../driver/driver.ts'
import { readExpression, type Danger } from '../shape/expression.ts'
import type { IndexTerm, Shape, ShapeColumn, ShapeIndex } from '../shape/shape.ts'
import { tokenize } from '../shape/tokens.ts'

/** How the rows that one unique index would displace are found. */
export interface IndexPlan {
  readonly index: ShapeIndex
  /**
   * - `fixed`: by plain columns of a UNIQUE constraint.
   * - `loose`: by an index that may be dropped, or by computed values.
   * - `sweep`: not by a trigger: something in it may fail on some value, or is not there on every connection.
   */
  readonly kind: 'fixed' | 'loose' | 'sweep'
  readonly terms: readonly PlannedTerm[]
  readonly where: string | null
  /** Plain columns on which it depends. */
  readonly columns: readonly string[]
  /** Every column it names, generated ones too. */
  readonly names: readonly string[]
  /** Columns that must hold valid JSON for the search to be complete. */
  readonly json: readonly string[]
  /**
   * Columns in which OR REPLACE turns NULL into something that cannot be told before, and the row number, which is −1
   * in NEW until SQLite has chosen it.
   */
  readonly chance: readonly string[]
}

export interface PlannedTerm {
  /** The plain column; null for what is computed. */
  readonly column: string | null
  /** What the index holds, with its collation. */
  readonly left: string
  /** What is read from the probe table; null for plain columns. */
  readonly probe: string | null
  /** When that can be computed without failing; null: always. */
  readonly guard: string | null
  /** What NULL becomes under OR REPLACE; null: it stays. */
  readonly fill: string | null
}

/** Plans for all unique indexes that can displace a row other than the new row's own. */
export function planIndexes(shape: Shape, unusable: ReadonlySet<string>): readonly IndexPlan[] {
  return shape.unique
    .filter((index) => !holdsKey(shape, index))
    .map((index) => planIndex(shape, index, unusable))
}

/** Rows that are equal in such an index are equal in the key: the mark of the new row is theirs. */
function holdsKey(shape: Shape, index: ShapeIndex): boolean {
  return shape.key.every((key) =>
    index.terms.some(
      (term) => term.column === key.name && (term.collation === key.collation || term.collation === 'BINARY'),
    ),
  )
}

function planIndex(shape: Shape, index: ShapeIndex, unusable: ReadonlySet<string>): IndexPlan {
  const terms = index.terms.map((term) => planTerm(shape, term))
  const where = index.where === null ? null : expressionOf(shape, index.where)
  const dangers = [...terms.map((term) => term.danger), ...(where === null ? [] : [where.danger])]
  const computed = terms.some((term) => term.probe !== null)
  // Rows outside the condition need not hold valid JSON, and SQLite may come to them through another index.
  const stray = index.where !== null && terms.some((term) => term.danger.kind === 'json')
  const sweep = unusable.has(index.name) || stray || dangers.some((danger) => danger.kind === 'some')
  const named = [...terms.flatMap((term) => term.names), ...(where?.columns ?? [])]
  const columns = [...new Set(named.flatMap((name) => basesOf(shape, name)))]
  return {
    index,
    kind: sweep ? 'sweep' : index.constraint && !computed ? 'fixed' : 'loose',
    terms,
    where: index.where,
    columns,
    names: [...new Set([...named, ...columns])],
    json: [...new Set(terms.flatMap((term) => (term.danger.kind === 'json' ? term.danger.columns : [])))],
    chance: columns.filter((name) => fillOf(shape, name).chance || isRowNumber(shape, name)),
  }
}

/** The column that is another name of the row's number. */
export const isRowNumber = (shape: Shape, name: string): boolean =>
  shape.rowidAlias && shape.key[0]?.name === name

type DraftTerm = PlannedTerm & { readonly names: readonly string[]; readonly danger: Danger }

function planTerm(shape: Shape, term: IndexTerm): DraftTerm {
  if (term.column === null) return planExpression(shape, term)
  const column = columnOf(shape, term.column)
  const own = column?.collation ?? 'BINARY'
  const left = `${quoteName(term.column)}${collateUnless(term.collation, own)}`
  const danger = firstDanger([
    dangerOfCollations([own, term.collation]),
    dangerOfColumns(shape, [term.column]),
  ])
  const base = { left, guard: null, names: [term.column], danger }
  if (column?.generated != null) return { ...base, column: null, probe: quoteName(term.column), fill: null }
  return { ...base, column: term.column, probe: null, fill: fillOf(shape, term.column).text }
}

function planExpression(shape: Shape, term: IndexTerm): DraftTerm {
  const expression = expressionOf(shape, term.expression ?? '')
  const json = expression.danger.kind === 'json' ? expression.danger.columns : []
  const collations = expression.columns.map((name) => columnOf(shape, name)?.collation ?? 'BINARY')
  return {
    column: null,
    left: `(${expression.text}) COLLATE ${quoteName(term.collation)}`,
    probe: expression.text,
    guard: json.length === 0 ? null : json.map((name) => `json_valid(${quoteName(name)})`).join(' AND '),
    fill: null,
    names: expression.columns,
    danger: firstDanger([
      dangerOfCollations([...collations, term.collation]),
      dangerOfColumns(shape, expression.columns),
      expression.danger,
    ]),
  }
}

const firstDanger = (dangers: readonly Danger[]): Danger =>
  dangers.find((danger) => danger.kind !== 'none') ?? { kind: 'none' }

/** Other connections may lack a collation of the application's, and do without it once the index is gone. */
const dangerOfCollations = (collations: readonly string[]): Danger => ({
  kind: collations.every((name) => BUILT_IN.has(name)) ? 'none' : 'some',
})

const BUILT_IN: ReadonlySet<string> = new Set(['BINARY', 'NOCASE', 'RTRIM'])

/** What OR REPLACE puts in place of NULL in this column; `chance` when that cannot be told before. */
export function fillOf(
  shape: Shape,
  name: string,
): { readonly text: string | null; readonly chance: boolean } {
  const column = columnOf(shape, name)
  if (column?.notNull !== true || column.default === null) return { text: null, chance: false }
  const sure = expressionOf(shape, column.default).danger.kind === 'none'
  return sure ? { text: column.default, chance: false } : { text: null, chance: true }
}

export const collateUnless = (collation: string, own: string | undefined): string =>
  collation === own ? '' : ` COLLATE ${quoteName(collation)}`

/**
 * What SQLite computes for every row it writes cannot fail because of us; but a function that only some
 * connections have must not be named by a trigger that may outlive the column.
 */
function dangerOfColumns(shape: Shape, names: readonly string[]): Danger {
  for (const name of names) {
    const generated = columnOf(shape, name)?.generated
    if (generated == null) continue
    const expression = expressionOf(shape, generated.as)
    if (expression.danger.kind === 'some') return { kind: 'some' }
    const inner = dangerOfColumns(shape, expression.columns)
    if (inner.kind !== 'none') return inner
  }
  return { kind: 'none' }
}

/** The plain columns that a column is made of: itself, or what its expression reads, however deep. */
function basesOf(shape: Shape, name: string): readonly string[] {
  const generated = columnOf(shape, name)?.generated
  if (generated == null) return [name]
  return expressionOf(shape, generated.as).columns.flatMap((inner) => basesOf(shape, inner))
}

/** Some rows may be displaced without a mark. */
export const mayNeedSweep = (plans: readonly IndexPlan[]): boolean =>
  plans.some((plan) => plan.kind === 'sweep' || plan.json.length > 0 || plan.chance.length > 0)

/** Plain columns of the probe table: what the computed terms read. */
export function probedColumns(plans: readonly IndexPlan[]): readonly string[] {
  const probing = plans.filter(
    (plan) => plan.kind === 'loose' && plan.terms.some((term) => term.probe !== null),
  )
  return [...new Set(probing.flatMap((plan) => plan.columns))]
}

/** The probe table has the columns' affinities and collations, and computes the generated ones itself. */
export function probeTableColumns(shape: Shape, probed: readonly string[]): readonly string[] {
  const has = new Set(probed)
  return shape.columns.flatMap((column) => {
    const start = `${quoteName(column.name)} ${column.affinity}${column.collation === 'BINARY' ? '' : ` COLLATE ${quoteName(column.collation)}`}`
    if (column.generated === null) return has.has(column.name) ? [start] : []
    return basesOf(shape, column.name).every((base) => has.has(base))
      ? [`${start} AS (${column.generated.as})`]
      : []
  })
}

const columnOf = (shape: Shape, name: string): ShapeColumn | undefined =>
  shape.columns.find((column) => column.name === name)

const expressionOf = (shape: Shape, text: string): ReturnType<typeof readExpression> =>
  readExpression(
    tokenize(text) ?? [],
    shape.columns.map((column) => column.name),
    shape.name,
  )
