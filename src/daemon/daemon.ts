import type { SteadyClock } from '../kernel/clock.ts'
import { TidemarkError, toTidemarkError } from '../kernel/errors.ts'
import { silentLogger, type LogDetails, type Logger } from '../kernel/logger.ts'
import { describeFailure } from '../http/failures.ts'
import type { Random } from '../kernel/random.ts'
import { canonicalPath } from '../machine/files.ts'
import type { Folders } from '../machine/folders.ts'
import type { Environment } from '../machine/variables.ts'
import { openApprovals } from './approvals/approvals.ts'
import { openKnownProtocols } from './batch/probe.ts'
import { openApiToken } from './api/token.ts'
import { DAEMON } from './borrow.ts'
import { runFolder } from '../machine/folders.ts'
import { serveControl, socketPath } from './control.ts'
import type { HostingEvent } from './hosting/hosted-file.ts'
import { startHosting, type HostedSync } from './hosting/start.ts'
import { openSettings, type SettingsBook } from './hosting/sync-settings.ts'
import { takeDaemonLock, type DaemonNote } from './instance.ts'
import { openDaemonLog, type LogLevel } from './log/daemon-log.ts'
import { createParts } from './parts.ts'
import { openPrivateDatabase } from './private-database.ts'
import { startRecords } from './records.ts'
import { serveApi } from './serve.ts'
import { createSyncHandlers } from './sync-handlers.ts'
import { createUpload } from './upload.ts'

/** What a push under way gets to end in, in milliseconds. */
const DRAIN_MS = 10_000

export interface DaemonOptions {
  readonly folders: Folders
  readonly env: Environment
  /** Absent: the active one. */
  readonly profile?: string | undefined
  readonly clock: SteadyClock
  readonly random: Random
  /** Of the package. */
  readonly version: string
  readonly logLevel: LogLevel
  /** Readable lines of the log, in the foreground. */
  readonly say?: ((line: string) => void) | undefined
  /** Where the port of the API is taken, another one. */
  readonly anyPort?: boolean
  /** As of the engine. */
  readonly otherSpace?: 'join'
  /** Hears what happens to files, beside the log. */
  readonly tell?: (event: HostingEvent) => void
  /** Absent: the platform's own. */
  readonly fetch?: typeof globalThis.fetch
}

export interface Daemon extends AsyncDisposable {
  readonly note: () => DaemonNote
  readonly settings: SettingsBook
  readonly logger: Logger
  /** Aborted when a command asks it to stop. */
  readonly asked: AbortSignal
}

/**
 * Starts the daemon of a data folder: lock, private database, agents' database, API, hosting, in this order, and ended
 * in the other. A part that cannot start is named, and those before it are ended. Throws `in_use` naming the daemon
 * that runs already.
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { folders, env, profile, clock, random, version, logLevel, say, fetch } = options
  const machine = { folders, clock, random, ...(fetch === undefined ? {} : { fetch }) }
  const asked = new AbortController()
  let logger = silentLogger
  let settings: SettingsBook | null = null
  let token = ''
  const parts = createParts(clock, () => logger)
  let note: DaemonNote = { pid: process.pid, state: 'starting', url: null, startedAt: clock.now(), version }
  try {
    await parts.start(
      'lock',
      () => takeDaemonLock(folders),
      (lock) => lock.release(),
    )
    const log = await parts.start(
      'log',
      () =>
        openDaemonLog({
          folders,
          level: logLevel,
          secrets: () => [token, ...(settings?.secrets() ?? [])],
          say,
        }),
      (one) => one[Symbol.dispose](),
    )
    logger = log.logger
    await parts.start(
      'control socket',
      () =>
        serveControl(socketPath(runFolder(folders), DAEMON), async ({ command }) => {
          if (command === 'stop') asked.abort()
          else if (command !== 'status')
            throw new TidemarkError('bad_usage', 'the daemon does not take this command')
          return note
        }),
      async (control) => {
        control.stop()
        await control.answered()
      },
    )
    const book = (settings = await parts.start('configuration', () =>
      openSettings({ folders, env, profile, broken: (error) => tellBroken(logger, error) }),
    ))
    const database = await parts.start(
      'private database (daemon.db)',
      () => openPrivateDatabase(folders),
      (one) => one.close(),
    )
    const records = await startRecords(parts, { database, folders, clock, random, logger })
    const approvals = await parts.start(
      'approvals',
      () =>
        openApprovals({
          database,
          events: records.events,
          agents: records.agents,
          clock,
          random,
          logger,
          expirySeconds: () => book.current().approvalExpiry,
        }),
      (one) => one[Symbol.dispose](),
    )
    const upload = await parts.start(
      'upload',
      () => createUpload({ database, records, clock, random, logger, fetch }),
      (one) => one[Symbol.asyncDispose](),
    )
    token = await parts.start('token of the API', () => openApiToken(folders))
    const agentsFile = canonicalPath(folders.agents)
    let sync: HostedSync | null = null
    const handlers = createSyncHandlers({
      folders,
      hosted: () => sync,
      upload,
      settings: book,
      version,
    })
    const { url } = await serveApi(parts, {
      records,
      approvals,
      sync: handlers,
      folders,
      port: book.current().apiPort,
      anyPort: options.anyPort === true,
      version,
      startedAt: note.startedAt,
      clock,
      logger,
      token,
    })
    sync = await parts.start(
      'sync',
      () =>
        startHosting({
          machine,
          settings: book,
          logger,
          tell(event) {
            if (event.type === 'replaced' && event.file === agentsFile) records.reopen()
            options.tell?.(event)
          },
          otherSpace: options.otherSpace,
          known: openKnownProtocols(database),
          upload: (found) => upload.update(found),
        }),
      (one) => one.close(DRAIN_MS),
      DRAIN_MS * 2,
    )
    note = { ...note, state: 'ready', url }
    const { on, rule } = book.current()
    logger.info('The daemon is ready', {
      pid: process.pid,
      url,
      data: folders.data,
      sync: on ? 'on' : 'off',
      why: rule,
    })
    return {
      note: () => note,
      settings: book,
      logger,
      asked: asked.signal,
      async [Symbol.asyncDispose]() {
        note = { ...note, state: 'stopping' }
        logger.info('The daemon stops')
        await parts[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    const { code, message } = toTidemarkError(error)
    logger.error('The daemon cannot start', { code, why: message, ...describeUnforeseen(error) })
    await parts[Symbol.asyncDispose]()
    throw error
  }
}

/** Of what nobody foresaw, its kind and place: its message may quote a row (D10). */
const describeUnforeseen = (error: unknown): LogDetails =>
  toTidemarkError(error).code === 'internal' ? describeFailure(error) : {}

function tellBroken(logger: Logger, error: TidemarkError | null): void {
  if (error === null) logger.info('The configuration can be read again')
  else
    logger.error('The configuration cannot be read: what it last said stays in force', { why: error.message })
}
