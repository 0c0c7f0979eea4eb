import type { QuarantineEntry } from '../engine/inbox.ts'
import type { RowKey } from '../engine/store.ts'
import { backOffMs } from '../kernel/back-off.ts'
import type { Random } from '../kernel/random.ts'

/**
 * The book of refused rows: what becomes of a local change that the cloud refused for good. Decisions only; what is
 * durable of it is in `retry-rows.ts`, what is done in `retries.ts`.
 *
 *   refused ──▶ pending ── refused again, maxRetries times in all ──▶ failed
 *                  │  retried after 15 s, 30 s, 60 s …                   │  retried every hour, and on demand
 *                  └───────── the cloud took it, or nothing is ◀─────────┘
 *                             left of the change: completed
 *
 * Only an entry in the quarantine that was not seen before counts as a failure: a cloud out of reach fails no row, and
 * a retry that nothing is known of counts for nothing, whatever ended it.
 */
export interface Operation extends RowKey {
  /** Its place in the book; 0 before it is written. */
  readonly sequence: number
  readonly op: 'put' | 'delete'
  readonly status: 'pending' | 'failed' | 'completed'
  /** How often the cloud refused it. */
  readonly failures: number
  /** The entry of the quarantine that was counted last. */
  readonly entry: string
  /** Why it was refused last. */
  readonly code: string
  readonly message: string
  /** Milliseconds since 1970, all of them. */
  readonly firstAt: number
  readonly lastAt: number
  /** Not retried before, while it is in the quarantine. */
  readonly nextAt: number
  readonly completedAt: number | null
}

/** An operation that is not completed. `waits`: it is in the quarantine; else its row is on the way, or in the inbox. */
export interface OpenOperation {
  readonly operation: Operation
  readonly waits: boolean
}

/** What the store has, read after the book was: see `retries.ts`. */
export interface Sight {
  readonly quarantine: readonly QuarantineEntry[]
  /** Rows of the book that are dirty or held, by `rowName`. */
  readonly unsettled: ReadonlySet<string>
  /** Tables that are synced now. What becomes of rows of others is known when they are again. */
  readonly synced: ReadonlySet<string>
}

export interface Rules {
  readonly maxRetries: number
  readonly random: Random
}

/** What is to be written. `before` is what the book must still hold for it. */
export interface BookChanges {
  readonly added: readonly Operation[]
  readonly changed: readonly { readonly before: Operation; readonly after: Operation }[]
  readonly removed: readonly Operation[]
}

/**
 * Failed operations are tried again this often. What the cloud refused time and again is refused until somebody changes
 * the row, a limit or the token; an hour is soon enough to notice that by itself, and 24 pushes a day cost nothing.
 */
export const FAILED_RETRY_MS = 3_600_000
/**
 * Operations of either status retried by one sync, those first that are due longest: a request that is refused as a
 * whole is halved until the bad rows are found, and other rows must not wait for thousands of them (I9), nor those
 * that were refused once for those that are refused for ever.
 */
export const RETRIES_PER_SYNC = 500

export const rowName = ({ table, key }: RowKey): string => `${key} ${table}`

export const isEmpty = ({ added, changed, removed }: BookChanges): boolean =>
  added.length + changed.length + removed.length === 0

/** Brings the book up to what the store has. `open` are its operations that are not completed. */
export function observe(
  open: readonly Operation[],
  sight: Sight,
  now: number,
  rules: Rules,
): { readonly book: readonly OpenOperation[]; readonly changes: BookChanges } {
  const entries = sight.quarantine.filter(({ table }) => sight.synced.has(table))
  const entryOf = new Map(entries.map((entry) => [rowName(entry), entry]))
  const book: OpenOperation[] = []
  const changed: { before: Operation; after: Operation }[] = []
  const removed: Operation[] = []
  const known = new Set<string>()
  for (const before of open) {
    const name = rowName(before)
    known.add(name)
    const entry = entryOf.get(name)
    if (entry === undefined && !sight.synced.has(before.table)) {
      removed.push(before)
      continue
    }
    const after =
      entry !== undefined
        ? afterEntry(before, entry, now, rules)
        : sight.unsettled.has(name)
          ? before
          : ({ ...before, status: 'completed', completedAt: now } as const)
    if (after !== before) changed.push({ before, after })
    if (after.status !== 'completed') book.push({ operation: after, waits: entry !== undefined })
  }
  const added = entries.filter((entry) => !known.has(rowName(entry))).map((entry) => begin(entry, now, rules))
  // The quarantine has the newest first, the book the oldest.
  added.reverse()
  return {
    book: [...book, ...added.map((operation) => ({ operation, waits: true }))],
    changes: { added, changed, removed },
  }
}

/**
 * What is to be retried now: of the operations that wait, those that are due, the longest first, or all that failed.
 * Each comes as it must stand in the book before anything is done: its next turn is planned as if it failed again. So
 * a retry that is cut off anywhere is repeated, but never sooner than the one before allowed.
 */
export function chooseRetries(
  book: readonly OpenOperation[],
  now: number,
  { random, onDemand = false }: { readonly random: Random; readonly onDemand?: boolean },
): readonly { readonly before: Operation; readonly after: Operation }[] {
  const waiting = book.filter(({ waits }) => waits).map(({ operation }) => operation)
  const failed = waiting.filter(({ status }) => status === 'failed')
  const pending = waiting.filter(({ status }) => status === 'pending')
  const chosen = onDemand ? failed : [...firstDue(pending, now), ...firstDue(failed, now)]
  return chosen.map((before) => ({ before, after: { ...before, nextAt: now + waitOf(before, random) } }))
}

function firstDue(operations: readonly Operation[], now: number): readonly Operation[] {
  const due = operations.filter(({ nextAt }) => nextAt <= now)
  return due.sort((a, b) => a.nextAt - b.nextAt || a.sequence - b.sequence).slice(0, RETRIES_PER_SYNC)
}

/** When the next operation is due, in milliseconds since 1970; null: none waits. */
export function nextRetryAt(book: readonly OpenOperation[]): number | null {
  const times = book.filter(({ waits }) => waits).map(({ operation }) => operation.nextAt)
  return times.length === 0 ? null : times.reduce((first, at) => Math.min(first, at))
}

function begin(entry: QuarantineEntry, now: number, rules: Rules): Operation {
  const { id, table, key, op, code, message } = entry
  const counted = { failures: 1, status: statusOf(1, rules) }
  const why = { sequence: 0, table, key, op, entry: id, code, message }
  return {
    ...why,
    ...counted,
    firstAt: now,
    lastAt: now,
    nextAt: now + waitOf(counted, rules.random),
    completedAt: null,
  }
}

function afterEntry(before: Operation, entry: QuarantineEntry, now: number, rules: Rules): Operation {
  if (entry.id === before.entry) return restated(before, now, rules)
  const { id, op, code, message } = entry
  const failures = before.failures + 1
  const counted = { failures, status: statusOf(failures, rules) }
  const nextAt = now + waitOf(counted, rules.random)
  return { ...before, ...counted, entry: id, op, code, message, lastAt: now, nextAt }
}

/** The same refusal, seen again: `maxRetries` may be another by now, and the clock may have gone back since. */
function restated(before: Operation, now: number, rules: Rules): Operation {
  const status = statusOf(before.failures, rules)
  const nextAt = Math.min(before.nextAt, now + waitOf({ ...before, status }, NO_CHANCE))
  return status === before.status && nextAt === before.nextAt ? before : { ...before, status, nextAt }
}

const statusOf = (failures: number, { maxRetries }: Rules): 'pending' | 'failed' =>
  failures >= maxRetries ? 'failed' : 'pending'

const waitOf = ({ status, failures }: Pick<Operation, 'status' | 'failures'>, random: Random): number =>
  status === 'failed' ? FAILED_RETRY_MS : backOffMs(failures, random)

/** The longest that chance can make a wait. */
const NO_CHANCE: Random = { next: () => 0 }
