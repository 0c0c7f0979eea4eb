import { isLoopback } from '../../http/addresses.ts'
import { TidemarkError } from '../../kernel/errors.ts'

/** Throws `insecure_address` when a cloud without tokens would be reached from elsewhere. */
export function requireLoopback(host: string): void {
  if (!isLoopback(host)) throw new TidemarkError('insecure_address', undefined, { details: { host } })
}

/**
 * A cloud without tokens must not answer a web page that has made its own name point here: such a request still
 * shows the page's name as host or origin. Throws `forbidden`.
 */
export function checkLoopbackRequest(headers: {
  readonly host?: string | undefined
  readonly origin?: string | undefined
  /** What HTTP/2 has for the host; it may have both. */
  readonly ':authority'?: string | undefined
}): void {
  const named = [headers.host, headers[':authority']].filter((name) => name !== undefined)
  if (named.length === 0 || !named.every((name) => isLoopback(hostOf(name))))
    throw new TidemarkError('forbidden', 'This cloud serves requests to a loopback name only')
  if (headers.origin !== undefined && !isLoopback(hostOf(headers.origin.replace(/^[a-z]+:\/\//i, '')))) {
    throw new TidemarkError('forbidden', 'This cloud serves requests from its own machine only')
  }
}

const hostOf = (authority: string): string => authority.replace(/:\d{1,5}$/, '')
