import { readFileSync } from 'node:fs'

import { systemClock, type Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import { systemRandom, type Random } from '../kernel/random.ts'
import { SCOPES } from '../protocol/routes.ts'
import type { Directory, Grant } from './directory.ts'
import { createHandler } from './handler/handler.ts'
import type { HandlerLimits } from './handler/limits.ts'
import { requireLoopback } from './server/addresses.ts'
import { RETENTION, startCollector, type Retention } from './server/collector.ts'
import type { ServerLimits } from './server/limits.ts'
import { createLogLines, type LogLevel } from './server/log-lines.ts'
import { startServer } from './server/server.ts'
import { openStorage, readTls } from './server/storage.ts'

export interface CloudOptions {
  /** Folder of the cloud's one file; made, for its owner only, when it is not there. */
  readonly data: string
  /** Absent: 127.0.0.1. */
  readonly host?: string
  /** Absent: 7600. 0: one the system chooses. */
  readonly port?: number
  /** PEM files. With them HTTP/2, and HTTP/1.1 for who does not speak that. */
  readonly tls?: { readonly keyFile: string; readonly certFile: string }
  /** Serves requests without a token as the account `local`; refuses any address but loopback. */
  readonly insecureLoopback?: boolean
  /** Take addresses from `x-forwarded-for`: only behind a proxy that sets it. */
  readonly trustProxy?: boolean
  readonly limits?: Partial<HandlerLimits & ServerLimits>
  readonly retention?: Partial<Retention>
  /** Absent: lines of JSON on standard error, from `logLevel` on. */
  readonly logger?: Logger
  /** Absent: `warn`. */
  readonly logLevel?: LogLevel
  readonly clock?: Clock
  readonly random?: Random
}

export interface Cloud {
  readonly url: string
  /** Accounts, tokens and devices. */
  readonly directory: Directory
  /** Stops accepting, answers waiting pulls, lets requests finish for a bounded time, closes the file. Once. */
  close(): Promise<void>
}

export const DEFAULT_HOST = '127.0.0.1'
export const DEFAULT_PORT = 7_600

/** The account of requests without a token, where they are served. */
const LOOPBACK_GRANT: Grant = {
  tokenId: 'loopback',
  account: 'local',
  scopes: SCOPES,
  spaces: null,
  defaultSpace: 'default',
  device: null,
}

/**
 * Starts a cloud with its storage in one SQLite file. Rejects with `insecure_address`, `in_use` (another process
 * serves the folder), `file_not_found` (a TLS file), `not_a_database`, and with the system's own error
 * (`EADDRINUSE`, …) when it cannot listen.
 */
export async function startCloud(options: CloudOptions): Promise<Cloud> {
  const { host = DEFAULT_HOST, port = DEFAULT_PORT, clock = systemClock, random = systemRandom } = options
  const logger = options.logger ?? createLogLines(options.logLevel ?? 'warn')
  const open = options.insecureLoopback === true
  if (open) requireLoopback(host)
  const tls = options.tls === undefined ? {} : { tls: readTls(options.tls) }
  const storage = await openStorage(options.data, clock)
  try {
    const { log, directory } = storage
    const limits = options.limits ?? {}
    const handler = createHandler({
      log,
      directory,
      clock,
      random,
      logger,
      limits,
      ...(open ? { open: LOOPBACK_GRANT } : {}),
    })
    const server = await startServer({
      handler,
      clock,
      logger,
      limits,
      host,
      port,
      ...tls,
      insecureLoopback: open,
      trustProxy: options.trustProxy ?? false,
      version: readVersion(),
      checkStorage: () => storage.check(),
    })
    const stopCollector = startCollector({
      log,
      directory,
      clock,
      random,
      logger,
      retention: { ...RETENTION, ...options.retention },
    })
    const stop = async (): Promise<void> => {
      await server.close()
      await stopCollector()
      await storage[Symbol.asyncDispose]()
    }
    let stopping: Promise<void> | null = null
    return { url: server.url, directory, close: () => (stopping ??= stop()) }
  } catch (error) {
    await storage[Symbol.asyncDispose]()
    throw error
  }
}

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}
