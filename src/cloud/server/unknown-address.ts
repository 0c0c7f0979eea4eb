import type { FastifyInstance } from 'fastify'

import { TidemarkError } from '../../kernel/errors.ts'
import { ROUTES } from '../../protocol/routes.ts'

const PATTERNS = Object.values(ROUTES).map(({ method, path }) => ({
  method,
  pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace(/:\w+/g, '[^/]+')}$`),
}))

/** Methods of the routes at a path; empty when there is none. */
export function methodsAt(path: string): readonly string[] {
  return PATTERNS.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method)
}

/** I12: a route outside of the table has no scope. Adding one throws `invariant`, so that a server with it never starts. */
export function requireKnownRoutes(app: FastifyInstance): void {
  app.addHook('onRoute', ({ method, url }) => {
    const known = methodsAt(url)
    if ([method].flat().every((one) => known.includes(one))) return
    throw new TidemarkError('invariant', `The route ${[method].flat().join()} ${url} is in no table`)
  })
}

/** Answers 404, or 405 with the methods there are: before a body is read, since nobody has shown a token. */
export function refuseUnknown(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    if (!request.is404) return
    const methods = methodsAt(request.raw.url?.split('?', 1)[0] ?? '')
    if (methods.length === 0) throw new TidemarkError('not_found')
    void reply.header('allow', methods.join(', '))
    throw new TidemarkError('method_not_allowed', undefined, { details: { allow: methods } })
  })
}
