import { systemClock, type Clock } from '../kernel/clock.ts'
import { silentLogger, type Logger } from '../kernel/logger.ts'
import { systemRandom, type Random } from '../kernel/random.ts'
import { findFolders, homeFolders, type Environment, type Folders } from '../machine/folders.ts'
import { findCloud, readSettings, type SyncSettings } from './config.ts'
import type { Row, Tables } from './conflict.ts'
import type { SyncDatabase } from './database/database.ts'
import { openDatabase } from './database/open.ts'
import { requireFit } from './given.ts'
import { SyncManager } from './manager.ts'
import type { Cloud, Resolving } from './parts.ts'
import { createCloudSyncProvider } from './provider.ts'
import { parseEndpoint } from '../providers/cloud/endpoint.ts'
import { shareReplica, type Replica } from './replica.ts'
import { DEFAULT_SPACE } from './space.ts'

/** How the file comes under sync, and where Tidemark keeps what is its own. */
export interface ReplicaConfig {
  /** The space of the cloud. Default: that of the file, else `default`. */
  readonly space?: string | undefined
  /** Only these tables are synced, or all but these; looked at when the file comes under sync. */
  readonly tables?: readonly string[] | undefined
  readonly exclude?: readonly string[] | undefined
  /** Keeps configuration, identities and locks in this folder, in place of the platform's. */
  readonly home?: string | undefined
  /** Milliseconds that a transaction of the application is waited for. Default 30,000. */
  readonly waitMs?: number | undefined
  /** Called with each connection that Tidemark opens: register the functions and collations that your schema uses. */
  readonly setup?: ((database: unknown) => void) | undefined
  /** Default: `process.env`. */
  readonly environment?: Environment | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

export interface SyncConfig<Known extends Tables = { readonly [table: string]: Row }>
  extends Partial<SyncSettings>, Resolving<Known>, ReplicaConfig {
  /** URL of the cloud. Default: `TIDEMARK_ENDPOINT`; without one nothing leaves the machine. */
  readonly endpoint?: string | undefined
  /** Default: `TIDEMARK_TOKEN`. */
  readonly token?: string | undefined
  /**
   * Whether rows of two sides that are not in step are joined, by the resolver. Where file and space meet for the first
   * time and both hold rows: unless it is false. Where the space is another than the file was in step with (another
   * account, another cloud, or one that was set up anew), so that every row would be offered to it: only if it is true.
   * Else the operation rejects with `needs_merge`, and nothing has left.
   */
  readonly merge?: boolean | undefined
  readonly logger?: Logger | undefined
  readonly fetch?: typeof globalThis.fetch | undefined
}

/** Milliseconds that a transaction of the application is waited for. */
const WAIT_MS = 30_000

/**
 * A manager on an application's database. Nothing is written into the file and nothing is sent before the first
 * operation. Throws `bad_usage` for a wrong setting, `unprocessable` for a database that cannot be synced.
 */
export async function createSyncManager<Known extends Tables = { readonly [table: string]: Row }>(
  database: SyncDatabase,
  config: SyncConfig<Known> = {},
): Promise<SyncManager<Known>> {
  requireConfig(config)
  const { environment = process.env, clock = systemClock, random = systemRandom, space } = config
  const settings = readSettings(config, environment)
  const cloud = findCloud(config, environment)
  const folders = foldersOf(config)
  const user = {}
  let replica: Replica | null = null
  // That of the file, where none was named: a token may be for that one only.
  const readSpace = async () => (await replica?.readSpace(user).catch(() => null)) ?? DEFAULT_SPACE
  const openCloud = (given: string, token: string | null): Cloud => {
    // In one form, however it was written: the device's token and other managers are found by it.
    const endpoint = parseEndpoint(given).base
    const cloudOptions = {
      endpoint,
      token,
      space: space ?? readSpace,
      folders,
      clock,
      random,
      ...(config.fetch === undefined ? {} : { fetch: config.fetch }),
    }
    return { endpoint, ...createCloudSyncProvider(cloudOptions) }
  }
  // What may be wrong with it comes first: nobody would give the replica back.
  const opened = cloud === null ? null : openCloud(cloud.endpoint, cloud.token)
  replica = await openReplica(database, config, user)
  return new SyncManager<Known>({
    replica,
    user,
    settings,
    cloud: opened,
    openCloud,
    space,
    merge: config.merge,
    resolver: config.resolver,
    resolvers: config.resolvers,
    folders,
    clock,
    random,
    logger: config.logger ?? silentLogger,
  })
}

/** Throws `bad_usage`; the numbers and flags of `SyncSettings` have their own rules. */
function requireConfig(config: ReplicaConfig): void {
  requireFit({ config })
  requireFit({ ...config })
}

/** The shared replica of a database; `leave` of the same user gives it back. */
export async function openReplica(
  database: SyncDatabase,
  config: ReplicaConfig,
  user: object,
): Promise<Replica> {
  requireConfig(config)
  const {
    clock = systemClock,
    random = systemRandom,
    waitMs = WAIT_MS,
    space,
    tables,
    exclude,
    setup,
  } = config
  const app = await openDatabase(database, { clock, waitMs })
  const member = { app, attaching: { space, tables, exclude }, setup }
  return shareReplica({ folders: foldersOf(config), clock, random, waitMs }, user, member)
}

export const foldersOf = ({ home, environment = process.env }: ReplicaConfig): Folders =>
  home === undefined ? findFolders(environment) : homeFolders(home)
