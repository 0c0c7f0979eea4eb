import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

import { TidemarkError } from '../../kernel/errors.ts'
import type { ServerLimits } from './limits.ts'

/** Of tokens, and of addresses apart, that are counted at the same time; past it the one unseen longest starts anew. */
const MAX_COUNTED = 20_000
const WINDOW_S = 60

export interface Rates {
  /** Throws `rate_limited`. Counted before anything is looked up. */
  countAddress(request: FastifyRequest, reply: FastifyReply): Promise<void>
  /** Throws `rate_limited`. A waiting pull counts once. */
  countToken(request: FastifyRequest, reply: FastifyReply, tokenId: string): Promise<void>
}

/**
 * Requests in fixed windows of a minute, counted in this process: each node of several allows as many. What is left
 * is told by the header fields of the IETF's draft "RateLimit header fields for HTTP": `RateLimit-Policy` (q: quota,
 * w: window in seconds) and `RateLimit` (r: remaining, t: seconds until the window ends).
 */
export async function createRates(app: FastifyInstance, limits: ServerLimits): Promise<Rates> {
  await app.register(rateLimit, { global: false, timeWindow: WINDOW_S * 1_000, cache: MAX_COUNTED })
  const tokens = new WeakMap<FastifyRequest, string>()
  // Without a generator of our own the key is the address; of IPv6 its /64, which is what one customer gets.
  const byAddress = app.createRateLimit({ max: limits.addressPerMinute })
  const byToken = app.createRateLimit({
    max: limits.tokenPerMinute,
    keyGenerator: (request) => tokens.get(request) ?? '',
  })
  const policies = [
    { name: 'address', limiter: byAddress, quota: limits.addressPerMinute },
    { name: 'token', limiter: byToken, quota: limits.tokenPerMinute },
  ].filter(({ quota }) => quota > 0)
  const told = policies.map(({ name, quota }) => `"${name}";q=${quota};w=${WINDOW_S}`).join(', ')

  const count = async (name: string, request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const policy = policies.find((one) => one.name === name)
    if (policy === undefined) return
    const state = await policy.limiter(request)
    if (state.isAllowed) return
    const before = reply.getHeader('ratelimit')
    const left = `"${name}";r=${state.remaining};t=${state.ttlInSeconds}`
    void reply.header('ratelimit-policy', told)
    void reply.header('ratelimit', typeof before === 'string' ? `${before}, ${left}` : left)
    if (!state.isExceeded) return
    throw new TidemarkError('rate_limited', `Too many requests of this ${name}`, {
      details: { policy: name, limit: policy.quota, seconds: WINDOW_S },
      retryAfterMs: state.ttl,
    })
  }

  return {
    countAddress: (request, reply) => count('address', request, reply),
    countToken(request, reply, tokenId) {
      tokens.set(request, tokenId)
      return count('token', request, reply)
    },
  }
}
