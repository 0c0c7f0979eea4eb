import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { HEADERS } from '../../protocol/routes.ts'
import { PROTOCOL_VERSION } from '../../protocol/version.ts'
import { plainCodec, webCodec, type Codec } from './codec.ts'
import { parseEndpoint, type Endpoint } from './endpoint.ts'

/** A cloud, and who asks it. */
export interface CloudOptions {
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

/** What every request to one cloud has in common. */
export interface Line {
  readonly endpoint: Endpoint
  readonly headers: { readonly [name: string]: string }
  readonly clock: Clock
  readonly fetch: typeof globalThis.fetch
  readonly codec: Codec
  /** Requests that are zstd already may be sent so. */
  readonly packed: boolean
}

/** Throws `config_invalid` when endpoint or token cannot be used. Sends nothing. */
export function createLine(options: CloudOptions): Line {
  const endpoint = parseEndpoint(options.endpoint)
  const plain = endpoint.loopback && options.compressLoopback !== true
  return {
    endpoint,
    headers: baseHeaders(options.token, options.device),
    clock: options.clock,
    fetch: options.fetch ?? globalThis.fetch.bind(globalThis),
    codec: plain ? plainCodec : (options.codec ?? webCodec),
    packed: options.codec?.zstd === true,
  }
}

/** The headers of every request. Throws `config_invalid` for what no header can carry; it never shows the token. */
function baseHeaders(token: string | null, device: string | undefined): { readonly [name: string]: string } {
  if (token !== null && !/^[\x21-\x7e]+$/.test(token)) {
    throw new TidemarkError(
      'config_invalid',
      'The token is empty or holds characters that no header carries',
      {
        details: { key: 'token' },
      },
    )
  }
  return {
    [HEADERS.protocol]: String(PROTOCOL_VERSION),
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    ...(device === undefined ? {} : { [HEADERS.device]: device }),
  }
}
