/** How bodies are compressed: a platform's part of the client. */
export interface Codec {
  /** The `accept-encoding` to ask for; absent where the platform asks by itself, as browsers do. */
  readonly accept?: string
  /** The compressed body, or null when this platform cannot. */
  encode(body: string): Promise<EncodedBody | null>
  /** What is zstd already is sent as it is. */
  readonly zstd?: true
  /** Decompresses an answer that the platform's fetch left as it was; absent where that does not happen. */
  readonly decode?: (encoding: 'zstd', chunks: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>
}

export interface EncodedBody {
  readonly encoding: 'zstd' | 'gzip'
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** Leaves bodies as they are. */
export const plainCodec: Codec = { accept: 'identity', encode: async () => null }

/** gzip by the platform's own streams: what browsers have. Answers are decompressed by their fetch. */
export const webCodec: Codec = {
  async encode(body) {
    if (typeof CompressionStream === 'undefined') return null
    const stream = new Blob([body]).stream().pipeThrough(new CompressionStream('gzip'))
    return { encoding: 'gzip', bytes: new Uint8Array(await new Response(stream).arrayBuffer()) }
  },
}
