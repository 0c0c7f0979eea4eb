import type { FastifyReply, FastifyRequest } from 'fastify'
import { pipeline } from 'node:stream'

import type { Logger } from '../../kernel/logger.ts'
import { NDJSON } from '../../protocol/routes.ts'
import { describeFailure } from '../../http/failures.ts'
import type { CloudAnswer } from '../handler/handler.ts'
import { chooseEncoding, compress, createCompressor, streamOf } from './compress.ts'
import { COMPRESS_FROM_BYTES } from './limits.ts'
import type { RequestNotes } from './requests.ts'

const JSON_TYPE = 'application/json; charset=utf-8'

/** Sends an answer, compressed where the other side reads that and it is worth it. */
export async function sendAnswer(
  answer: CloudAnswer,
  request: FastifyRequest,
  reply: FastifyReply,
  how: { readonly level: number; readonly logger: Logger; readonly notes: RequestNotes },
): Promise<FastifyReply> {
  const { level, notes } = how
  const encoding = chooseEncoding(request.headers['accept-encoding'])
  void reply.header('vary', 'accept-encoding')
  if (answer.kind === 'lines') return sendLines(answer.lines, reply.type(NDJSON), encoding, how)
  const text = JSON.stringify(answer.value)
  void reply.type(JSON_TYPE)
  if (encoding === null || text.length < COMPRESS_FROM_BYTES) {
    notes.sent = Buffer.byteLength(text)
    return reply.send(text)
  }
  const plain = Buffer.from(text)
  notes.sent = plain.length
  const bytes = await compress(encoding, plain, level)
  return reply.header('content-encoding', encoding).send(bytes)
}

/** The connection is cut when the lines break off: a stream that ends well would pass for whole. */
function sendLines(
  lines: AsyncIterable<string>,
  reply: FastifyReply,
  encoding: ReturnType<typeof chooseEncoding>,
  { level, logger, notes }: Parameters<typeof sendAnswer>[3],
): FastifyReply {
  const source = streamOf(countSent(lines, notes))
  source.on('error', (error) => logger.warn('A stream broke off', describeFailure(error)))
  if (encoding === null) return reply.send(source)
  const compressor = createCompressor(encoding, level)
  pipeline(source, compressor, () => {})
  return reply.header('content-encoding', encoding).send(compressor)
}

async function* countSent(texts: AsyncIterable<string>, notes: RequestNotes): AsyncGenerator<string> {
  for await (const text of texts) {
    notes.sent += Buffer.byteLength(text)
    yield text
  }
}
