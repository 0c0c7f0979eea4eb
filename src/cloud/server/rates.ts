import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'

import { TidemarkError } from '../../kernel/errors.ts'
import type { ServerLimits } from './limits.ts'

export interface Rates {
  /** Throws `rate_limited`. Counted before anything is looked up. */
  countAddress(request: FastifyRequest): Promise<void>
  /** Throws `rate_limited`. A waiting pull counts once. */
  countToken(request: FastifyRequest, tokenId: string): Promise<void>
}

export async function createRates(app: FastifyInstance, limits: ServerLimits): Promise<Rates> {
  await app.register(rateLimit, { global: false, timeWindow: '1 minute', cache: 20_000 })
  const tokens = new WeakMap<FastifyRequest, string>()
  const byAddress = app.createRateLimit({
    max: limits.addressPerMinute,
    keyGenerator: (request) => `address ${request.ip}`,
  })
  const byToken = app.createRateLimit({
    max: limits.tokenPerMinute,
    keyGenerator: (request) => `token ${tokens.get(request) ?? ''}`,
  })

  const count = async (limiter: typeof byAddress, request: FastifyRequest): Promise<void> => {
    const state = await limiter(request)
    if (!state.isAllowed && state.isExceeded)
      throw new TidemarkError('rate_limited', undefined, { retryAfterMs: state.ttl })
  }

  return {
    async countAddress(request) {
      if (limits.addressPerMinute > 0) await count(byAddress, request)
    },
    async countToken(request, tokenId) {
      if (limits.tokenPerMinute === 0) return
      tokens.set(request, tokenId)
      await count(byToken, request)
    },
  }
}
