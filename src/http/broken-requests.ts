import type { FastifyInstance } from 'fastify'
import type { Socket } from 'node:net'

import { TidemarkError } from '../kernel/errors.ts'
import { errorBody } from './errors.ts'

/** What Node says of a connection that went wrong. */
export type ClientError = Error & { readonly code?: string }

/** Answers a request that is not even HTTP, or that takes too long: there is no reply object yet. */
export function answerBrokenRequest(
  error: ClientError,
  socket: Socket,
  onAnswered: (error: TidemarkError) => void = () => {},
): void {
  // A TLS handshake that failed, or never ended, comes here too: to such a socket nothing can be said.
  const isHttp = /^(HPE_|ERR_HTTP_)/.test(error.code ?? '')
  if (!isHttp || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, failure] = describeBroken(error.code)
  onAnswered(failure)
  const body = JSON.stringify(errorBody(failure))
  const head = [
    `HTTP/1.1 ${status}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

function describeBroken(code: string | undefined): readonly [status: string, error: TidemarkError] {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return ['503 Service Unavailable', new TidemarkError('unavailable', 'The request did not arrive in time')]
  if (code === 'HPE_HEADER_OVERFLOW')
    return [
      '431 Request Header Fields Too Large',
      new TidemarkError('bad_request', 'The headers are too large'),
    ]
  return ['400 Bad Request', new TidemarkError('bad_request', 'This is not HTTP that this server reads')]
}

/** An `expect` that Node does not know is passed over: its own answer has no body to read the reason from. */
export function answerExpectations(app: FastifyInstance): FastifyInstance {
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  return app
}
