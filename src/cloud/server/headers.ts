import type { FastifyRequest } from 'fastify'

import { HEADERS } from '../../protocol/routes.ts'
import type { Credentials } from '../handler/access.ts'

/** On every answer: nothing is sniffed, framed, cached or run. There is no CORS header, so no web page can read. */
export const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
} as const

/** One value of a header; several are joined by Node already, but for a few. */
export function readHeader(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(',') : value
}

export function readCredentials(request: FastifyRequest): Credentials {
  return {
    token: readBearer(request.headers.authorization),
    device: readHeader(request, HEADERS.device),
    protocol: readHeader(request, HEADERS.protocol),
    request: request.id,
  }
}

/** The token; null without the header, empty (which no token is) when the header is of another kind. */
function readBearer(header: string | undefined): string | null {
  if (header === undefined) return null
  const [scheme, token, more] = header.split(' ')
  return scheme?.toLowerCase() === 'bearer' && token !== undefined && more === undefined ? token : ''
}
