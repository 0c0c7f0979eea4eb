import { expect, test } from 'vitest'

import { betterSqlite3 } from '../../src/stores/sqlite/driver/better-sqlite3.ts'
import { nodeSqlite } from '../../src/stores/sqlite/driver/node-sqlite.ts'
import { livePair, type PairTally } from './pair/life.ts'

/** The drivers are told apart by the store's contract already: a third is enough for one. More with `TIDEMARK_PAIR_CASES`; others with `TIDEMARK_PAIR_SEED`. */
const CASES = Number(process.env['TIDEMARK_PAIR_CASES'] ?? 150)
const SEED = Number(process.env['TIDEMARK_PAIR_SEED'] ?? 1)
/** A case takes some hundredths of a second, on a busy machine a few tenths. */
const TIMEOUT_MS = 60_000 + CASES * 500

for (const [driver, cases] of [
  [betterSqlite3, CASES],
  [nodeSqlite, Math.ceil(CASES / 3)],
] as const) {
  test(
    `I1, I2: two files with a random schema end equal, whole, and with nothing lost (${driver.name})`,
    async () => {
      const tally: PairTally = { edits: 0, parked: 0, quarantined: 0, notes: {}, rows: 0 }
      for (let seed = SEED; seed < SEED + cases; seed++) {
        const fault = await livePair(seed, driver, tally)
        if (fault !== null) expect.fail(`seed ${seed}: ${fault.what}\n${fault.story}`)
      }
      // A fuzzer whose edits are all refused, or never meet, would see nothing.
      expect(tally.rows).toBeGreaterThan(cases)
      if (process.env['TIDEMARK_PAIR_CASES'] !== undefined) process.stdout.write(`${JSON.stringify(tally)}\n`)
    },
    TIMEOUT_MS,
  )
}
