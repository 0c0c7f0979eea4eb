import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

import { readHeader } from '../../http/headers.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { RecordId } from '../../protocol/agents.ts'
import { DAEMON_API, OPERATIONS, type OperationId } from '../../protocol/daemon-api.ts'
import type { Operation } from '../../protocol/operation.ts'
import { createBodyReader, type ReceivedBody } from './body.ts'
import { compileFit } from './fit.ts'
import type { ApiRequest, Handlers, ServerSentEvent, Streams } from './handlers.ts'
import { maxBodyBytes } from './limits.ts'
import { createQueryReader } from './query.ts'

export const OPERATION_IDS = Object.keys(OPERATIONS) as readonly OperationId[]

export interface MountOptions {
  readonly handlers: Handlers
  readonly streams: Streams
  /** Throws `unauthorized`. */
  requireToken(request: FastifyRequest): void
  /** A signal that aborts when nobody waits for the answer any more, or the daemon stops. */
  signalOf(request: FastifyRequest, reply: FastifyReply): AbortSignal
  /** Told of each answer of `GET /health`. */
  onHealth(request: FastifyRequest, reply: FastifyReply): void
  stream(
    events: AsyncIterable<ServerSentEvent>,
    request: FastifyRequest,
    reply: FastifyReply,
    signal: AbortSignal,
  ): Promise<void>
}

/** Checked against the operation's schemas, which is what its types say. */
type AnyRequest = ApiRequest<never>
type AnyHandler = (request: AnyRequest) => unknown
type AnyStream = (request: AnyRequest) => AsyncIterable<ServerSentEvent>

/** Every operation of the contract. */
export function mountOperations(app: FastifyInstance, options: MountOptions): void {
  const handlers: { readonly [id: string]: AnyHandler } = options.handlers
  const streams: { readonly [id: string]: AnyStream } = options.streams
  for (const id of OPERATION_IDS) {
    const operation: Operation = OPERATIONS[id]
    const read = createInputReader(operation)
    const isStream = operation.answer === undefined
    const handler = isStream ? undefined : handlers[id]
    const stream = isStream ? streams[id] : undefined
    app.route({
      method: operation.method,
      url: DAEMON_API + operation.path,
      config: { maxBody: maxBodyBytes(id) },
      // D7: who asks is settled before a byte of the body is read.
      onRequest: async (request) => {
        if (operation.open !== true) options.requireToken(request)
      },
      handler: async (request, reply) => {
        const body = request.body as ReceivedBody | undefined
        try {
          const signal = options.signalOf(request, reply)
          const input = read(request, body, signal)
          if (stream !== undefined) return await options.stream(stream(input), request, reply, signal)
          if (handler === undefined) throw new TidemarkError('invariant', `Nobody answers ${id}`)
          const answer = await handler(input)
          if (id === 'getHealth') options.onHealth(request, reply)
          return await reply.type('application/json; charset=utf-8').send(JSON.stringify(answer))
        } finally {
          body?.release()
        }
      },
    })
  }
}

const checkId = compileFit(RecordId, '/id')

/** What a request says, by the operation's schemas. */
function createInputReader(
  operation: Operation,
): (request: FastifyRequest, body: ReceivedBody | undefined, signal: AbortSignal) => AnyRequest {
  const readQuery = createQueryReader(operation.query)
  const checkQuery = operation.query === undefined ? null : compileFit(operation.query, '/query')
  const readBody = createBodyReader(operation.body)
  const hasId = operation.path.includes(':id')
  return (request, body, signal) => {
    const { id } = request.params as { readonly id?: string }
    const query = readQuery(request.raw.url ?? '')
    const input = {
      id: hasId ? checkId(id) : undefined,
      query: checkQuery?.(query),
      body: readBody(body?.bytes),
      signal,
      lastEventId: readHeader(request, 'last-event-id'),
    }
    return input as AnyRequest
  }
}
