import type { AddressInfo } from 'node:net'

import { sleep, type Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { silentLogger, type Logger } from '../../kernel/logger.ts'
import { isLoopback, urlHost } from '../../http/addresses.ts'
import { limitConnections } from '../../http/connections.ts'
import { SECURITY_HEADERS } from '../../http/headers.ts'
import { trackSockets } from '../../http/sockets.ts'
import type { Handler } from '../handler/handler.ts'
import { silentMetrics, type Metrics } from '../metrics.ts'
import { checkLoopbackRequest, requireLoopback } from './addresses.ts'
import { addApiRoutes } from './api-routes.ts'
import { createBodyReader } from './body.ts'
import { levelFor } from './compress.ts'
import { sendError } from './errors.ts'
import { openFastify, type Tls } from './fastify.ts'
import { REQUEST_MS, SERVER_LIMITS, type ServerLimits } from './limits.ts'
import { watchPressure } from './pressure.ts'
import { addPublicRoutes } from './public-routes.ts'
import { createRates } from './rates.ts'
import { createReadiness } from './readiness.ts'
import { createRequests } from './requests.ts'
import { CLOUD_ROUTES } from './unknown-address.ts'

/** What the last answers of a stop get to leave the machine, in milliseconds. */
const FLUSH_MS = 100
/**
 * So long a stop goes on answering at least, while there are connections, each answer the last of its connection: one
 * that is closed between two requests may cross the next one, and its client then cannot know whether it was done.
 */
const LINGER_MS = 150

export interface ServerOptions {
  readonly handler: Handler
  readonly clock: Clock
  readonly logger?: Logger
  readonly metrics?: Metrics
  readonly limits?: Partial<ServerLimits>
  readonly host: string
  /** 0: one the system chooses. */
  readonly port: number
  /** With it HTTP/2, and HTTP/1.1 for who does not speak that. */
  readonly tls?: Tls
  /** Requests without a token are served; only on a loopback address. */
  readonly insecureLoopback?: boolean
  /**
   * How many proxies in front add to `x-forwarded-for`; true: one. Only what they added is believed: what stands
   * before it came from whoever asks.
   */
  readonly trustProxy?: boolean | number
  /** Of the package, for the API page. */
  readonly version: string
  /** Throws when the storage does not answer. */
  checkStorage(): Promise<void>
}

export interface Server {
  readonly url: string
  /** Is not ready for `drainMs`, stops accepting, answers waiting pulls, lets requests finish for a bounded time, then cuts what is left. Once. */
  close(): Promise<void>
}

/** Listens. Rejects with `insecure_address`, and with what the system says when it cannot listen. */
export async function startServer(options: ServerOptions): Promise<Server> {
  const open = options.insecureLoopback === true
  if (open) requireLoopback(options.host)
  const limits = { ...SERVER_LIMITS, ...options.limits }
  const logger = options.logger ?? silentLogger
  const metrics = options.metrics ?? silentMetrics
  const state = { leaving: false, closing: false }

  const requests = createRequests({ logger, metrics, clock: options.clock })
  const app = openFastify({ ...options, limits }, { logger, requests })
  CLOUD_ROUTES.requireKnown(app)
  const sockets = trackSockets(app.server)
  metrics.watch('connections', {}, () => sockets.count)
  const { clock } = options
  const onDropped = (): void => metrics.count('droppedConnections', {})
  limitConnections(app.server, { ...limits, requestMs: REQUEST_MS }, { logger, clock, onDropped })
  app.setErrorHandler((error, request, reply) => sendError({ logger, requests }, error, request, reply))
  app.addHook('onRequest', async (request, reply) => {
    requests.begin(request, reply)
    void reply.headers(SECURITY_HEADERS)
    if (state.leaving && request.raw.httpVersionMajor === 1) void reply.header('connection', 'close')
    if (state.closing) throw new TidemarkError('unavailable', 'The server is stopping')
    if (open) checkLoopbackRequest(request.raw.headers)
  })
  await watchPressure(app, limits)
  const rates = await createRates(app, limits)
  CLOUD_ROUTES.refuseUnknown(app)
  const { version } = options
  const readiness = createReadiness(options.clock, () => options.checkStorage(), logger)
  addPublicRoutes(app, {
    version,
    tokens: !open,
    checkReady: () => readiness.check(),
    count: (request, reply) => rates.countAddress(request, reply),
  })
  const bodies = createBodyReader(options.clock, limits, metrics)
  addApiRoutes(app, {
    handler: options.handler,
    logger,
    rates,
    bodies,
    requests,
    level: levelFor(isLoopback(options.host)),
  })

  try {
    await app.listen({ host: options.host, port: options.port })
  } catch (error) {
    await app.close()
    throw error
  }
  const { port } = app.server.address() as AddressInfo
  const close = async (): Promise<void> => {
    readiness.stop()
    // Whoever spreads requests over several nodes sees it, and sends no new ones here.
    state.leaving = true
    sockets.closeWhenIdle()
    const drainMs = Math.max(limits.drainMs, sockets.count > 0 ? LINGER_MS : 0)
    if (drainMs > 0) await sleep(options.clock, drainMs)
    state.closing = true
    options.handler.stop()
    const cancel = options.clock.after(limits.stopMs, () => sockets.destroyAll())
    sockets.closeWhenIdle()
    let cancelQuiet = (): void => {}
    // Connections without a request would hold the stop up: of those HTTP knows only the ones that had one.
    sockets.whenQuiet(() => {
      cancelQuiet = options.clock.after(FLUSH_MS, () => sockets.destroyAll())
    })
    await app.close()
    cancel()
    cancelQuiet()
  }
  let closing: Promise<void> | null = null
  return {
    url: `${options.tls === undefined ? 'http' : 'https'}://${urlHost(options.host)}:${port}`,
    close: () => (closing ??= close()),
  }
}
