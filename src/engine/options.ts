import type { Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Random } from '../kernel/random.ts'
import type { IdentityGuard } from './identity.ts'
import type { Provider } from './provider.ts'
import type { NamedResolver } from './resolvers.ts'
import type { Store } from './store.ts'

export interface EngineOptions {
  readonly store: Store
  readonly provider: Provider
  readonly guard: IdentityGuard
  readonly clock: Clock
  readonly random: Random
  /** Absent: `newestWins` for every table. */
  readonly resolver?: NamedResolver
  /** Resolvers of single tables. */
  readonly resolvers?: { readonly [table: string]: NamedResolver }
  /** Milliseconds between safety polls. */
  readonly pollMs?: number
  /** Long polls between cycles, so that others' changes come at once. Default true. */
  readonly listen?: boolean
  /** Never more rows in one request than this; absent: adapts. */
  readonly batchRows?: number
  /** Rows of the first request; it adapts from there. Default 100. */
  readonly batchFirst?: number
  /** `up` sends and does not pull, `down` pulls and does not send. Default: both. */
  readonly way?: 'up' | 'down' | undefined
  /** Only these tables are read and sent; absent: all. The others stay as they are, and nothing of them is missed. */
  readonly tables?: readonly string[] | undefined
  /** After a restored file: `rejoin` takes the cloud's newer rows, `overwrite` makes the restored rows edits. */
  readonly afterRestore?: 'rejoin' | 'overwrite'
  /**
   * Where the space is not the one that the file was in step with (another account, another cloud, or one that was set
   * up anew): `join` offers it every row, `refuse` stops with `needs_merge`, and nothing has left. Default `join`.
   */
  readonly otherSpace?: 'join' | 'refuse'
  readonly logger?: Logger
}
