import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { AddressInfo, Socket } from 'node:net'

import { isLoopback, urlHost } from '../../http/addresses.ts'
import { answerBrokenRequest, answerExpectations, type ClientError } from '../../http/broken-requests.ts'
import { checkingMs, limitConnections } from '../../http/connections.ts'
import { SECURITY_HEADERS } from '../../http/headers.ts'
import { toListenError } from '../../http/listening.ts'
import { createPage } from '../../http/page.ts'
import { createRouteTable } from '../../http/route-table.ts'
import { trackSockets } from '../../http/sockets.ts'
import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { silentLogger, type Logger } from '../../kernel/logger.ts'
import { DAEMON_API, OPERATIONS } from '../../protocol/daemon-api.ts'
import { createBearerCheck } from './bearer.ts'
import { readBodies } from './body.ts'
import { createCallerCheck, valuesOf } from './caller.ts'
import { sendApiError, toApiError } from './errors.ts'
import type { Handlers, Streams } from './handlers.ts'
import { API_LIMITS, type ApiLimits } from './limits.ts'
import { createOpenApi, PUBLIC } from './openapi.ts'
import { mountOperations } from './operations.ts'
import { CHALLENGE_HEADER, PROOF_HEADER, proveToken } from './proof.ts'
import { sendEvents } from './stream.ts'

const HOST = '127.0.0.1'
/** An id of 256 characters, each of four bytes in percent signs. */
const MAX_PARAM_CHARS = 256 * 12
/** What the last answers of a stop get to leave the machine, in milliseconds. */
const FLUSH_MS = 100
/** What a connection holds of its answer before whoever makes it waits: a quarter of Node's own, a thousand times. */
const SOCKET_BYTES = 16 * 1_024

export interface ApiOptions {
  readonly handlers: Handlers
  readonly streams: Streams
  readonly token: string
  /** Absent: 127.0.0.1. */
  readonly host?: string
  /** 0: one the system chooses. */
  readonly port: number
  /** Where the port is taken, one the system chooses. */
  readonly anyPort?: boolean
  /** Of the package. */
  readonly version: string
  readonly logger?: Logger
  readonly clock: Clock
  readonly limits?: Partial<ApiLimits>
}

export interface Api {
  readonly url: string
  readonly port: number
  /** Stops accepting, ends streams, has waiters answered, lets requests finish for a bounded time, then cuts what is left. Once. */
  close(): Promise<void>
}

/** Serves the API of the daemon to this machine. Rejects with `insecure_address` and `cannot_listen`. */
export async function startApi(options: ApiOptions): Promise<Api> {
  const { host = HOST, clock, logger = silentLogger, token } = options
  if (!isLoopback(host))
    throw new TidemarkError('insecure_address', 'The daemon listens on loopback addresses only', {
      details: { host },
    })
  const limits = { ...API_LIMITS, ...options.limits }
  const underWay = new Set<AbortController>()
  let stopping = false
  const requireToken = createBearerCheck(token)
  // Known once it listens; who comes before is refused.
  let port = options.port
  let checkCaller: ReturnType<typeof createCallerCheck> = () => {
    throw new TidemarkError('unavailable', 'The daemon is starting')
  }

  const app = openFastify(limits, (error, request, reply) => {
    void reply.headers(SECURITY_HEADERS)
    void sendApiError(logger, refusalOf(request) ?? error, request, reply)
  })
  const refusalOf = (request: FastifyRequest): unknown => {
    try {
      checkCaller(request.raw)
      return null
    } catch (refusal) {
      return refusal
    }
  }
  const routes = createRouteTable([
    ...Object.values(OPERATIONS).map(({ method, path }) => ({ method, path: DAEMON_API + path })),
    ...Object.values(PUBLIC),
  ])
  routes.requireKnown(app)
  const sockets = trackSockets(app.server)
  limitConnections(app.server, limits, { logger, clock })
  app.setErrorHandler((error, request, reply) => sendApiError(logger, error, request, reply))
  app.addHook('onRequest', async (request, reply) => {
    void reply.headers(SECURITY_HEADERS)
    // D7: before anything else is looked at.
    checkCaller(request.raw)
    if (!stopping) return
    void reply.header('connection', 'close')
    throw new TidemarkError('unavailable', 'The daemon is stopping')
  })
  routes.refuseUnknown(app)
  readBodies(app, limits, clock)
  mountOperations(app, {
    handlers: options.handlers,
    streams: options.streams,
    requireToken: ({ raw }) => requireToken(raw),
    signalOf: (_request, reply) => signalOf(reply, underWay),
    onHealth(request, reply) {
      const [challenge] = valuesOf(request.raw, CHALLENGE_HEADER)
      const proof = challenge === undefined ? null : proveToken(token, challenge, port)
      if (proof !== null) void reply.header(PROOF_HEADER, proof)
    },
    async stream(events, request, reply, signal) {
      const about = { route: request.routeOptions.url ?? '', request: request.id }
      const toError = (thrown: unknown): TidemarkError => toApiError(thrown, logger, about)
      await sendEvents({ events, response: reply.raw, signal, clock, limits, toError })
      // Only now: what fails before its first event is answered like any other request.
      reply.hijack()
    },
  })
  addPublicRoutes(app, options.version)

  const listen = (at: number): Promise<string> => app.listen({ host, port: at })
  try {
    await listen(port).catch(async (error: unknown) => {
      const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
      if (!isTaken || options.anyPort !== true) throw error
      await listen(0)
    })
  } catch (error) {
    await app.close()
    throw toListenError(error, { host, port })
  }
  port = (app.server.address() as AddressInfo).port
  checkCaller = createCallerCheck(port)

  const close = async (): Promise<void> => {
    const cancel = clock.after(limits.stopMs, () => sockets.destroyAll())
    sockets.closeWhenIdle()
    stopping = true
    for (const controller of underWay)
      controller.abort(new TidemarkError('aborted', 'The daemon is stopping'))
    let cancelQuiet = (): void => {}
    // Connections without a request would hold the stop up: of those HTTP knows only the ones that had one.
    sockets.whenQuiet(() => {
      cancelQuiet = clock.after(FLUSH_MS, () => sockets.destroyAll())
    })
    await app.close()
    cancel()
    cancelQuiet()
  }
  let closing: Promise<void> | null = null
  return { url: `http://${urlHost(host)}:${port}`, port, close: () => (closing ??= close()) }
}

function openFastify(
  limits: ApiLimits,
  onFrameworkError: (error: Error, request: FastifyRequest, reply: FastifyReply) => void,
): FastifyInstance {
  const app = Fastify({
    logger: false,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    connectionTimeout: limits.idleMs,
    requestTimeout: limits.requestMs,
    http: { connectionsCheckingInterval: checkingMs(limits.headersMs), highWaterMark: SOCKET_BYTES },
    routerOptions: { maxParamLength: MAX_PARAM_CHARS },
    frameworkErrors: onFrameworkError,
    clientErrorHandler: (error: ClientError, socket: Socket): void => answerBrokenRequest(error, socket),
  })
  // Older Nodes drop headers past a thousand, and with them what says where a request comes from; newer refuse those.
  app.server.maxHeadersCount = 0
  return answerExpectations(app)
}

/** Aborts when the connection closes before the answer is out; until then it is among those that a stop aborts. */
function signalOf({ raw }: FastifyReply, underWay: Set<AbortController>): AbortSignal {
  const controller = new AbortController()
  underWay.add(controller)
  raw.once('close', () => {
    underWay.delete(controller)
    if (!raw.writableFinished) controller.abort(new TidemarkError('aborted', 'Nobody waits for the answer'))
  })
  return controller.signal
}

function addPublicRoutes(app: FastifyInstance, version: string): void {
  const document = createOpenApi(version)
  const text = JSON.stringify(document)
  const page = createPage(document, ['api/v1/health'])
  app.route({
    method: PUBLIC.openapi.method,
    url: PUBLIC.openapi.path,
    handler: async (_request, reply) => reply.type('application/json; charset=utf-8').send(text),
  })
  app.route({
    method: PUBLIC.page.method,
    url: PUBLIC.page.path,
    handler: async (_request, reply) => {
      void reply.header('content-security-policy', page.policy)
      return reply.type('text/html; charset=utf-8').send(page.html)
    },
  })
}
