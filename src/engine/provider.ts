import type {
  HydratePlace,
  HydrateStart,
  PullAnswer,
  PullRequest,
  ReadAnswer,
  ReadRequest,
} from '../protocol/pull.ts'
import type { PushAnswer } from '../protocol/push.ts'
import type { WireRecord } from '../protocol/records.ts'
import type { SchemaAnswer, SchemaRequest } from '../protocol/schema.ts'
import type { SpaceStatus } from '../protocol/status.ts'

/**
 * A cloud, as the engine needs it.
 *
 * Every method rejects with a `TidemarkError` only: the code decides what the engine does (`network`, 5xx and
 * 429 mean the fate of the request is unknown; the other codes are definite). A rejected or aborted `push` may
 * have been applied. No method retries by itself. `signal` cuts the wait short and rejects with `aborted`.
 */
export interface Provider {
  readonly name: string
  /**
   * Sends one `PushRequest`, as the exact text the store keeps, so that a repeat has the same bytes (I3). `packed` is
   * that text as a frame of zstd, for those who would compress it.
   */
  push(body: string, signal: AbortSignal, packed?: Uint8Array<ArrayBuffer>): Promise<PushAnswer>
  pull(request: PullRequest, signal: AbortSignal): Promise<PullAnswer>
  /** One `start`, then records in (table, key) order; ends normally only when the cloud said that it is whole. */
  hydrate(request: HydrateRequest, signal: AbortSignal): AsyncIterable<HydrateChunk>
  read(request: ReadRequest, signal: AbortSignal): Promise<ReadAnswer>
  readSchema(space: string, signal: AbortSignal): Promise<SchemaAnswer>
  putSchema(request: SchemaRequest, signal: AbortSignal): Promise<SchemaAnswer>
  status(space: string, signal: AbortSignal): Promise<SpaceStatus>
}

export interface HydrateRequest {
  readonly space: string
  readonly replica: string
  /** Only these tables; absent: all. */
  readonly tables?: readonly string[]
  /** Goes on after this record instead of from the start. */
  readonly resume?: HydratePlace
}

export type HydrateChunk =
  | { readonly kind: 'start'; readonly start: HydrateStart }
  /** `read`: they, and what is not among them, were read at this version at most; absent: at that of before. */
  | { readonly kind: 'records'; readonly records: readonly WireRecord[]; readonly read?: number }
