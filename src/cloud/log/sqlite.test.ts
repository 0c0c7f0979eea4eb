import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Clock } from '../../kernel/clock.ts'
import { logContract } from '../../testing/log-contract.ts'
import type { LogHarness } from '../../testing/log-contract/harness.ts'
import type { Log } from './log.ts'
import { openSqliteLog } from './sqlite.ts'

async function openFile(now: number): Promise<LogHarness> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-log-'))
  const file = join(folder, 'cloud.db')
  let time = now
  const clock: Clock = { now: () => time, after: () => () => {} }
  let log = await openSqliteLog({ file, clock })
  const copies: Log[] = []
  return {
    get log() {
      return log
    },
    time: { now: () => time, advance: (ms) => void (time += ms) },
    async restart() {
      await log[Symbol.asyncDispose]()
      return (log = await openSqliteLog({ file, clock }))
    },
    async save() {
      const saved = join(folder, `saved-${copies.length}.db`)
      for (const end of ['', '-wal']) if (existsSync(file + end)) copyFileSync(file + end, saved + end)
      return async () => {
        const copy = join(folder, `copy-${copies.length}.db`)
        for (const end of ['', '-wal']) if (existsSync(saved + end)) copyFileSync(saved + end, copy + end)
        const opened = await openSqliteLog({ file: copy, clock })
        copies.push(opened)
        return opened
      }
    },
    async [Symbol.asyncDispose]() {
      for (const opened of [log, ...copies]) await opened[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true })
    },
  }
}

logContract('sqlite', openFile)
