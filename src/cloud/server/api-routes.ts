import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Readable } from 'node:stream'

import { TidemarkError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import { HEADERS, ROUTES } from '../../protocol/routes.ts'
import type { Admission } from '../handler/access.ts'
import { API_ROUTES, type ApiRoute } from '../handler/contract.ts'
import type { Handler, RequestInput } from '../handler/handler.ts'
import { sendAnswer } from './answers.ts'
import type { BodyReader, ReceivedBody } from './body.ts'
import { onEnded } from '../../http/ended.ts'
import { readHeader } from '../../http/headers.ts'
import { readCredentials } from './headers.ts'
import type { Rates } from './rates.ts'
import type { RequestNotes, Requests } from './requests.ts'

export interface ApiRoutes {
  readonly handler: Handler
  readonly logger: Logger
  readonly rates: Rates
  readonly bodies: BodyReader
  readonly requests: Requests
  /** How hard to compress answers. */
  readonly level: number
}

/** Every route that needs a token, from the one table of routes. */
export function addApiRoutes(app: FastifyInstance, routes: ApiRoutes): void {
  const { handler, rates, requests } = routes
  const admissions = new WeakMap<FastifyRequest, Admission>()
  readJsonBodies(app, routes.bodies)

  for (const route of API_ROUTES) {
    app.route({
      method: ROUTES[route].method,
      url: ROUTES[route].path,
      // I12: who asks is settled before a byte of the body is read.
      onRequest: async (request, reply) => {
        await rates.countAddress(request, reply)
        const admission = await handler.admit(route, readCredentials(request))
        requests.notesOf(request).token = admission.grant.tokenId
        await rates.countToken(request, reply, admission.grant.tokenId)
        admissions.set(request, admission)
      },
      handler: async (request, reply) => {
        const body = request.body as ReceivedBody | undefined
        const notes = requests.notesOf(request)
        notes.received = body?.bytes.length ?? 0
        try {
          const admission = admissions.get(request)
          if (admission === undefined) throw new TidemarkError('unauthorized')
          const answer = await handler.answer(admission, readInput(route, request, reply, body, notes))
          return await sendAnswer(answer, request, reply, { ...routes, notes })
        } finally {
          body?.release()
        }
      },
    })
  }
}

function readJsonBodies(app: FastifyInstance, bodies: BodyReader): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', async (request: FastifyRequest, payload: Readable) => {
    const charset = /charset\s*=\s*"?([^\s;"]+)/i.exec(request.headers['content-type'] ?? '')?.[1]
    if (charset !== undefined && charset.toLowerCase() !== 'utf-8') {
      throw new TidemarkError('unsupported_encoding', 'The body is not JSON in UTF-8')
    }
    return bodies.read(payload, request.raw.headers)
  })
}

function readInput(
  route: ApiRoute,
  request: FastifyRequest,
  reply: FastifyReply,
  body: ReceivedBody | undefined,
  notes: RequestNotes,
): RequestInput {
  const { id } = request.params as { readonly id?: string }
  return {
    id,
    query: request.query as RequestInput['query'],
    resume: readHeader(request, HEADERS.resume),
    body: body?.bytes,
    // The two routes that may take long.
    signal: route === 'pull' || route === 'hydrate' ? closeSignal(request, reply) : undefined,
    onWaited: (ms) => {
      notes.waitedMs += ms
    },
  }
}

/** Aborts when the connection closes before the answer is out. */
function closeSignal(request: FastifyRequest, reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  onEnded(request, reply, (whole) => {
    if (!whole) controller.abort()
  })
  return controller.signal
}
