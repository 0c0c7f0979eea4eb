import type Database from 'better-sqlite3'

import type { Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Random } from '../kernel/random.ts'
import { startBatchSync, type BatchSync } from './batch/batch-sync.ts'
import { createEndpointLine } from './batch/request.ts'
import { openBatchRows } from './batch/rows.ts'
import type { EngineSettings } from './hosting/hosted-file.ts'
import type { Records } from './records.ts'

/** The one-way upload of the agents' records, while the endpoint is one that speaks only that. */
export interface Upload extends AsyncDisposable {
  /** Null: none runs. */
  running(): BatchSync | null
  /** How it is to be done now; null: not at all. The same settings change nothing. */
  update(settings: EngineSettings | null): void
}

export function createUpload(options: {
  /** daemon.db */
  readonly database: Database.Database
  readonly records: Records
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly fetch?: typeof globalThis.fetch | undefined
}): Upload {
  const { database, records, clock, random, logger, fetch } = options
  const { agents, feed } = records
  let running: BatchSync | null = null
  let now = 'null'
  let wanted: EngineSettings | null = null
  let turn: Promise<void> = Promise.resolve()
  let closed = false

  /** One after another: two of them would send the same rows. */
  const change = async (): Promise<void> => {
    const key = JSON.stringify(closed ? null : wanted)
    if (key === now) return
    now = key
    const before = running
    running = null
    await before?.[Symbol.asyncDispose]()
    if (closed || wanted === null) return
    running = startBatchSync({
      database,
      feed,
      rows: openBatchRows(agents),
      line: createEndpointLine({ ...wanted.connection, clock, fetch }),
      batchSize: wanted.batchRows,
      intervalMs: wanted.pollMs,
      clock,
      random,
      logger,
    })
  }
  const schedule = (): Promise<void> =>
    (turn = turn.then(change).catch(() => logger.warn('The upload to the endpoint could not be started')))
  // Rows of the file that stands there now, and not of one that is gone.
  const off = records.onReplaced(() => {
    now = ''
    void schedule()
  })
  return {
    running: () => running,
    update(settings) {
      wanted = settings
      void schedule()
    },
    async [Symbol.asyncDispose]() {
      off()
      closed = true
      await schedule()
    },
  }
}
