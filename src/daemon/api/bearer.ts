import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

import { readBearer } from '../../http/headers.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { valuesOf } from './caller.ts'

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Throws `unauthorized` unless the request shows the token, once. How long that takes tells nothing of the token. */
export function createBearerCheck(token: string): (request: Pick<IncomingMessage, 'rawHeaders'>) => void {
  const known = digest(token)
  return (request) => {
    const [header, ...others] = valuesOf(request, 'authorization')
    if (header === undefined) throw new TidemarkError('unauthorized', 'The request has no token')
    const shown = others.length === 0 ? (readBearer(header) ?? '') : ''
    if (shown === '' || !timingSafeEqual(digest(shown), known))
      throw new TidemarkError('unauthorized', 'This is not the token of the daemon')
  }
}
