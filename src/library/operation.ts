import { SyncEngine } from '../engine/engine.ts'
import type { EngineOptions } from '../engine/options.ts'
import type { Provider } from '../engine/provider.ts'
import { newestWins } from '../engine/resolvers.ts'
import type { StoreCounts } from '../engine/store.ts'
import type { Clock } from '../kernel/clock.ts'
import { TidemarkError, toTidemarkError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Random } from '../kernel/random.ts'
import type { DetectedConflict } from './detected.ts'
import { followOperation, type Follower } from './follow.ts'
import { recordOperation } from './history.ts'
import type { SyncProgress } from './progress.ts'
import type { OpenReplica } from './replica.ts'
import { toEngineResolver, type ConflictResolver } from './resolvers.ts'
import { markResolver } from './resolving.ts'
import type { SyncOperation, SyncResult } from './result.ts'
import { observeRetries, retryDue, type Retries } from './retries.ts'

/** How an engine of the library works, whatever it is asked to do. */
export interface EngineRules {
  readonly resolver?: ConflictResolver | undefined
  /** Of single tables; `resolver` decides for the others. */
  readonly resolvers?: { readonly [table: string]: ConflictResolver } | undefined
  readonly batchSize: number
  /** See `SyncConfig`. */
  readonly merge: boolean | undefined
  readonly provider: Provider
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly onProgress: (progress: SyncProgress) => void
  readonly onConflict: (conflict: DetectedConflict) => void
}

export interface OperationOptions extends EngineRules {
  readonly operation: SyncOperation
  /** Absent: all. */
  readonly tables?: readonly string[] | undefined
  readonly maxRetries: number
  /** Nothing was exchanged with this cloud yet, since the process began. */
  readonly isFirst: boolean
  /** When the next refused row is due, in milliseconds since 1970; null: none waits. */
  readonly onRetries: (nextRetryAt: number | null) => void
}

const WAYS: { readonly [operation in SyncOperation]: EngineOptions['way'] } = {
  seed: 'up',
  hydrate: 'down',
  sync: undefined,
}

/**
 * One cycle of an engine of its own, with what goes around it: refused rows whose time has come are marked again
 * before, and the book of refused rows and the history are written after it, also where it failed. Everything durable
 * is in the store, so that nothing is lost between two. Rejects with the first failure. Throws `unprocessable` for a
 * table that is not synced, `needs_merge`.
 */
export async function runOperation(
  replica: OpenReplica,
  options: OperationOptions,
  signal: AbortSignal,
): Promise<SyncResult> {
  const { operation, clock, random, maxRetries, onProgress, onConflict } = options
  const { store, book } = replica
  const retries: Retries = { store, book, clock, random, maxRetries }
  const tables = options.tables === undefined ? undefined : [...new Set(options.tables)]
  if (operation !== 'hydrate') await retryDue(retries)
  const counts = await store.counts()
  const pending = operation === 'hydrate' ? 0 : pendingOf(counts, tables)
  const follower = await followOperation({ store, clock, operation, pending, onProgress, onConflict })
  const note = async (error: string | null): Promise<SyncResult> => {
    const result = await follower.take()
    await noteEnd(retries, options, { result, error, tables: tables ?? null })
    return result
  }
  try {
    await requireTables(replica, tables)
    if (options.isFirst) await requireOwnSpace(replica, counts, options, signal)
    await using engine = await createEngine(replica, options, follower, { way: WAYS[operation], tables })
    await engine.runOnce({ signal })
  } catch (thrown) {
    // What is only told about a failure does not take its place.
    await note(toTidemarkError(thrown).code).catch(() => {})
    throw thrown
  }
  follower.end()
  return note(null)
}

/** An engine that tells the follower what it does. */
export async function createEngine(
  { file, store, guard }: OpenReplica,
  rules: EngineRules,
  follower: Follower,
  rest: Pick<EngineOptions, 'way' | 'tables' | 'pollMs' | 'listen'>,
): Promise<SyncEngine> {
  const { provider, clock, random, logger, batchSize, merge, resolver, resolvers } = rules
  const { replica } = await store.state()
  const named = (one: ConflictResolver) => follower.watch(markResolver(toEngineResolver(one, replica), file))
  const engine = new SyncEngine({
    store,
    provider,
    guard,
    clock,
    random,
    logger,
    listen: false,
    batchFirst: batchSize,
    otherSpace: merge === true ? 'join' : 'refuse',
    resolver: resolver === undefined ? follower.watch(newestWins(replica)) : named(resolver),
    ...(resolvers === undefined
      ? {}
      : {
          resolvers: Object.fromEntries(Object.entries(resolvers).map(([table, one]) => [table, named(one)])),
        }),
    ...rest,
  })
  engine.on((event) => follower.follow(event))
  return engine
}

/** Brings the book of refused rows up to date, and adds to the history. */
export async function noteEnd(
  retries: Retries,
  { logger, onRetries }: Pick<OperationOptions, 'logger' | 'onRetries'>,
  {
    result,
    error,
    tables,
  }: {
    readonly result: SyncResult
    readonly error: string | null
    readonly tables: readonly string[] | null
  },
): Promise<void> {
  const { operation, startedAt, duration, recordsProcessed, pushed, received, conflicts } = result
  try {
    onRetries((await observeRetries(retries)).nextRetryAt)
    const entry = {
      operation,
      timestamp: startedAt,
      duration,
      recordsProcessed,
      pushed,
      received,
      conflicts: conflicts.length,
      success: error === null,
      error,
      tables,
    }
    await retries.book.write((connection) => recordOperation(connection, entry))
  } catch (thrown) {
    // What is only told about a sync is no reason for it to fail.
    logger.warn('the history was not written', { code: toTidemarkError(thrown).code })
  }
}

async function requireTables({ store }: OpenReplica, tables: readonly string[] | undefined): Promise<void> {
  if (tables === undefined) return
  const { tables: synced, refused } = await store.schema()
  const missing = tables.filter((table) => !synced.some(({ name }) => name === table))
  if (missing.length === 0) return
  throw new TidemarkError('unprocessable', `Not a synced table: ${missing.join(', ')}`, {
    details: { missing, refused: refused.filter(({ table }) => missing.includes(table)) },
  })
}

/**
 * Rows of two sides that are not in step may be of two people: whoever does not want them joined is told before
 * anything leaves. Later on the engine notices by itself.
 */
async function requireOwnSpace(
  { store, space }: OpenReplica,
  counts: StoreCounts,
  { provider, merge }: OperationOptions,
  signal: AbortSignal,
): Promise<void> {
  const { cursor } = await store.state()
  const isSafe = cursor === null ? merge !== false || pendingOf(counts, undefined) === 0 : merge === true
  if (isSafe) return
  const there = await provider.status(space, signal).catch((error: unknown) => {
    if (error instanceof TidemarkError && error.code === 'space_not_found') return null
    throw error
  })
  if (cursor === null && (there?.records ?? 0) === 0) return
  if (cursor !== null && there?.epoch === cursor.epoch) return
  const what =
    cursor === null
      ? 'Both the file and the space hold rows'
      : 'The space is not the one that this file was in step with: another account, another cloud, or one that was set up anew'
  throw new TidemarkError('needs_merge', `${what}; \`merge: true\` joins them`, { details: { space } })
}

const pendingOf = ({ pending }: StoreCounts, tables: readonly string[] | undefined): number =>
  Object.entries(pending).reduce(
    (sum, [table, count]) => (tables === undefined || tables.includes(table) ? sum + count : sum),
    0,
  )
