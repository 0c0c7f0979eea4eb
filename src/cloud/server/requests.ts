import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

import type { FastifyReply, FastifyRequest } from 'fastify'

import type { Clock } from '../../kernel/clock.ts'
import type { ErrorCode, TidemarkError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import { ROUTES } from '../../protocol/routes.ts'
import { onEnded } from '../../http/ended.ts'
import { METHODS, type MethodLabel, type Metrics, type RouteLabel, type StatusLabel } from '../metrics.ts'

/** Whoever asks may name the request, and finds it again in the log; else it gets a name. */
export const REQUEST_ID_HEADER = 'x-request-id'
const REQUEST_ID = /^[\w.:+/=@-]{1,64}$/

/** What becomes known of a request while it is answered. */
export interface RequestNotes {
  /** The id of its token; never the token. */
  token?: string
  /** The code of the error that answers it. */
  code?: ErrorCode
  /** What a pull waited for a change, in milliseconds: no latency. */
  waitedMs: number
  /** Bytes of its body, decompressed, and of its answer, before compression. */
  received: number
  sent: number
}

/** Every request, from its first line to the end of its answer: one line of the log, and the numbers. */
export interface Requests {
  begin(request: FastifyRequest, reply: FastifyReply): void
  notesOf(request: FastifyRequest): RequestNotes
  /** One that is no HTTP, or never became a whole request. */
  countBroken(error: TidemarkError): void
}

export function createRequests(deps: {
  readonly logger: Logger
  readonly metrics: Metrics
  readonly clock: Clock
}): Requests {
  const { logger, metrics, clock } = deps
  const notes = new WeakMap<FastifyRequest, RequestNotes>()
  let underWay = 0
  metrics.watch('requestsUnderWay', {}, () => underWay)

  const notesOf = (request: FastifyRequest): RequestNotes => {
    let own = notes.get(request)
    if (own === undefined) notes.set(request, (own = { waitedMs: 0, received: 0, sent: 0 }))
    return own
  }

  return {
    notesOf,

    begin(request, reply) {
      void reply.header(REQUEST_ID_HEADER, request.id)
      const route = routeOf(request)
      const endTime = metrics.time('requestSeconds', { route })
      const startedAt = clock.now()
      underWay++
      onEnded(request, reply, (whole) => {
        underWay--
        const { token, code, waitedMs, received, sent } = notesOf(request)
        const status = whole ? reply.raw.statusCode : null
        if (whole && code !== undefined) metrics.count('errors', { code })
        metrics.count('requests', { route, method: methodOf(request.method), status: statusOf(status) })
        if (received > 0) metrics.count('receivedBytes', { route }, received)
        if (sent > 0) metrics.count('sentBytes', { route }, sent)
        // What nobody waited for to its end says nothing of how fast answers are.
        if (whole) endTime(waitedMs / 1_000)
        const ms = Math.max(0, clock.now() - startedAt)
        const line = {
          request: request.id,
          route,
          status,
          ms,
          waited: waitedMs,
          received,
          sent,
          token,
          code: whole ? code : undefined,
        }
        // Probes come every few seconds, for ever.
        if (route === 'healthz' || route === 'readyz') logger.debug('Request', line)
        else logger.info('Request', line)
      })
    },

    countBroken(error) {
      metrics.count('requests', { route: 'none', method: 'other', status: statusOf(error.status) })
      metrics.count('errors', { code: error.code })
    },
  }
}

export function readRequestId({ headers }: Pick<IncomingMessage, 'headers'>): string {
  const shown = headers[REQUEST_ID_HEADER]
  return typeof shown === 'string' && REQUEST_ID.test(shown) ? shown : randomUUID()
}

const ROUTE_AT = new Map(
  (Object.keys(ROUTES) as (keyof typeof ROUTES)[]).map((route) => [
    `${ROUTES[route].method} ${ROUTES[route].path}`,
    route,
  ]),
)

const routeOf = ({ method, routeOptions }: FastifyRequest): RouteLabel =>
  ROUTE_AT.get(`${method} ${routeOptions.url ?? ''}`) ?? 'none'

const methodOf = (method: string): MethodLabel => METHODS.find((known) => known === method) ?? 'other'

function statusOf(status: number | null): StatusLabel {
  if (status === null) return 'gone'
  if (status >= 500) return '5xx'
  if (status >= 400) return '4xx'
  return status >= 300 ? '3xx' : '2xx'
}
