import type { Clock } from '../kernel/clock.ts'
import type { TidemarkError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Random } from '../kernel/random.ts'
import type { PullAnswer } from '../protocol/pull.ts'
import type { PushResult } from '../protocol/push.ts'
import type { Change, CurrentGeneration, Cursor, Generation } from '../protocol/records.ts'
import type { BatchSize } from './batch-size.ts'
import type { IdentityGuard } from './identity.ts'
import type { Provider } from './provider.ts'
import type { ResolverSet } from './resolvers.ts'
import type { ResetReason } from './status.ts'
import type { Staging } from './staging.ts'
import type { DirtyLimit, Store, StoreSchema } from './store.ts'

/** Rows and bytes up to which a push, or a publish, is one atomic step (I5, I6). */
export const ATOMIC_ROWS = 20_000
export const ATOMIC_BYTES = 16 * 1024 * 1024
/** Rows of one publish where it goes in chunks: keeps the write lock short. */
export const PUBLISH_CHUNK_ROWS = 2_000
/**
 * Bytes of the fields in one push where it goes in chunks; its text is half as long again. Twice as many save no work,
 * and two chunks are in memory at a time.
 */
export const PUSH_CHUNK_BYTES = 512 * 1024

/** What the parts of one engine share while an effect is at work. */
export interface Work {
  readonly store: Store
  readonly provider: Provider
  readonly guard: IdentityGuard
  readonly clock: Clock
  readonly random: Random
  /** Only these tables are read and sent, in order of their names; null: all. */
  readonly tables: readonly string[] | null
  /** Nothing is read but what answers bring. */
  readonly sendsOnly: boolean
  /** A space that is not the one of before is joined. */
  readonly joinsOthers: boolean
  readonly resolvers: (replica: string) => ResolverSet
  readonly logger: Logger
  readonly report: (event: WorkEvent) => void
  /** Remote records on their way to a publish. */
  staging: Staging
  /** An answer that a long poll already brought, for the cursor it was asked with. */
  prefetched: { readonly version: number; readonly answer: PullAnswer } | null
  /** What a chunk of a bulk push may hold, null when the mutation in flight is no such chunk. */
  chunk: DirtyLimit | null
  /** The next chunk, read while the one before it was on its way. */
  ahead: Chunk | null
  /** The changes of the mutation in flight and its answer. */
  changes: readonly Change[] | null
  answer: PushOutcome | null
  batch: BatchSize
  /** After definite refusals: no mutation has more rows than this. */
  rowLimit: number
  /** Rows pushed since the long poll was asked with the cursor of then. */
  sent: number
  /** More dirty rows wait than the last mutation took. */
  more: boolean
  /** Attempts of one publish that found rows moved. */
  moves: number
  /** Forced pushes in a row that were answered with conflicts all the same. */
  forcedRounds: number
  lastError: TidemarkError | null
}

/** Changes as they go out together. */
export interface Chunk {
  readonly changes: readonly Change[]
  /** Their JSON. */
  readonly text: string
  /** Others wait behind them. */
  readonly more: boolean
}

export interface PushOutcome {
  readonly generation: CurrentGeneration
  readonly results: readonly PushResult[]
}

/** Rows by the name of their table; no table without any. */
export interface TableCounts {
  readonly [table: string]: number
}

/** What happened, for listeners. Counts only, never values. */
export type WorkEvent =
  | {
      readonly type: 'progress'
      readonly task: 'hydrate' | 'publish' | 'push'
      readonly done: number
      readonly total: number | null
    }
  | { readonly type: 'pulled'; readonly records: number }
  /** `tables`: the rows by table; their sum is `rows`. */
  | {
      readonly type: 'applied'
      readonly rows: number
      readonly tables: TableCounts
      readonly parked: number
      readonly lockMs: number
    }
  | {
      readonly type: 'pushed'
      readonly rows: number
      readonly tables: TableCounts
      readonly force: boolean
    }
  | { readonly type: 'conflicts'; readonly count: number }
  | { readonly type: 'quarantined'; readonly count: number }
  | { readonly type: 'identity'; readonly replica: string; readonly why: ResetReason }
  | { readonly type: 'rebased'; readonly offered: number; readonly common: number }

/** The tables as a map, for merging. */
export function tablesByName(schema: StoreSchema): ReadonlyMap<string, StoreSchema['tables'][number]> {
  return new Map(schema.tables.map((table) => [table.name, table]))
}

/** The cursor after an answer: its generation is the newest known, `high` covers what is held. */
export function advanceCursor(
  cursor: Cursor,
  generation: Generation,
  versions: { readonly version?: number; readonly high?: number },
): Cursor {
  const version = versions.version ?? cursor.version
  return {
    ...cursor,
    generation: generation.id,
    version,
    high: Math.max(cursor.high, version, versions.high ?? 0),
  }
}

/** The cursor after a page: as long as more is to come, what was read may lack rows replaced up to the head. */
export function afterPage(
  cursor: Cursor,
  { generation, head, next }: Pick<PullAnswer, 'generation' | 'head' | 'next'>,
): Cursor {
  const { read = 0, ...moved } = advanceCursor(cursor, generation, { version: next })
  return withRead(moved, Math.max(read, head))
}

/** The cursor, which says what it was read from where that is beyond it. */
export function withRead({ read: _, ...cursor }: Cursor, read: number): Cursor {
  return read > cursor.version ? { ...cursor, read } : cursor
}

/** What a publication says of the generation that answered: nothing where it is known. */
export function newGenerations(
  known: readonly Generation[],
  generation: CurrentGeneration,
): { readonly generations?: readonly Generation[] } {
  const now = withGeneration(known, generation)
  return now === known ? {} : { generations: now }
}

/** The known generations with this one, and those before it where the cloud tells them. */
export function withGeneration(
  known: readonly Generation[],
  { id, start, before }: CurrentGeneration,
): readonly Generation[] {
  return known.some((one) => one.id === id) ? known : [...(before ?? known), { id, start }]
}
