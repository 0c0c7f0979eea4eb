import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Readable } from 'node:stream'
import type { TSchema } from 'typebox'

import { bodyTooLarge, collectBody } from '../../http/collect-body.ts'
import { bodyText, parseJson } from '../../http/json.ts'
import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { compileFit } from './fit.ts'
import type { ApiLimits } from './limits.ts'

/** A body as it came, and the way to say that it is no longer in memory. */
export interface ReceivedBody {
  readonly bytes: Buffer
  release(): void
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Bytes that the body of this route may have. */
    readonly maxBody?: number
  }
}

/** Reads JSON only, whole, within the bound of its route and one together, and never waits for ever. */
export function readBodies(app: FastifyInstance, limits: ApiLimits, clock: Clock): void {
  let used = 0
  const read = async (request: FastifyRequest, payload: Readable): Promise<ReceivedBody> => {
    const { 'content-type': type = '', 'content-encoding': encoding = 'identity' } = request.headers
    const charset = /charset\s*=\s*"?([^\s;"]+)/i.exec(type)?.[1]
    if (charset !== undefined && charset.toLowerCase() !== 'utf-8')
      throw new TidemarkError('unsupported_encoding', 'The body is not JSON in UTF-8')
    if (encoding.toLowerCase() !== 'identity')
      throw new TidemarkError('unsupported_encoding', 'The daemon reads no compressed bodies')
    const bounds = { ...limits, bodyBytes: request.routeOptions.config.maxBody ?? 0 }
    if (Number(request.headers['content-length'] ?? 0) > bounds.bodyBytes) throw bodyTooLarge(bounds)
    let held = 0
    const release = (): void => {
      used -= held
      held = 0
    }
    try {
      const bytes = await collectBody(payload, clock, bounds, (more) => {
        held += more
        used += more
        if (used > limits.bodiesBytes)
          throw new TidemarkError('unavailable', 'Too many large requests at the same time', {
            retryAfterMs: 1_000,
          })
      })
      return { bytes, release }
    } catch (error) {
      release()
      throw error
    }
  }
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', read)
}

/** A body by its schema. Without one there must be none. Throws `bad_request`. */
export function createBodyReader(schema: TSchema | undefined): (bytes: Uint8Array | undefined) => unknown {
  if (schema === undefined)
    return (bytes) => {
      if ((bytes?.length ?? 0) > 0)
        throw new TidemarkError('bad_request', 'This operation takes no body', { details: { at: '/body' } })
    }
  const check = compileFit(schema, '/body')
  return (bytes) => {
    // Also of a small one: what is nested deeply breaks whoever prints it.
    const text = bodyText(bytes, 0)
    const value = check(parseJson(text))
    if (SURROGATE.test(text)) requireWellFormed(value, '/body')
    return value
  }
}

/** The only way for half a character into JSON that is UTF-8. */
const SURROGATE = /\\u[dD]/
const MAX_PLACE_CHARS = 200

/** I10: half a character would be kept as another one, unseen. */
function requireWellFormed(value: unknown, at: string): void {
  if (typeof value === 'string') {
    if (value.isWellFormed()) return
    throw new TidemarkError('bad_request', `Text with half a character (a lone surrogate) at ${at}`, {
      details: { at },
    })
  }
  if (typeof value !== 'object' || value === null) return
  for (const [key, item] of Object.entries(value)) {
    requireWellFormed(key, at)
    requireWellFormed(item, `${at}/${key}`.slice(0, MAX_PLACE_CHARS).toWellFormed())
  }
}
