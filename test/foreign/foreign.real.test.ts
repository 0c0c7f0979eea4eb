import { statSync } from 'node:fs'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { compareFiles } from '../../src/daemon/compare.ts'
import { seededRandom } from '../../src/kernel/random.ts'
import { openMachine, type Machine } from '../command-line.ts'
import { edit, editOne, firstKeys, readEditables, type Edited } from './edits.ts'
import { fetchForeignFile, FOREIGN_FILES } from './foreign-files.ts'

/** Databases that others made, put under sync by the commands a person has: what every user's file is to us. */

interface Plan {
  readonly tables: readonly { readonly name: string; readonly rows: number; readonly nullKeys: number }[]
  readonly refused: readonly { readonly table: string; readonly reason: string }[]
}

const STATEMENTS = 400
const MAX_ROUNDS = 10

function open(file: string): Database.Database {
  const db = new Database(file)
  db.pragma('foreign_keys = ON')
  return db
}

function portrait(file: string): unknown {
  const db = open(file)
  try {
    return {
      schema: db.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2').raw().all(),
      journal: db.pragma('journal_mode', { simple: true }),
      version: db.pragma('user_version', { simple: true }),
    }
  } finally {
    db.close()
  }
}

const checkOf = (file: string): unknown => {
  const db = open(file)
  try {
    return db.pragma('integrity_check', { simple: true })
  } finally {
    db.close()
  }
}

async function settle(machine: Machine): Promise<number> {
  for (let round = 1; round <= MAX_ROUNDS; round++) {
    const { files } = (await machine.ask('sync', 'now')) as {
      readonly files: readonly { readonly result: { readonly pushed: number; readonly pulled: number } }[]
    }
    if (files.every(({ result }) => result.pushed === 0 && result.pulled === 0)) return round
  }
  throw new Error(`still something to do after ${MAX_ROUNDS} rounds`)
}

const countsOf = async (machine: Machine, file: string): Promise<{ readonly [count: string]: unknown }> => {
  const { files } = (await machine.ask('sync', 'status', file)) as {
    readonly files: readonly { readonly counts: { readonly [count: string]: unknown } }[]
  }
  return files[0]?.counts ?? {}
}

test.each(FOREIGN_FILES)(
  'I2: $name ($package): attach, clone, edit both, offline too, equal',
  async (foreign) => {
    await using machine = await openMachine()
    const file = join(machine.folder, `${foreign.name}.db`)
    const copy = join(machine.folder, 'copy.db')
    fetchForeignFile(foreign, file)
    const before = portrait(file)
    const bytes = statSync(file).size
    const cloud = await machine.serve()
    await machine.ask('config', 'set', 'endpoint', cloud.url)
    const { plan } = (await machine.ask('attach', file, '--space', foreign.name, '--yes')) as {
      readonly plan: Plan
    }
    await machine.ask('clone', foreign.name, copy)

    // Rows with NULL in the key cannot be synced, and nothing else is left out.
    const tables = plan.tables.filter(({ nullKeys }) => nullKeys === 0).map(({ name }) => name)
    const [one, other] = [open(file), open(copy)]
    const editables = readEditables(one, tables)
    /** The copy has none of the triggers: rows that those of the first file refuse are parked there (I2). */
    const expectEqual = async (): Promise<void> => {
      const differing = compareFiles(file, copy, editables).reduce((sum, table) => sum + table.differing, 0)
      const { parked } = await countsOf(machine, file)
      expect(differing).toBe(parked)
      if (!foreign.triggers) expect(parked).toBe(0)
      expect(await countsOf(machine, copy)).toMatchObject({ parked: 0 })
    }
    const rows = plan.tables.reduce((sum, table) => sum + table.rows, 0)
    expect(rows).toBeGreaterThan(10_000)
    await expectEqual()
    expect(await countsOf(machine, file)).toMatchObject({ pending: {}, quarantined: 0, openConflicts: 0 })

    const sides = [
      { db: one, random: seededRandom(1), parity: 0, tag: 'here' },
      { db: other, random: seededRandom(2), parity: 1, tag: 'there' },
    ] as const
    const online = sides.map((side) => edit(side, editables, STATEMENTS))
    const onlineRounds = await settle(machine)
    await expectEqual()

    await cloud.close()
    const offline = sides.map((side) => edit(side, editables, STATEMENTS))
    // Both change the same values: one stands in both files, the other is in an inbox (I7).
    const met = meet(one, other, editables)
    expect((await machine.tidemark('sync', 'now')).code).toBe(3)
    await machine.serve(cloud.port)
    const offlineRounds = await settle(machine)
    await expectEqual()
    const counts = [await countsOf(machine, file), await countsOf(machine, copy)]
    for (const count of counts) expect(count).toMatchObject({ pending: {}, quarantined: 0, held: 0 })
    const conflicts = counts.reduce((sum, count) => sum + Number(count['openConflicts']), 0)
    expect(conflicts).toBeGreaterThanOrEqual(met)
    expect(met).toBeGreaterThan(0)

    one.close()
    other.close()
    expect([checkOf(file), checkOf(copy)]).toEqual(['ok', 'ok'])
    await machine.ask('detach', file, '--yes')
    expect(portrait(file)).toEqual(before)
    process.stdout.write(
      `${JSON.stringify({
        database: foreign.name,
        package: foreign.package,
        bytes,
        tables: plan.tables.length,
        rows,
        withoutKey: plan.tables.reduce((sum, table) => sum + table.nullKeys, 0),
        refused: plan.refused.map(({ table, reason }) => `${table}: ${reason}`),
        edits: sum([...online, ...offline]),
        rounds: [onlineRounds, offlineRounds],
        met,
        parked: counts[0]?.['parked'],
        conflicts,
      })}\n`,
    )
  },
)

/** The same text column of the same rows on both sides; answers how many did change on both. */
function meet(
  one: Database.Database,
  other: Database.Database,
  editables: ReturnType<typeof readEditables>,
): number {
  let met = 0
  for (const table of editables) {
    const column = table.columns.find(({ isNumber }) => !isNumber)
    if (column === undefined) continue
    for (const key of firstKeys(one, table, 3)) {
      try {
        const here = editOne(one, table, key, column.name, `met here ${met}`)
        const there = editOne(other, table, key, column.name, `met there ${met}`)
        if (here === 1 && there === 1) met++
      } catch {
        // A rule of the database; another table will do.
      }
    }
  }
  return met
}

function sum(all: readonly Edited[]): Edited {
  const total = { updated: 0, deleted: 0, inserted: 0, refused: 0 }
  for (const name of Object.keys(total) as (keyof Edited)[])
    total[name] = all.reduce((count, edited) => count + edited[name], 0)
  return total
}
