import { systemClock, type Clock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { silentLogger, type Logger } from '../kernel/logger.ts'
import { systemRandom, type Random } from '../kernel/random.ts'
import { findFolders, homeFolders, type Environment, type Folders } from '../machine/folders.ts'
import { findCloud, isTurnedOff, readSettings, SETTING_NAMES, type SyncSettings } from './config.ts'
import type { Row, Tables } from './conflict.ts'
import type { SyncDatabase } from './database/database.ts'
import { openDatabase } from './database/open.ts'
import { requireFit, requireKnown } from './given.ts'
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
    isTurnedOff: isTurnedOff(environment),
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

/** Every name, so that the type proves them whole. */
const CONFIG: { readonly [Name in Exclude<keyof SyncConfig, keyof SyncSettings>]-?: true } = {
  space: true,
  tables: true,
  exclude: true,
  home: true,
  waitMs: true,
  setup: true,
  environment: true,
  clock: true,
  random: true,
  endpoint: true,
  token: true,
  merge: true,
  logger: true,
  fetch: true,
  resolver: true,
  resolvers: true,
}
const CONFIG_NAMES = [...SETTING_NAMES, ...Object.keys(CONFIG)]

/**
 * Throws `bad_usage`; the numbers and flags of `SyncSettings` have their own rules. One configuration does for a
 * manager, a queue and `migrate`, of which each takes what it needs.
 */
function requireConfig(config: ReplicaConfig): void {
  requireFit({ config })
  requireKnown(config, CONFIG_NAMES)
  requireFit({ ...config })
}

/** What it throws has its name told, and is the cause. Throws `bad_usage`. */
const guarded =
  (setup: NonNullable<ReplicaConfig['setup']>) =>
  (database: unknown): void => {
    let answer: unknown
    try {
      answer = setup(database)
    } catch (cause) {
      const name = cause instanceof Error ? cause.name : typeof cause
      throw new TidemarkError('bad_usage', `\`setup\` threw ${name}`, { cause })
    }
    if (!(answer instanceof Promise)) return
    answer.catch(() => {})
    throw new TidemarkError('bad_usage', '`setup` must not be asynchronous: the connection is used at once')
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
  const prepare = setup === undefined ? undefined : guarded(setup)
  const member = { app, attaching: { space, tables, exclude }, setup: prepare }
  return shareReplica({ folders: foldersOf(config), clock, random, waitMs }, user, member)
}

export const foldersOf = ({ home, environment = process.env }: ReplicaConfig): Folders =>
  home === undefined ? findFolders(environment) : homeFolders(home)
