import { expect, it } from 'vitest'

import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { generateCase } from './fuzz/generate.ts'
import { FEATURES } from './fuzz/features.ts'
import { newTally, runCase, type Tally } from './fuzz/run.ts'
import { caseText, shrinkCase } from './fuzz/shrink.ts'

/** More with `TIDEMARK_FUZZ_CASES`; others with `TIDEMARK_FUZZ_SEED`. */
const CASES = Number(process.env['TIDEMARK_FUZZ_CASES'] ?? 150)
const SEED = Number(process.env['TIDEMARK_FUZZ_SEED'] ?? 1)
/** A case takes some hundredths of a second, on a busy machine a few tenths. */
const TIMEOUT_MS = 60_000 + CASES * 500

const report = (tally: Tally): string =>
  [
    `${CASES} cases, ${tally.writes} writes, ${tally.refusedWrites} refused, ${tally.changedRows} marks, ${tally.sweeps} sweeps, ${tally.repairs} repairs, ${tally.excused} found broken, ${tally.known} known`,
    ...FEATURES.map((feature) => `${String(tally.features.get(feature) ?? 0).padStart(8)} ${feature}`),
  ].join('\n') + '\n'

for (const driver of [betterSqlite3, nodeSqlite]) {
  it(
    `I1: random statements leave a mark on every row they change, and nothing else (${driver.name})`,
    () => {
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
      if (CASES >= 100) expect(FEATURES.filter((feature) => !tally.features.has(feature))).toEqual([])
      if (process.env['TIDEMARK_FUZZ_CASES'] !== undefined) process.stdout.write(report(tally))
    },
    TIMEOUT_MS,
  )
}
