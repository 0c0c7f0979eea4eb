import type { Shape } from '../../shape/shape.ts'
import type { FuzzStep } from './case.ts'
import { changedKeys, type Moment } from './check.ts'

/** What the fuzzer has to meet, each of it in statements that SQLite did not refuse. */
export const FEATURES = [
  'insert', 'update', 'delete', 'upsert: update', 'upsert: nothing',
  'OR REPLACE', 'OR IGNORE', 'OR ABORT', 'OR FAIL', 'OR ROLLBACK', 'ON CONFLICT in the schema',
  'displaced, UNIQUE constraint', 'displaced, plain index', 'displaced, partial index', 'displaced, expression index',
  'displaced, index of another collation', 'displaced, by the row number', 'displaced, by an update',
  'key changed', 'row number changed', 'several rows changed', 'savepoint rolled back', 'transaction rolled back',
  'WITHOUT ROWID', 'STRICT', 'composite key', 'integer key chosen by SQLite', 'AUTOINCREMENT',
  'key of several types', 'NOCASE or RTRIM key', 'NULL in a key', 'generated column', 'cascade', 'own trigger',
  'written through a view', 'ADD COLUMN', 'RENAME COLUMN', 'DROP COLUMN', 'RENAME TO', 'table rebuilt', 'table made again',
  'index added', 'index dropped', 'trigger added', 'VACUUM', 'recursive_triggers', 'foreign_keys', 'odd name',
] as const // prettier-ignore
export type Feature = (typeof FEATURES)[number]

export interface Met {
  readonly step: FuzzStep
  readonly setup: readonly string[]
  readonly pragmas: readonly string[]
  readonly shapes: ReadonlyMap<string, Shape>
  readonly before: Moment
  readonly now: Moment
}

/** What a step that was done has exercised. */
export function featuresOf(met: Met): ReadonlySet<Feature> {
  const { step } = met
  if (step.kind === 'schema') return new Set(schemaFeatures(step.sql))
  if (step.kind === 'transaction') {
    if (!hasChanged(met)) return new Set()
    return new Set(step.sql === 'ROLLBACK TO s' ? ['savepoint rolled back'] : step.sql === 'ROLLBACK' ? ['transaction rolled back'] : []) // prettier-ignore
  }
  return step.kind === 'write' && hasChanged(met) ? new Set(writeFeatures(met)) : new Set()
}

function schemaFeatures(sql: string): readonly Feature[] {
  const kinds: readonly (readonly [RegExp, Feature])[] = [
    [/^ALTER TABLE .* ADD COLUMN /, 'ADD COLUMN'],
    [/^ALTER TABLE .* RENAME COLUMN /, 'RENAME COLUMN'],
    [/^ALTER TABLE .* DROP COLUMN /, 'DROP COLUMN'],
    [/^ALTER TABLE .* RENAME TO /, 'RENAME TO'],
    [/^BEGIN; CREATE TABLE /, 'table rebuilt'],
    [/^DROP TABLE /, 'table made again'],
    [/^CREATE UNIQUE INDEX /, 'index added'],
    [/^DROP INDEX /, 'index dropped'],
    [/^CREATE TRIGGER /, 'trigger added'],
    [/^VACUUM/, 'VACUUM'],
  ]
  return kinds.filter(([pattern]) => pattern.test(sql)).map(([, feature]) => feature)
}

/** Table → its changed keys. */
const changesOf = ({
  shapes,
  before,
  now,
}: Met): ReadonlyMap<string, ReadonlyMap<string, 'gone' | 'other'>> =>
  new Map(
    [...shapes].flatMap(([name, shape]) => {
      const [old, is] = [before.tables.get(name), now.tables.get(name)]
      return old === undefined || is === undefined || old.columns.join() !== is.columns.join()
        ? []
        : [[name, changedKeys(old, is, shape)]]
    }),
  )

const hasChanged = (met: Met): boolean => [...changesOf(met).values()].some((keys) => keys.size > 0)

function writeFeatures(met: Met): readonly Feature[] {
  const { sql } = met.step
  const changed = changesOf(met)
  const target = /^(?:INSERT|UPDATE|DELETE)(?: OR \w+)?(?: INTO| FROM)? "((?:[^"]|"")*)"/.exec(sql)?.[1]
  const name = (target ?? '').replaceAll('""', '"')
  const shape = met.shapes.get(name)
  const own = changed.get(name) ?? new Map<string, 'gone' | 'other'>()
  const isReplacing = / OR REPLACE | ON CONFLICT REPLACE/.test(sql + (shape?.sql ?? ''))
  const gone = [...own.values()].filter((how) => how === 'gone').length
  const setsKey = shape?.key.some((key) => sql.includes(`"${key.name.replaceAll('"', '""')}" = `)) === true
  const others = [...changed].filter(([table, keys]) => table !== name && keys.size > 0)
  const words: readonly (readonly [boolean, Feature])[] = [
    [sql.startsWith('INSERT'), 'insert'],
    [sql.startsWith('UPDATE'), 'update'],
    [sql.startsWith('DELETE'), 'delete'],
    [/ ON CONFLICT .*DO UPDATE/.test(sql), 'upsert: update'],
    [/ ON CONFLICT .*DO NOTHING/.test(sql), 'upsert: nothing'],
    ...(['REPLACE', 'IGNORE', 'ABORT', 'FAIL', 'ROLLBACK'] as const).map(
      (word) => [sql.includes(` OR ${word} `), `OR ${word}`] as const,
    ),
    [sql.startsWith('UPDATE') && setsKey && gone > 0, 'key changed'],
    [/ SET .*\b(?:rowid|_rowid_|oid) = /.test(sql), 'row number changed'],
    [own.size > 1, 'several rows changed'],
    [others.length > 0 && met.pragmas.includes('PRAGMA foreign_keys = 1') && met.setup.some((text) => text.includes(' CASCADE')), 'cascade'],
    [met.setup.some((text) => text.startsWith('CREATE TRIGGER') && text.includes(` ON "${target}"`)), 'own trigger'],
    [shape === undefined && /^(?:INSERT INTO|UPDATE|DELETE FROM) "view /.test(sql), 'written through a view'],
    [met.pragmas.includes('PRAGMA recursive_triggers = 1'), 'recursive_triggers'],
    [met.pragmas.includes('PRAGMA foreign_keys = 1'), 'foreign_keys'],
    [/[^A-Za-z_]/.test(name), 'odd name'],
  ] // prettier-ignore
  const isDisplacing = isReplacing && gone > 0 && (sql.startsWith('INSERT') || !setsKey)
  return [
    ...words.filter(([holds]) => holds).map(([, feature]) => feature),
    ...(shape === undefined ? [] : shapeFeatures(met, shape)),
    ...(shape === undefined || !isDisplacing ? [] : displacements(shape, sql)),
  ]
}

function shapeFeatures({ now }: Met, shape: Shape): readonly Feature[] {
  const rows = now.tables.get(shape.name)
  const places = shape.key.map((key) => rows?.columns.indexOf(key.name) ?? -1)
  const cells = (rows?.lines ?? []).map((line) => places.map((at) => line.split('|')[at] ?? ''))
  const types = new Set(cells.map((row) => (row[0] ?? '').split(':')[0]))
  const kinds: readonly (readonly [boolean, Feature])[] = [
    [shape.withoutRowid, 'WITHOUT ROWID'],
    [shape.strict, 'STRICT'],
    [shape.key.length > 1, 'composite key'],
    [shape.rowidAlias, 'integer key chosen by SQLite'],
    [shape.autoincrement, 'AUTOINCREMENT'],
    [types.size > 1, 'key of several types'],
    [shape.key.some((key) => key.collation !== 'BINARY'), 'NOCASE or RTRIM key'],
    [cells.some((row) => row.some((cell) => cell.startsWith('null:'))), 'NULL in a key'],
    [shape.columns.some((column) => column.generated !== null), 'generated column'],
    [/ ON CONFLICT /.test(shape.sql), 'ON CONFLICT in the schema'],
  ]
  return kinds.filter(([holds]) => holds).map(([, feature]) => feature)
}

/** Rows were displaced from a table with such indexes; by which of them is not told. */
function displacements(shape: Shape, sql: string): readonly Feature[] {
  const has = (test: (index: Shape['unique'][number]) => boolean): boolean => shape.unique.some(test)
  const kinds: readonly (readonly [boolean, Feature])[] = [
    [has((index) => index.constraint), 'displaced, UNIQUE constraint'],
    [has((index) => !index.constraint && index.where === null), 'displaced, plain index'],
    [has((index) => index.where !== null), 'displaced, partial index'],
    [has((index) => index.terms.some((term) => term.expression !== null)), 'displaced, expression index'],
    [has((index) => index.terms.some((term) => shape.columns.some((column) => column.name === term.column && column.collation !== term.collation))), 'displaced, index of another collation'],
    [shape.hiddenRowid !== null && /\b(?:rowid|_rowid_|oid)\b/.test(sql), 'displaced, by the row number'],
    [sql.startsWith('UPDATE'), 'displaced, by an update'],
  ] // prettier-ignore
  return kinds.filter(([holds]) => holds).map(([, feature]) => feature)
}
