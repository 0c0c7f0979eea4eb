import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { constants, createZstdDecompress, zstdCompress, zstdCompressSync, type ZstdOptions } from 'node:zlib'

import type { Codec } from './codec.ts'

/** Bytes up to which the thread pool costs more than it saves. */
const SYNC_UP_TO_BYTES = 65_536
const CHUNK_BYTES = 64 * 1024
/** zstd's own default level: about 300 MB/s, a fifth of the size for rows. */
const OPTIONS: ZstdOptions = { chunkSize: CHUNK_BYTES, params: { [constants.ZSTD_c_compressionLevel]: 3 } }

const zstdAsync = promisify<Buffer, ZstdOptions, Buffer>(zstdCompress)

/** zstd by Node's zlib. Some versions of Node's fetch hand a zstd answer on as it came: it is decompressed here. */
export const nodeCodec: Codec = {
  accept: 'zstd, gzip',
  zstd: true,
  async encode(body) {
    const plain = Buffer.from(body)
    const bytes =
      plain.length <= SYNC_UP_TO_BYTES ? zstdCompressSync(plain, OPTIONS) : await zstdAsync(plain, OPTIONS)
    return {
      encoding: 'zstd',
      bytes: new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength),
    }
  },
  // Node 22 ends a frame that broke off as if it were whole: an answer's JSON, a hydrate's last line tell.
  decode: (_encoding, chunks) =>
    Readable.from(chunks).compose(createZstdDecompress({ chunkSize: CHUNK_BYTES })),
}
