import { createReadStream, existsSync, renameSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Readable, type Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGunzip, createGzip, createZstdCompress, createZstdDecompress } from 'node:zlib'

import { TidemarkError } from '../../kernel/errors.ts'

const ZSTD_LEVEL = 3
/** log2 of the window a frame may ask for, as for bodies: 16 MiB. */
const MAX_WINDOW_LOG = 24
/** Rows of others: for nobody but their owner. */
const FILE_MODE = 0o600

/**
 * Writes texts into a new file, compressed where its name ends in `.zst` or `.gz`. It has its name only once it is
 * whole and on the disk. Throws `file_exists`, `aborted`.
 */
export async function writeExportFile(
  file: string,
  texts: AsyncIterable<string>,
  signal: AbortSignal,
): Promise<void> {
  const refuseExisting = (): void => {
    if (existsSync(file)) throw new TidemarkError('file_exists', undefined, { details: { file } })
  }
  refuseExisting()
  const part = `${file}.${process.pid}.part`
  const handle = await open(part, 'wx', FILE_MODE)
  try {
    const target = handle.createWriteStream({ flush: true })
    const source = Readable.from(texts, { objectMode: true, highWaterMark: 1 })
    const compressor = createCompressor(file)
    if (compressor === null) await pipeline(source, target, { signal })
    else await pipeline(source, compressor, target, { signal })
    refuseExisting()
    renameSync(part, file)
    await syncFolder(dirname(file))
  } catch (error) {
    rmSync(part, { force: true })
    throw signal.aborted ? new TidemarkError('aborted', undefined, { cause: error }) : error
  } finally {
    await handle.close().catch(() => {})
  }
}

function createCompressor(file: string): Transform | null {
  if (file.endsWith('.gz')) return createGzip()
  if (!file.endsWith('.zst')) return null
  return createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } })
}

/** So that the name is on the disk too. Not every system lets a folder be opened. */
async function syncFolder(folder: string): Promise<void> {
  try {
    await using handle = await open(folder)
    await handle.sync()
  } catch {
    // The file itself is on the disk.
  }
}

/** What a file holds, decompressed where its first bytes say so. Throws `file_not_found`, `not_an_export`. */
export async function* readExportFile(file: string): AsyncGenerator<Uint8Array> {
  if (!existsSync(file)) throw new TidemarkError('file_not_found', undefined, { details: { file } })
  yield* decompressed(createReadStream(file))
}

/** The same for what comes through a pipe. */
export async function* readExportPipe(input: AsyncIterable<string | Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* decompressed(bytesOf(input))
}

async function* bytesOf(input: AsyncIterable<string | Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of input) yield typeof piece === 'string' ? Buffer.from(piece) : piece
}

const GZIP = [0x1f, 0x8b]
const ZSTD = [0x28, 0xb5, 0x2f, 0xfd]

/** Throws `not_an_export` where the compression is damaged or cut short. */
async function* decompressed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const pieces = source[Symbol.asyncIterator]()
  const first = await pieces.next()
  if (first.done === true) return
  const begins = (magic: readonly number[]): boolean => magic.every((byte, at) => first.value[at] === byte)
  const all = chain(first.value, pieces)
  if (!begins(GZIP) && !begins(ZSTD)) return yield* all
  const decompressor = begins(GZIP)
    ? createGunzip()
    : createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG } })
  let failure: unknown = null
  const feeding = pipeline(all, decompressor).catch((error: unknown) => (failure = error))
  try {
    for await (const piece of decompressor) yield piece as Uint8Array
    await feeding
  } catch (error) {
    await feeding
    failure ??= error
  }
  if (failure === null) return
  if (isCompressionFailure(failure))
    throw new TidemarkError('not_an_export', 'The compressed file is damaged, or ends too early', {
      cause: failure,
    })
  throw failure
}

async function* chain(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first
  yield* { [Symbol.asyncIterator]: () => rest }
}

/** zlib's own codes: Z_DATA_ERROR, Z_BUF_ERROR, ZSTD_error_…. */
function isCompressionFailure(failure: unknown): boolean {
  const code: unknown = failure instanceof Error ? Reflect.get(failure, 'code') : undefined
  return typeof code === 'string' && /^(?:Z_|ZSTD_)/.test(code)
}
