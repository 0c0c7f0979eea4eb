import type { FastifyRequest } from 'fastify'

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

/** The token; null without the header, empty (which no token is) when the header is of another kind. */
export function readBearer(header: string | undefined): string | null {
  if (header === undefined) return null
  const [scheme, token, more] = header.split(' ')
  return scheme?.toLowerCase() === 'bearer' && token !== undefined && more === undefined ? token : ''
}
