import { expect, it } from 'vitest'

import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { generateCase } from './fuzz/generate.ts'
import { newTally, runCase } from './fuzz/run.ts'
import { caseText, shrinkCase } from './fuzz/shrink.ts'

/** More with `TIDEMARK_FUZZ_CASES`; others with `TIDEMARK_FUZZ_SEED`. */
const CASES = Number(process.env['TIDEMARK_FUZZ_CASES'] ?? 150)
const SEED = Number(process.env['TIDEMARK_FUZZ_SEED'] ?? 1)

for (const driver of [betterSqlite3, nodeSqlite]) {
  it(`I1: random statements leave a mark on every row they change, and nothing else (${driver.name})`, () => {
    const tally = newTally()
    for (let seed = SEED; seed < SEED + CASES; seed++) {
      const fuzzCase = generateCase(seed)
      const failure = runCase(driver, fuzzCase, tally)
      if (failure === null) continue
      const run = (smaller: typeof fuzzCase) => runCase(driver, smaller, newTally())
      const smallest = shrinkCase(fuzzCase, run)
      expect.fail(`${failure.kind} in seed ${seed}\n${caseText(smallest, run(smallest))}`)
    }
    // A fuzzer whose statements are all refused, or change nothing, would see nothing.
    expect(tally.writes - tally.refusedWrites).toBeGreaterThan(CASES)
    expect(tally.changedRows).toBeGreaterThan(CASES)
  })
}
