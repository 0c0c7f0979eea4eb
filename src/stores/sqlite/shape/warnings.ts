import type { Shape, TableWarning } from './shape.ts'
import type { TriggerEffect } from './trigger-effects.ts'

/**
 * Columns that look like references to a table with integer keys but are not declared as such. When two
 * replicas choose the same number, one row moves to a fresh one, and only declared references follow it.
 */
export function findUndeclaredReferences(shapes: ReadonlyMap<string, Shape>): readonly TableWarning[] {
  const numbered = new Map<string, string>()
  for (const shape of shapes.values())
    if (shape.rowidAlias) numbered.set(shape.name.toLowerCase(), shape.name)
  const warnings: TableWarning[] = []
  for (const shape of shapes.values()) {
    const declared = new Set(
      shape.foreignKeys.flatMap((foreignKey) => foreignKey.columns.map((name) => name.toLowerCase())),
    )
    for (const column of shape.columns) {
      if (declared.has(column.name.toLowerCase()) || column.generated !== null) continue
      const target = referredTable(column.name, numbered)
      if (target === null) continue
      const warning = `${column.name} looks like a reference to ${target} but is not declared as a foreign key: it will not follow a row that gets a new number`
      warnings.push({ table: shape.name, warning })
    }
  }
  return warnings
}

function referredTable(column: string, numbered: ReadonlyMap<string, string>): string | null {
  const stem = /^(.+?)(?:_id|_ID|Id|ID)$/.exec(column)?.[1]?.toLowerCase()
  if (stem === undefined) return null
  const plurals = [stem, `${stem}s`, `${stem}es`, stem.replace(/y$/, 'ies')]
  const name = plurals.find((plural) => numbered.has(plural))
  return name === undefined ? null : (numbered.get(name) ?? null)
}

/**
 * Triggers that write synced tables and others both, and whose statements cannot be told apart. They do not run for
 * rows from elsewhere, or a counter would count twice; so what they feed beside, such as a full-text index, misses
 * these rows, which nobody would guess.
 */
export function findMixedTriggers(
  effects: readonly TriggerEffect[],
  synced: ReadonlySet<string>,
): readonly TableWarning[] {
  return effects
    .filter(({ kind, standIn }) => kind === 'mixed' && standIn?.isRest !== true)
    .map(({ name, table, writes, writesVirtual }) => {
      const inside = writes.filter((written) => synced.has(written))
      const outside = [
        ...writes.filter((written) => !synced.has(written)),
        ...(writesVirtual ? ['a full-text index or another virtual table'] : []),
      ]
      const warning = `the trigger ${name} writes synced tables (${inside.join(', ')}) and others (${outside.join(', ')}), and what it does for the others may depend on what it does before: it does not run for rows that come from elsewhere, so the others miss them; make two triggers of it`
      return { table, warning }
    })
}
