import type { FastifyInstance } from 'fastify'

import { TidemarkError } from '../kernel/errors.ts'

/** All routes of a server: what is not in the table is never served. */
export interface RouteTable {
  /** Methods of the routes at a path; empty when there is none. */
  methodsAt(path: string): readonly string[]
  /** I12: a route outside of the table has no scope. Adding one throws `invariant`, so that a server with it never starts. */
  requireKnown(app: FastifyInstance): void
  /** Answers 404, or 405 with the methods there are: before a body is read, since nobody has shown a token. */
  refuseUnknown(app: FastifyInstance): void
}

export function createRouteTable(
  routes: readonly { readonly method: string; readonly path: string }[],
): RouteTable {
  const patterns = routes.map(({ method, path }) => ({
    method,
    pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace(/:\w+/g, '[^/]+')}$`),
  }))
  const methodsAt = (path: string): readonly string[] =>
    patterns.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method)
  return {
    methodsAt,
    requireKnown(app) {
      app.addHook('onRoute', ({ method, url }) => {
        const known = methodsAt(url)
        if ([method].flat().every((one) => known.includes(one))) return
        throw new TidemarkError('invariant', `The route ${[method].flat().join()} ${url} is in no table`)
      })
    },
    refuseUnknown(app) {
      app.addHook('onRequest', async (request, reply) => {
        if (!request.is404) return
        const methods = methodsAt(request.raw.url?.split('?', 1)[0] ?? '')
        if (methods.length === 0) throw new TidemarkError('not_found')
        void reply.header('allow', methods.join(', '))
        throw new TidemarkError('method_not_allowed', undefined, { details: { allow: methods } })
      })
    },
  }
}
