import type Database from 'better-sqlite3'

import { backOffMs } from '../../kernel/back-off.ts'
import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Random } from '../../kernel/random.ts'
import { toSystemError } from '../../machine/failures.ts'
import type { ChangeFeed } from '../changes/change-feed.ts'
import { describeFailure } from '../changes/failures.ts'
import { beginFull, collectBatch } from './collect.ts'
import { openProgress, type Place, type RefusedRecord } from './progress.ts'
import type { EndpointLine } from './request.ts'
import type { BatchRows } from './rows.ts'
import { BATCH_TABLES, postBatch, sendBatch, type BatchRecord, type Sent } from './send.ts'

/** Records in one request: origin 000, lines 99-111. */
export const BATCH_RECORDS = 100
/** Changes come in bursts: one request for what was written within so many milliseconds. */
export const BATCH_DEBOUNCE_MS = 500
/** Of those put aside, so many are named. */
const TOLD_REFUSED = 100

/** The one-way upload as others see it. */
export interface BatchStatus {
  readonly state: 'idle' | 'sending' | 'offline' | 'blocked'
  /** Why, and what to do; empty where all is well. */
  readonly reason: string
  /** Milliseconds; null: the endpoint never took anything. */
  readonly lastSyncAt: number | null
  /** Rows that wait, by table. */
  readonly pending: { readonly [table: string]: number }
  /** Records that the endpoint refused for good: they go again when they change, and with `reset`. */
  readonly refused: number
  /** The first of them. */
  readonly refusedRecords: readonly RefusedRecord[]
  /** Records since the start that the endpoint took and counts as not written. */
  readonly uncounted: number
}

export interface BatchSync extends AsyncDisposable {
  status(): BatchStatus
  /** Sends what waits, whatever was waited for. Rejects with what keeps it from that. */
  syncNow(signal?: AbortSignal): Promise<{ readonly pushed: number }>
  /** All rows are sent again, with the next sync. */
  reset(): void
  /** Time has passed unseen, or the network is back: what waits goes at once. */
  wake(): void
}

export interface BatchOptions {
  /** daemon.db */
  readonly database: Database.Database
  readonly feed: ChangeFeed
  readonly rows: BatchRows
  readonly line: EndpointLine
  /** Most records in one request; absent: 100. */
  readonly batchSize?: number | undefined
  /** Between looks at what waits, in milliseconds: changes go at once anyway. */
  readonly intervalMs: number
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/**
 * Keeps an endpoint that speaks origin 000's `POST /sync/batch` up to date with sessions and messages, one way:
 *
 *            change (debounced), interval, syncNow
 *   ┌──────┐ ─────────────────────────────▶ ┌─────────┐ ─┐ next batch: the place moves after the
 *   │ idle │                                │ sending │  │ answer only, so all is sent at least once
 *   └──────┘ ◀───────────────────────────── └─────────┘ ◀┘
 *      ▲          nothing waits                  │ fails
 *      └── 15 s, 30 s, 60 s … 5 min, Retry-After ┘
 */
export function startBatchSync(options: BatchOptions): BatchSync {
  const { database, feed, rows, line, clock, random, logger, intervalMs } = options
  const size = options.batchSize ?? BATCH_RECORDS
  const progress = openProgress(database, line.endpoint.base)
  const closing = new AbortController()
  let failures = 0
  let failure: TidemarkError | null = null
  let working = 0
  let uncounted = 0
  /** A record that the endpoint took. */
  let witness: BatchRecord | null = null
  let timer: { readonly at: number; readonly cancel: () => void } | null = null
  let turns: Promise<unknown> = Promise.resolve()

  const arm = (ms: number): void => {
    const at = clock.now() + ms
    if (closing.signal.aborted || (timer !== null && timer.at <= at)) return
    timer?.cancel()
    const cancel = clock.after(ms, () => {
      timer = null
      void turn(closing.signal).catch(() => {})
    })
    timer = { at, cancel }
  }
  const rearm = (ms: number): void => {
    timer?.cancel()
    timer = null
    arm(ms)
  }

  const sendAll = async (signal: AbortSignal): Promise<number> => {
    let pushed = 0
    for (;;) {
      if (signal.aborted) throw new TidemarkError('aborted')
      const resets = progress.resets()
      const place = progress.place()
      const next =
        place === null ? { records: [], place: beginFull(feed) } : collectBatch({ feed, rows, size }, place)
      if (next === null) return pushed
      const sent = next.records.length === 0 ? null : await sendChecked(next.records, signal)
      progress.advance(next.place, sent, clock.now(), resets)
      pushed += sent?.accepted.length ?? 0
      tell(sent)
    }
  }
  /** A record is put aside only where the endpoint takes something else: else every record would be, one by one. */
  const sendChecked = async (records: readonly BatchRecord[], signal: AbortSignal): Promise<Sent> => {
    const sent = await sendBatch(line, records, signal)
    const [refused] = sent.refused
    witness = sent.accepted.at(-1) ?? witness
    if (refused === undefined || sent.accepted.length > 0) return sent
    for (const others of [witness === null ? [] : [witness], [], firstSession(rows)]) {
      const { status } = await postBatch(line, others, signal)
      if (status < 300) return sent
    }
    throw refusesAll(line, refused.status)
  }
  const tell = (sent: Sent | null): void => {
    if (sent === null) return
    uncounted += sent.uncounted
    const { refused } = sent
    if (refused.length > 0)
      logger.warn('The endpoint refused records, which were put aside', { refused: refused.length })
    if (sent.uncounted > 0)
      logger.info('The endpoint counts fewer records as written than it was sent', {
        uncounted: sent.uncounted,
      })
  }

  /** One after the other, also those that were asked for. */
  const turn = (signal: AbortSignal): Promise<number> => {
    const run = async (): Promise<number> => {
      working++
      try {
        const pushed = await sendAll(signal)
        if (failures > 0) logger.info('The upload goes on')
        failures = 0
        failure = null
        rearm(intervalMs)
        return pushed
      } catch (thrown) {
        const error = toFailure(thrown)
        if (error.code !== 'aborted') {
          failures++
          if (failure?.code !== error.code)
            logger.warn('The upload fails and is tried again', { code: error.code })
          failure = error
          const { retryAfterMs = 0 } = error
          rearm(backOffMs(failures, random, { retryAfterMs }))
        } else if (!closing.signal.aborted) arm(failures === 0 ? intervalMs : backOffMs(failures, random))
        throw error
      } finally {
        working--
      }
    }
    const next = turns.then(run, run)
    turns = next.catch(() => {})
    return next
  }

  const unregister = feed.register(() => progress.place()?.bookmark ?? null)
  // While the endpoint is away its back-off counts, and not how much is written here.
  const off = feed.on(() => {
    if (failures === 0) arm(BATCH_DEBOUNCE_MS)
  })
  arm(0)

  return {
    status: () => ({
      ...describeState(working > 0, failure),
      lastSyncAt: progress.lastSyncAt(),
      pending: countPending(options, progress.place()),
      refused: progress.countRefused(),
      refusedRecords: progress.refused(TOLD_REFUSED),
      uncounted,
    }),
    async syncNow(signal = closing.signal) {
      return { pushed: await turn(AbortSignal.any([signal, closing.signal])) }
    },
    reset() {
      progress.reset()
      if (failures === 0) arm(0)
    },
    wake() {
      failures = 0
      rearm(0)
    },
    async [Symbol.asyncDispose]() {
      closing.abort()
      timer?.cancel()
      timer = null
      off()
      unregister()
      await turns
    },
  }
}

function describeState(
  isWorking: boolean,
  failure: TidemarkError | null,
): Pick<BatchStatus, 'state' | 'reason'> {
  if (failure === null) return { state: isWorking ? 'sending' : 'idle', reason: '' }
  return { state: failure.retry ? 'offline' : 'blocked', reason: `${failure.message}. ${failure.hint}` }
}

function firstSession(rows: BatchRows): readonly BatchRecord[] {
  const [id] = rows.idsAfter('sessions', '', 1)
  const record = id === undefined ? null : rows.read('sessions', id)
  return record === null ? [] : [record]
}

/** What waits: rows of the first sending that were not sent yet, else rows that changed. */
export function countPending(
  {
    feed,
    rows,
  }: { readonly feed: Pick<ChangeFeed, 'waiting'>; readonly rows: Pick<BatchRows, 'countAfter'> },
  place: Place | null,
): { readonly [table: string]: number } {
  const full = place === null ? { table: BATCH_TABLES[0], after: '' } : place.full
  const changed = place === null || full !== null ? {} : (feed.waiting(place.bookmark) ?? {})
  const counts = BATCH_TABLES.map((table): readonly [string, number] => {
    if (full === null) return [table, changed[table] ?? 0]
    const [at, now] = [BATCH_TABLES.indexOf(table), BATCH_TABLES.indexOf(full.table)]
    return [table, at < now ? 0 : rows.countAfter(table, at === now ? full.after : '')]
  })
  return Object.fromEntries(counts.filter(([, count]) => count > 0))
}

const refusesAll = ({ endpoint: { host } }: EndpointLine, status: number): TidemarkError =>
  new TidemarkError(
    'unprocessable',
    `${host} refuses every record with status ${status}; none was put aside`,
    {
      details: { host, status },
    },
  )

/** SQLite's own failures of the two files go by their kind: what they say may be of rows. */
function toFailure(thrown: unknown): TidemarkError {
  if (thrown instanceof TidemarkError) return thrown
  const { code } = describeFailure(thrown)
  return code === 'internal' ? toSystemError(thrown) : new TidemarkError(code, undefined, { cause: thrown })
}
