import type { FastifyReply, FastifyRequest } from 'fastify'

/** Calls back once, when nothing more can be said: `whole` when all of the answer went out before the connection broke. */
export function onEnded(
  request: FastifyRequest,
  { raw }: FastifyReply,
  ended: (whole: boolean) => void,
): void {
  let finished = false
  raw.once('finish', () => (finished = true))
  // Over HTTP/2 the answer to a stream that was reset "finishes" too, and says that it was all written.
  raw.once('close', () => ended(finished && !isReset(request)))
}

/** Only requests over HTTP/2 have a stream. */
function isReset({ raw }: FastifyRequest): boolean {
  const stream: unknown = Reflect.get(raw, 'stream')
  return typeof stream === 'object' && stream !== null && Reflect.get(stream, 'aborted') === true
}
