import { promisify } from 'node:util'
import {
  constants,
  gunzip,
  gunzipSync,
  zstdDecompress,
  zstdDecompressSync,
  type ZlibOptions,
  type ZstdOptions,
} from 'node:zlib'

import { TidemarkError } from '../../kernel/errors.ts'

export type BodyEncoding = 'identity' | 'gzip' | 'zstd'

/** Compressed bytes up to which the thread pool would cost more than it saves: rows make a megabyte of so many. */
const SYNC_UP_TO_BYTES = 262_144
/** Decompressed at once, on this thread, one after the other. */
export const isQuick = (body: Buffer): boolean => body.length <= SYNC_UP_TO_BYTES

/** A piece of what comes out, for a body of up to so many bytes, and for a larger one. */
const SMALL_BYTES = 32_768
const SMALL_CHUNK_BYTES = 256 * 1024
const CHUNK_BYTES = 1024 * 1024
/** log2 of the window a frame may ask for: 16 MiB, where 128 MiB is zstd's own bound. */
const MAX_WINDOW_LOG = 24

const gunzipAsync = promisify<Buffer, ZlibOptions, Buffer>(gunzip)
const unzstdAsync = promisify<Buffer, ZstdOptions, Buffer>(zstdDecompress)

/** Throws `unsupported_encoding`. */
export function readEncoding(header: string | undefined): BodyEncoding {
  const name = header === undefined || header === '' ? 'identity' : header.trim().toLowerCase()
  if (name === 'identity' || name === 'gzip' || name === 'zstd') return name
  throw new TidemarkError('unsupported_encoding', 'The content-encoding is not one this server reads')
}

/**
 * Decompresses a body, giving up as soon as more than `limit` bytes have come out: the memory a small bomb can
 * take is the limit. Throws `payload_too_large`, `bad_request`.
 */
export async function decompress(encoding: 'gzip' | 'zstd', body: Buffer, limit: number): Promise<Buffer> {
  // The bound of zlib must be at least one; an empty body is no frame and fails as one.
  const chunkSize = body.length <= SMALL_BYTES ? SMALL_CHUNK_BYTES : CHUNK_BYTES
  const bounds = { maxOutputLength: limit, chunkSize }
  const sync = isQuick(body)
  try {
    if (encoding === 'gzip') return sync ? gunzipSync(body, bounds) : await gunzipAsync(body, bounds)
    const options = { ...bounds, params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG } }
    return sync ? zstdDecompressSync(body, options) : await unzstdAsync(body, options)
  } catch (error) {
    const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined
    if (code === 'ERR_BUFFER_TOO_LARGE')
      throw new TidemarkError('payload_too_large', undefined, { details: { limit } })
    throw new TidemarkError('bad_request', `The body is not ${encoding}, or damaged`)
  }
}
