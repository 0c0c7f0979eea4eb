import { quoteName, tryStatement, type Connection } from '../driver/driver.ts'
import type { Shape } from '../shape/shape.ts'
import type { Installed } from './installed.ts'
import { markTableSql } from './marks.ts'
import { keyColumn, markTable, probeTable } from './names.ts'
import { mayNeedSweep, planIndexes, probedColumns, probeTableColumns } from './plan.ts'
import type { TriggerText } from './source.ts'
import { captureTriggers } from './triggers.ts'

/** What should stand in the file for one table, as SQLite keeps the text. */
export interface ExpectedObjects {
  readonly tables: readonly ExpectedTable[]
  /** Tables of ours that this shape has no use for. */
  readonly unwanted: readonly string[]
  readonly triggers: readonly TriggerText[]
  /** Rows may be displaced without a mark (`TABLES_TABLE`). */
  readonly sweep: boolean
}

export interface ExpectedTable {
  readonly name: string
  readonly sql: string
  /** Columns whose rows a rebuilt table keeps; null: none. */
  readonly keep: readonly string[] | null
}

export function expectedObjects(
  connection: Connection,
  installed: Installed,
  shape: Shape,
  number: number,
  clock: string,
): ExpectedObjects {
  const unusable = findUnusable(connection, shape)
  const plans = planIndexes(shape, unusable)
  const probed = probedColumns(plans)
  const probe = probeTable(number)
  const columns = ['"_tidemark_one" INTEGER PRIMARY KEY', ...probeTableColumns(shape, probed)]
  const keep = [...shape.key.map((_, index) => keyColumn(index)), 'at']
  const marks = { name: markTable(number), sql: markTableSql(shape, number), keep }
  const probes = { name: probe, sql: `CREATE TABLE ${quoteName(probe)} (${columns.join(', ')})`, keep: null }
  return {
    tables: probed.length === 0 ? [marks] : [marks, probes],
    unwanted: probed.length === 0 ? [probe] : [],
    triggers: captureTriggers({
      shape,
      number,
      clock,
      unusable,
      indexRows: installed.indexRows,
    }),
    sweep: mayNeedSweep(plans),
  }
}

/**
 * A search that its index does not serve would read the whole table for every row inserted. `INDEXED BY` says
 * whether it does, whatever the statistics of the moment.
 */
function findUnusable(connection: Connection, shape: Shape): ReadonlySet<string> {
  const unusable = new Set<string>()
  for (const plan of planIndexes(shape, unusable)) {
    if (plan.kind === 'sweep') continue
    const equal = plan.terms.map((term) => `${term.left} = ?`).join(' AND ')
    const where = plan.where === null ? '' : ` AND (${plan.where})`
    const from = `${quoteName(shape.name)} INDEXED BY ${quoteName(plan.index.name)}`
    try {
      tryStatement(connection, `SELECT 1 FROM ${from} WHERE ${equal}${where}`)
    } catch {
      unusable.add(plan.index.name)
    }
  }
  return unusable
}
