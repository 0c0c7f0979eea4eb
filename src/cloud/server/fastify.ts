import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Socket } from 'node:net'

import { TidemarkError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import { errorBody, sendError } from './errors.ts'
import { SECURITY_HEADERS } from './headers.ts'
import { checkingMs } from './connections.ts'
import { CONNECTION_IDLE_MS, REQUEST_MS, type ServerLimits } from './limits.ts'
import { readRequestId, type Requests } from './requests.ts'

/** Requests at the same time over one HTTP/2 connection; each may be a waiting pull. */
const MAX_STREAMS = 512

/** PEM texts. */
export interface Tls {
  readonly key: string | Buffer
  readonly cert: string | Buffer
}

/** Fastify as this server wants it: no logging, no schemas and no answers of its own. */
export function openFastify(
  options: {
    readonly tls?: Tls
    readonly trustProxy?: boolean | number
    readonly limits: ServerLimits
  },
  reports: { readonly logger: Logger; readonly requests: Requests },
): FastifyInstance {
  const proxies = Number(options.trustProxy ?? 0)
  const checking = { connectionsCheckingInterval: checkingMs(options.limits) }
  const common = {
    logger: false,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    connectionTimeout: CONNECTION_IDLE_MS,
    requestTimeout: REQUEST_MS,
    http: checking,
    // Not `true`, which believes the first address of the header: whoever asks has written that one.
    trustProxy: proxies > 0 && ((_address: string, hop: number): boolean => hop < proxies),
    genReqId: readRequestId,
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply): void => {
      reports.requests.begin(request, reply)
      void sendError(reports, error, request, reply.headers(SECURITY_HEADERS))
    },
    clientErrorHandler: (error: Error & { readonly code?: string }, socket: Socket): void =>
      answerBrokenRequest(error, socket, reports.requests),
  }
  if (options.tls === undefined) return answerExpectations(Fastify(common))
  const { key, cert } = options.tls
  // As an object of no type: a server over HTTP/2 has another one, which differs only where nothing here looks.
  const settings = { maxConcurrentStreams: MAX_STREAMS }
  const handshakeTimeout = options.limits.headersMs
  const https = { key, cert, allowHTTP1: true, settings, handshakeTimeout, ...checking }
  const http2: object = { http2: true, https }
  return answerExpectations(Fastify({ ...common, ...http2 }))
}

/** An `expect` that Node does not know is passed over: its own answer has no body to read the reason from. */
function answerExpectations(app: FastifyInstance): FastifyInstance {
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  return app
}

/** A request that is not even HTTP, or that takes too long: there is no reply object yet. */
function answerBrokenRequest(
  error: Error & { readonly code?: string },
  socket: Socket,
  requests: Requests,
): void {
  // A TLS handshake that failed, or never ended, comes here too: to such a socket nothing can be said.
  const isHttp = /^(HPE_|ERR_HTTP_)/.test(error.code ?? '')
  if (!isHttp || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, failure] = describeBroken(error.code)
  requests.countBroken(failure)
  const body = JSON.stringify(errorBody(failure))
  const head = [
    `HTTP/1.1 ${status}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

function describeBroken(code: string | undefined): readonly [status: string, error: TidemarkError] {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return ['503 Service Unavailable', new TidemarkError('unavailable', 'The request did not arrive in time')]
  if (code === 'HPE_HEADER_OVERFLOW')
    return [
      '431 Request Header Fields Too Large',
      new TidemarkError('bad_request', 'The headers are too large'),
    ]
  return ['400 Bad Request', new TidemarkError('bad_request', 'This is not HTTP that this server reads')]
}
