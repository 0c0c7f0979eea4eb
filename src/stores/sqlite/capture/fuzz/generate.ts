import { seededRandom } from '../../../../kernel/random.ts'
import type { FuzzCase, FuzzStep } from './case.ts'
import { Chance } from './chance.ts'
import { pickPalette } from './literals.ts'
import { makeSchema } from './schema.ts'
import { insertStatement, schemaSteps, writeStatement } from './statements.ts'

/** The same case for the same seed. */
export function generateCase(seed: number): FuzzCase {
  const chance = new Chance(seededRandom(seed))
  chance.palette = chance.is(80) ? pickPalette(chance) : []
  chance.focused = chance.is(50)
  const schema = makeSchema(chance)
  const legacy = chance.is(15)
  // Parents first, a few times over: many a row is refused, and a child without a parent shows no cascade.
  const order = chance.focused
    ? Array.from({ length: 12 }, () => chance.pick(schema.tables))
    : Array.from({ length: chance.int(1, 3) }, () => schema.tables.flatMap((table) => [table, table])).flat()
  const rows = order.map((table) => insertStatement(chance, schema, table))
  const setup = [...schema.statements, ...rows]
  const steps: FuzzStep[] = []
  const schemaChanges = chance.pick([0, 0, 1, 2])
  const count = chance.int(6, 22)
  for (let at = 0; at < count; at++) {
    if (chance.is(Math.round((100 * schemaChanges) / count))) {
      // A failed COMMIT leaves the transaction open; with both, none is open.
      for (const sql of ['COMMIT', 'ROLLBACK']) steps.push({ kind: 'transaction', sql })
      steps.push(...schemaSteps(chance, schema, at, legacy))
      if (chance.is(60)) steps.push({ kind: 'repair', sql: '' })
    } else if (chance.is(18)) {
      const sql = chance.pick([
        'BEGIN',
        'BEGIN',
        'COMMIT',
        'ROLLBACK',
        'SAVEPOINT s',
        'SAVEPOINT s',
        'ROLLBACK TO s',
        'ROLLBACK TO s',
        'RELEASE s',
      ])
      steps.push({ kind: 'transaction', sql })
    } else if (chance.is(3)) {
      steps.push({ kind: 'write', sql: `PRAGMA recursive_triggers = ${chance.int(0, 1)}` })
    } else {
      steps.push({ kind: 'write', sql: writeStatement(chance, schema) })
    }
  }
  const pragmas = [
    `PRAGMA foreign_keys = ${chance.pick([0, 1, 1, 1])}`,
    `PRAGMA recursive_triggers = ${chance.int(0, 1)}`,
    ...(chance.is(10) ? ['PRAGMA ignore_check_constraints = 1'] : []),
    ...(legacy ? ['PRAGMA legacy_alter_table = 1'] : []),
  ]
  return { seed, pragmas, setup, steps }
}
