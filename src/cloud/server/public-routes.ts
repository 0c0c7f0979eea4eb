import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

import { createPage } from '../../http/page.ts'
import { ROUTES } from '../../protocol/routes.ts'
import { createOpenApi } from './openapi.ts'
import { answeredUnderPressure } from './pressure.ts'

export interface PublicRoutes {
  readonly version: string
  /** Whether requests need a token. */
  readonly tokens: boolean
  /** Throws `unavailable` while the server cannot work. */
  checkReady(): Promise<void>
  /** Throws `rate_limited`. */
  count(request: FastifyRequest, reply: FastifyReply): Promise<void>
}

/** What everybody may ask: whether the process lives, whether it can work, and what the API is. */
export function addPublicRoutes(app: FastifyInstance, routes: PublicRoutes): void {
  const document = createOpenApi(routes)
  const text = JSON.stringify(document)
  const page = createPage(document, ['healthz', 'readyz'])
  const onRequest = (request: FastifyRequest, reply: FastifyReply): Promise<void> =>
    routes.count(request, reply)

  app.route({ ...place('healthz'), config: answeredUnderPressure, handler: async () => ({ status: 'ok' }) })
  app.route({
    ...place('readyz'),
    onRequest,
    handler: async () => {
      await routes.checkReady()
      return { status: 'ready' }
    },
  })
  app.route({
    ...place('openapi'),
    onRequest,
    handler: async (_request, reply) => reply.type('application/json; charset=utf-8').send(text),
  })
  app.route({
    ...place('page'),
    onRequest,
    handler: async (_request, reply) => {
      void reply.header('content-security-policy', page.policy)
      return reply.type('text/html; charset=utf-8').send(page.html)
    },
  })
}

const place = (route: 'healthz' | 'readyz' | 'openapi' | 'page') => ({
  method: ROUTES[route].method,
  url: ROUTES[route].path,
})
