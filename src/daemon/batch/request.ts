import { TidemarkError } from '../../kernel/errors.ts'
import type { Clock } from '../../kernel/clock.ts'
import { openBody, readText } from '../../providers/cloud/body.ts'
import { plainCodec } from '../../providers/cloud/codec.ts'
import { parseEndpoint, type Endpoint } from '../../providers/cloud/endpoint.ts'
import { readRetryAfter } from '../../providers/cloud/failures.ts'
import { ANSWER_MS, UPLOAD_BYTES_PER_MS } from '../../providers/cloud/request.ts'
import { createWatch } from '../../providers/cloud/watch.ts'

/** An endpoint of anybody's, and what it is shown. */
export interface EndpointLine {
  readonly endpoint: Endpoint
  readonly token: string | null
  readonly clock: Clock
  readonly fetch: typeof globalThis.fetch
}

export interface EndpointAnswer {
  readonly status: number
  /** Undefined: the answer was no JSON. */
  readonly json: unknown
  /** Milliseconds that the endpoint asks to wait. */
  readonly retryAfterMs: number | null
}

/** Two counts and a time; errors say a little more. */
const MAX_ANSWER_BYTES = 1024 * 1024

/** Sends nothing. Throws `config_invalid` for an endpoint that is none. */
export const createEndpointLine = (options: {
  readonly endpoint: string
  readonly token: string | null
  readonly clock: Clock
  readonly fetch?: typeof globalThis.fetch | undefined
}): EndpointLine => ({
  endpoint: parseEndpoint(options.endpoint),
  token: options.token,
  clock: options.clock,
  fetch: options.fetch ?? globalThis.fetch.bind(globalThis),
})

/**
 * One request in plain JSON, without a header that only a Tidemark cloud knows. Whatever status comes is an answer.
 * Rejects with `network`, `aborted`, and `bad_answer` for a redirect and for an answer without end.
 */
export async function askEndpoint(
  line: EndpointLine,
  call: { readonly method: 'GET' | 'POST'; readonly path: string; readonly body?: string },
  signal: AbortSignal,
): Promise<EndpointAnswer> {
  const { endpoint, token, clock } = line
  const watch = createWatch(clock, signal, endpoint.host)
  try {
    const init: RequestInit = {
      method: call.method,
      headers: {
        accept: 'application/json',
        ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(call.body === undefined ? {} : { body: call.body }),
      signal: watch.signal,
      // Rows and token go to the endpoint that was set, and to no other.
      redirect: 'manual',
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
    }
    const ms = ANSWER_MS + (call.body?.length ?? 0) / UPLOAD_BYTES_PER_MS
    const response = await watch.within(ms, () => line.fetch(`${endpoint.base}${call.path}`, init))
    const { status } = response
    if (response.type === 'opaqueredirect' || (status >= 300 && status < 400))
      throw new TidemarkError(
        'bad_answer',
        `${endpoint.host} redirects to another address; set the endpoint to that one`,
        { details: { host: endpoint.host } },
      )
    const text = await readText(openBody(response, plainCodec, watch), MAX_ANSWER_BYTES)
    return {
      status,
      json: parse(text),
      retryAfterMs: readRetryAfter(response.headers.get('retry-after'), clock),
    }
  } finally {
    watch.close()
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
