import type Database from 'better-sqlite3'

import { backOffMs } from '../../kernel/back-off.ts'
import type { Clock } from '../../kernel/clock.ts'
import { toTidemarkError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Random } from '../../kernel/random.ts'
import { guarded } from '../agents/database.ts'
import { OWN_COLUMNS, type OwnRow } from './rows.ts'

/** What comes in one go is copied together, after so many milliseconds. */
const GATHER_MS = 20
/** After a failure: another program holds the file, or the disk is full. */
const AGAIN = { firstMs: 200, maxMs: 60_000 }
const COPY_AT_ONCE = 100

const COPIED = OWN_COLUMNS.split(', ').filter((column) => column !== 'id' && column !== 'context_size')
/**
 * The context stays here: it is up to 8 MiB of whatever was on the agent's screen, of use to who decides, and that can
 * only be done here. What was asked and what became of it is the history.
 */
const UPSERT = `INSERT INTO approvals (id, context, ${COPIED.join(', ')})
  VALUES (@id, NULL, ${COPIED.map((column) => `@${column}`).join(', ')})
  ON CONFLICT (id) DO UPDATE SET ${['context', ...COPIED].map((column) => `${column} = excluded.${column}`).join(', ')}
  WHERE ${['context', ...COPIED].map((column) => `${column} IS NOT excluded.${column}`).join(' OR ')}`

export interface Copies extends Disposable {
  /** There may be something to copy. */
  look(): void
}

/**
 * Copies approvals of this daemon into `agents.db`, for other devices and for history; nothing is ever read back from
 * there (D2). A mark in `daemon.db`, set after the copy is on the disk, says which are copied: a kill between the two
 * copies once more. That it can't be done keeps nobody waiting.
 */
export function startCopies(options: {
  readonly database: Database.Database
  readonly agents: { readonly database: Database.Database }
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}): Copies {
  const { database, agents, clock, random, logger } = options
  const uncopied = database.prepare<[number], OwnRow>(
    `SELECT ${OWN_COLUMNS} FROM approvals WHERE copied = 0 ORDER BY created_at LIMIT ?`,
  )
  // What was decided since has to be copied again.
  const mark = database.prepare<[string, string]>(
    'UPDATE approvals SET copied = 1 WHERE id = ? AND status = ?',
  )
  let cancel: (() => void) | null = null
  let failures = 0
  let closed = false

  const copySome = (): number => {
    const rows = uncopied.all(COPY_AT_ONCE)
    if (rows.length === 0) return 0
    const copy = agents.database.prepare<[Omit<OwnRow, 'context_size'>]>(UPSERT)
    agents.database
      .transaction(() => rows.forEach(({ context_size: _, ...row }) => copy.run(row)))
      .immediate()
    database.transaction(() => rows.forEach(({ id, status }) => mark.run(id, status))).immediate()
    return rows.length
  }
  const run = (): void => {
    cancel = null
    try {
      const copied = guarded(copySome)
      failures = 0
      if (copied === COPY_AT_ONCE) wait(0)
    } catch (error) {
      failures++
      logger.warn('approvals could not be copied', { code: toTidemarkError(error).code, failures })
      wait(backOffMs(failures, random, AGAIN))
    }
  }
  const wait = (ms: number): void => {
    if (!closed) cancel ??= clock.after(ms, run)
  }
  return {
    look: () => wait(GATHER_MS),
    [Symbol.dispose]() {
      closed = true
      cancel?.()
      cancel = null
    },
  }
}
