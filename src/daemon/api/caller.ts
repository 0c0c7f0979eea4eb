import type { IncomingMessage } from 'node:http'

import { TidemarkError } from '../../kernel/errors.ts'

/** Every value of a header, also of those that Node keeps the first of. */
export function valuesOf({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>, name: string): string[] {
  const values: string[] = []
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.toLowerCase() === name) values.push(rawHeaders[at + 1] ?? '')
  return values
}

/** Names by which programs of this machine call it. Whoever owns another name may make it point here. */
const NAMES = ['127.0.0.1', 'localhost', '[::1]']
const DEFAULT_PORT = 80

/**
 * D7: refuses what a web page can send: a request under a name of its own (DNS rebinding), one from another origin,
 * one that a browser says comes from another site. What a browser never sends, a program of this machine may, and has
 * to show the token. Throws `forbidden` and `bad_request`.
 */
export function createCallerCheck(
  port: number,
): (request: Pick<IncomingMessage, 'rawHeaders' | 'url'>) => void {
  const hosts = new Set(NAMES.map((name) => `${name}:${port}`))
  // The one port that browsers leave out.
  if (port === DEFAULT_PORT) for (const name of NAMES) hosts.add(name)

  return (request) => {
    const [host, ...others] = valuesOf(request, 'host')
    // Exactly: other spellings of these names are of no use to anybody but who looks for a gap.
    if (host === undefined || others.length > 0 || !hosts.has(host))
      throw new TidemarkError('forbidden', 'The daemon answers to a loopback name with its port only')
    for (const origin of valuesOf(request, 'origin')) {
      if (origin !== `http://${host}`)
        throw new TidemarkError('forbidden', 'The daemon answers no page of another origin')
    }
    for (const site of valuesOf(request, 'sec-fetch-site')) {
      if (site !== 'same-origin' && site !== 'none')
        throw new TidemarkError('forbidden', 'The daemon answers no page of another site')
    }
    // An absolute address names a host of its own, which would be believed before the header.
    if (request.url?.startsWith('/') !== true)
      throw new TidemarkError('bad_request', 'The address of a request begins with a slash')
  }
}
