import { readFileSync } from 'node:fs'

import { systemClock, type Clock } from '../kernel/clock.ts'
import { AsyncDisposableStack } from '../kernel/disposable-stack.ts'
import type { Logger } from '../kernel/logger.ts'
import { systemRandom, type Random } from '../kernel/random.ts'
import { SCOPES } from '../protocol/routes.ts'
import type { Directory, Grant } from './directory.ts'
import { createHandler } from './handler/handler.ts'
import type { HandlerLimits } from './handler/limits.ts'
import { createPrometheusMetrics } from './metrics/prometheus.ts'
import type { DatabaseOptions } from './postgres/pool.ts'
import { requireLoopback } from './server/addresses.ts'
import { RETENTION, startCollector, type Retention } from './server/collector.ts'
import type { ServerLimits } from './server/limits.ts'
import { createLogLines, type LogLevel } from './server/log-lines.ts'
import { serveMetrics } from './server/metrics-listener.ts'
import { toPlace } from './server/place.ts'
import { startServer } from './server/server.ts'
import { openStorage } from './server/storage.ts'
import { readTls } from './server/tls.ts'

export interface CloudOptions {
  /** Folder of the cloud's one file; made, for its owner only, when it is not there. Or `database`. */
  readonly data?: string
  /** Address of a PostgreSQL database, `postgres://user@host:port/name`, which any number of nodes may share. */
  readonly database?: string | DatabaseOptions
  /** Absent: 127.0.0.1. */
  readonly host?: string
  /** Absent: 7600. 0: one the system chooses. */
  readonly port?: number
  /** PEM files. With them HTTP/2, and HTTP/1.1 for who does not speak that. */
  readonly tls?: { readonly keyFile: string; readonly certFile: string }
  /** Serves requests without a token as the account `local`; refuses any address but loopback. */
  readonly insecureLoopback?: boolean
  /**
   * How many proxies in front add to `x-forwarded-for`; true: one. Only what they added is believed: what stands
   * before it came from whoever asks. Absent: none, and addresses are those of the connections.
   */
  readonly trustProxy?: boolean | number
  readonly limits?: Partial<HandlerLimits & ServerLimits>
  /**
   * Where `GET /metrics` is answered, in the text format of Prometheus and without a token: an address of its own, so
   * that it is never on the port that everybody reaches. Absent: nowhere.
   */
  readonly metrics?: { readonly host: string; readonly port: number }
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
  /** Null where no metrics are served. */
  readonly metricsUrl: string | null
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
 * Starts a cloud with its storage in one SQLite file, or in a PostgreSQL database. Rejects with `insecure_address`,
 * `bad_usage` (neither place, or both), `in_use` (another process serves the folder), `file_not_found` (a TLS file),
 * `not_a_database`, `unavailable` and `database_refused` (PostgreSQL), `needs_upgrade`, and with the system's own
 * error (`EADDRINUSE`, …) when it cannot listen.
 */
export async function startCloud(options: CloudOptions): Promise<Cloud> {
  const { host = DEFAULT_HOST, port = DEFAULT_PORT, clock = systemClock, random = systemRandom } = options
  const logger = options.logger ?? createLogLines(options.logLevel ?? 'warn')
  const open = options.insecureLoopback === true
  if (open) requireLoopback(host)
  const tls = options.tls === undefined ? {} : { tls: readTls(options.tls) }
  await using undo = new AsyncDisposableStack()
  const metrics = options.metrics === undefined ? null : undo.use(createPrometheusMetrics())
  const reports = { logger, ...(metrics === null ? {} : { metrics }) }
  const storage = undo.use(await openStorage(toPlace(options), { clock, random, ...reports }))
  const { log, directory, bus, exclusive } = storage
  const limits = options.limits ?? {}
  const handler = createHandler({
    log,
    directory,
    bus,
    clock,
    random,
    ...reports,
    limits,
    ...(open ? { open: LOOPBACK_GRANT } : {}),
  })
  const listener =
    metrics === null || options.metrics === undefined ? null : await serveMetrics(metrics, options.metrics)
  undo.defer(() => listener?.close())
  const server = await startServer({
    handler,
    clock,
    ...reports,
    limits,
    host,
    port,
    ...tls,
    insecureLoopback: open,
    trustProxy: options.trustProxy ?? false,
    version: readVersion(),
    checkStorage: () => storage.check(),
  })
  undo.defer(
    startCollector({
      log,
      directory,
      exclusive,
      clock,
      random,
      logger,
      retention: { ...RETENTION, ...options.retention },
    }),
  )
  undo.defer(() => server.close())
  const started = undo.move()
  let stopping: Promise<void> | null = null
  return {
    url: server.url,
    metricsUrl: listener?.url ?? null,
    directory,
    close: () => (stopping ??= started.disposeAsync()),
  }
}

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}
