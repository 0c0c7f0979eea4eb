import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { generateCase } from './fuzz/generate.ts'
import { newTally } from './fuzz/run.ts'
import { runCaseInShell } from './fuzz/shell.ts'
import { caseText } from './fuzz/shrink.ts'

const CASES = Number(process.env['TIDEMARK_FUZZ_CASES'] ?? 100)
const SEED = Number(process.env['TIDEMARK_FUZZ_SEED'] ?? 1)
const PROGRAM = process.env['TIDEMARK_SQLITE3'] ?? 'sqlite3'

it('I1: an older SQLite of another program leaves a mark on every row it changes', (context) => {
  const version = spawnSync(PROGRAM, ['--version'], { encoding: 'utf8' })
  if (version.status !== 0) return context.skip(`there is no ${PROGRAM} here`)
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-fuzz-'))
  const tally = newTally()
  try {
    for (let seed = SEED; seed < SEED + CASES; seed++) {
      const fuzzCase = generateCase(seed)
      const failure = runCaseInShell(PROGRAM, betterSqlite3, folder, fuzzCase, tally)
      if (failure !== null) expect.fail(`${failure.kind} in seed ${seed}\n${caseText(fuzzCase, failure)}`)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  expect(tally.changedRows).toBeGreaterThan(0)
})
