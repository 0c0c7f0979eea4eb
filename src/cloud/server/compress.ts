import { Readable, type Transform } from 'node:stream'
import { promisify } from 'node:util'
import {
  constants,
  createGzip,
  createZstdCompress,
  gzip,
  gzipSync,
  zstdCompress,
  zstdCompressSync,
  type ZlibOptions,
  type ZstdOptions,
} from 'node:zlib'

import { ENCODINGS } from '../../protocol/routes.ts'

export type AnswerEncoding = (typeof ENCODINGS)[number]

const SYNC_UP_TO_BYTES = 65_536
const CHUNK_BYTES = 64 * 1024
const gzipAsync = promisify<Buffer, ZlibOptions, Buffer>(gzip)
const zstdAsync = promisify<Buffer, ZstdOptions, Buffer>(zstdCompress)

/** How hard to compress: over loopback only a little, since nothing is gained but what both ends lose. */
export const levelFor = (loopback: boolean): number => (loopback ? 1 : 3)

/** The best encoding that `accept-encoding` allows, or null for none. */
export function chooseEncoding(header: string | undefined): AnswerEncoding | null {
  if (header === undefined) return null
  const accepted = new Map<string, boolean>()
  for (const item of header.slice(0, 512).toLowerCase().split(',')) {
    const [name = '', ...params] = item.split(';').map((part) => part.trim())
    accepted.set(name, !params.some((param) => /^q=0(?:\.0*)?$/.test(param)))
  }
  return ENCODINGS.find((encoding) => accepted.get(encoding) === true) ?? null
}

export async function compress(encoding: AnswerEncoding, bytes: Buffer, level: number): Promise<Buffer> {
  const sync = bytes.length <= SYNC_UP_TO_BYTES
  if (encoding === 'gzip')
    return sync ? gzipSync(bytes, { level }) : gzipAsync(bytes, { level, chunkSize: CHUNK_BYTES })
  return sync
    ? zstdCompressSync(bytes, zstdOptions(level))
    : zstdAsync(bytes, { ...zstdOptions(level), chunkSize: CHUNK_BYTES })
}

export function createCompressor(encoding: AnswerEncoding, level: number): Transform {
  if (encoding === 'gzip') return createGzip({ level, chunkSize: CHUNK_BYTES })
  return createZstdCompress({ ...zstdOptions(level), chunkSize: CHUNK_BYTES })
}

const zstdOptions = (level: number): ZstdOptions => ({
  params: { [constants.ZSTD_c_compressionLevel]: level },
})

/** Texts as a stream that asks for the next one only when the last has gone (one page in memory, not sixteen). */
export function streamOf(texts: AsyncIterable<string>): Readable {
  return Readable.from(texts, { objectMode: true, highWaterMark: 1 })
}
