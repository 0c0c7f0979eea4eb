import type { Provider } from '../../engine/provider.ts'
import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { isPullAnswer, isPushAnswer, isReadAnswer, isSchemaAnswer, isSpaceStatus } from './answers.ts'
import { readText } from './body.ts'
import { plainCodec, webCodec, type Codec } from './codec.ts'
import { parseEndpoint } from './endpoint.ts'
import { readHydrate } from './hydrate.ts'
import { baseHeaders, openAnswer, type Call, type Line } from './request.ts'

/** Longest answer that is not a stream: a pull of one row of 16 MiB, twice over, and room. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024

export interface CloudProviderOptions {
  /** Where the cloud is: http or https, a path in front of its routes allowed. */
  readonly endpoint: string
  /** Null only for a cloud that serves its own machine without tokens. */
  readonly token: string | null
  readonly device?: string
  readonly clock: Clock
  readonly fetch?: typeof globalThis.fetch
  /**
   * How this platform compresses; absent: gzip by its own streams. Node's is in `node-codec.ts`. Nothing is
   * compressed to and from this machine itself, unless `compressLoopback` asks for it; a large push that comes
   * compressed from the store is sent so.
   */
  readonly codec?: Codec
  readonly compressLoopback?: boolean
}

/**
 * A Tidemark cloud over HTTP. Throws `config_invalid` when endpoint or token cannot be used.
 * Connections are kept alive by the platform's fetch: every answer is read whole or cut.
 */
export function createCloudProvider(options: CloudProviderOptions): Provider {
  const endpoint = parseEndpoint(options.endpoint)
  const plain = endpoint.loopback && options.compressLoopback !== true
  const line: Line = {
    endpoint,
    headers: baseHeaders(options.token, options.device),
    clock: options.clock,
    fetch: options.fetch ?? globalThis.fetch.bind(globalThis),
    codec: plain ? plainCodec : (options.codec ?? webCodec),
    packed: options.codec?.zstd === true,
  }
  const send = <Answer>(call: Call, isAnswer: (value: unknown) => value is Answer, signal: AbortSignal) =>
    readAnswer(line, call, isAnswer, signal)

  return {
    name: `cloud ${endpoint.host}`,
    push: (body, signal, packed) => send({ route: 'push', body, packed }, isPushAnswer, signal),
    pull(request, signal) {
      const call: Call = { route: 'pull', body: JSON.stringify(request) }
      const { wait } = request
      return send(wait === undefined ? call : { ...call, waitMs: wait * 1_000 }, isPullAnswer, signal)
    },
    hydrate: (request, signal) => readHydrate(line, request, signal),
    read: (request, signal) => send({ route: 'read', body: JSON.stringify(request) }, isReadAnswer, signal),
    readSchema: (space, signal) => send({ route: 'schema', query: { space } }, isSchemaAnswer, signal),
    putSchema: (request, signal) =>
      send({ route: 'putSchema', body: JSON.stringify(request) }, isSchemaAnswer, signal),
    status: (space, signal) => send({ route: 'status', query: { space } }, isSpaceStatus, signal),
  }
}

async function readAnswer<Answer>(
  line: Line,
  call: Call,
  isAnswer: (value: unknown) => value is Answer,
  signal: AbortSignal,
): Promise<Answer> {
  const answer = await openAnswer(line, call, signal)
  try {
    const value = parseJson(await readText(answer.body, MAX_ANSWER_BYTES), call)
    if (isAnswer(value)) return value
    throw new TidemarkError('bad_answer', `The answer to ${call.route} does not fit the protocol`)
  } finally {
    answer.close()
  }
}

function parseJson(text: string, call: Call): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    // The parser's own message quotes the text.
    throw new TidemarkError('bad_answer', `The answer to ${call.route} is no JSON`)
  }
}
