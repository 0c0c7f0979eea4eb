import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Socket } from 'node:net'

import { answerBrokenRequest, answerExpectations, type ClientError } from '../../http/broken-requests.ts'
import { checkingMs } from '../../http/connections.ts'
import { SECURITY_HEADERS } from '../../http/headers.ts'
import type { Logger } from '../../kernel/logger.ts'
import { sendError } from './errors.ts'
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
  const checking = { connectionsCheckingInterval: checkingMs(options.limits.headersMs) }
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
    clientErrorHandler: (error: ClientError, socket: Socket): void =>
      answerBrokenRequest(error, socket, (failure) => reports.requests.countBroken(failure)),
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
