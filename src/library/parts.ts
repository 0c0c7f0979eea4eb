import type { Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Random } from '../kernel/random.ts'
import type { Folders } from '../machine/folders.ts'
import type { SyncSettings } from './config.ts'
import type { Tables } from './conflict.ts'
import type { CloudSyncProvider } from './provider.ts'
import type { Replica } from './replica.ts'
import type { ConflictResolver } from './resolvers.ts'

/** What can be given beside the settings, and changed with them. */
export interface Resolving<Known extends Tables> {
  /** Decides where nothing else is given. Default: the newer value, column by column. */
  readonly resolver?: ConflictResolver<Known> | undefined
  /** Resolvers of single tables. */
  readonly resolvers?:
    | { readonly [Table in keyof Known & string]?: ConflictResolver<Pick<Known, Table>> }
    | undefined
}

export interface OperationControl {
  /** Ends the operation: what the cloud took already stays, the rest waits. */
  readonly signal?: AbortSignal | undefined
}

/** A cloud and where it is. */
export interface Cloud extends CloudSyncProvider {
  readonly endpoint: string
}

export interface ManagerParts<Known extends Tables> extends Resolving<Known> {
  readonly replica: Replica
  /** What the replica knows this manager by. */
  readonly user: object
  readonly settings: SyncSettings
  readonly cloud: Cloud | null
  /** Why there is none: the environment says that nothing is to be sent. */
  readonly isTurnedOff: boolean
  readonly openCloud: (endpoint: string, token: string | null) => Cloud
  readonly space: string | undefined
  readonly merge: boolean | undefined
  readonly folders: Folders
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}
