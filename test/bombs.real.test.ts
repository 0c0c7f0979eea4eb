import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGzip, createZstdCompress } from 'node:zlib'

import { expect, test } from 'vitest'

import { MAX_BODY_BYTES } from '../src/protocol/limits.ts'
import { PROTOCOL_VERSION } from '../src/protocol/version.ts'
import { HEADERS } from '../src/protocol/routes.ts'
import { startCloudProcess } from './cloud/cloud-process.ts'

const MIB = 1024 * 1024
const BOMBS = 16

/** A small body that becomes so many MiB of spaces and noise: too large compressed to be taken in passing. */
async function compress(create: () => NodeJS.ReadWriteStream, mib: number, noise: number): Promise<Buffer> {
  const stream = create()
  const parts: Buffer[] = []
  stream.on('data', (part: Buffer) => parts.push(part))
  const ended = new Promise((resolve) => stream.on('end', resolve))
  // Noise that repeats too far apart to be found again keeps the bomb from becoming too small.
  const block = Buffer.alloc(MIB, ' ')
  for (let at = 0; at < mib; at++) {
    for (let byte = 0; byte < noise; byte++) block[byte * 2_000] = (at * 131 + byte * 7) & 255
    if (!stream.write(block)) await new Promise((resolve) => stream.once('drain', resolve))
  }
  stream.end()
  await ended
  return Buffer.concat(parts)
}

test.skipIf(process.platform !== 'linux').each([
  ['gzip', 512, () => createGzip()],
  ['zstd', 512, () => createZstdCompress()],
  // Small enough to be decompressed in passing.
  ['zstd', 0, () => createZstdCompress()],
])(
  '16 bombs in %s, with %i bytes of noise in a MiB, at the same time: each refused in words, the memory bounded',
  async (encoding, noise, create) => {
    const bomb = await compress(create, 1_024, noise)
    const honest = await compress(create, 8, noise)
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-bombs-'))
    await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) }
    await using cloud = await startCloudProcess(folder, '--insecure-loopback')
    const send = async (
      body: Buffer,
    ): Promise<{ status: number; code: string; retryAfter: string | null }> => {
      const answer = await fetch(`${cloud.url}/sync/push`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'content-encoding': encoding,
          [HEADERS.protocol]: String(PROTOCOL_VERSION),
        },
        body: new Uint8Array(body),
      })
      const { error } = (await answer.json()) as { readonly error: { readonly code: string } }
      return { status: answer.status, code: error.code, retryAfter: answer.headers.get('retry-after') }
    }
    expect((await send(honest)).code).toBe('bad_request')
    const before = cloud.peakBytes()
    const answers = await Promise.all(Array.from({ length: BOMBS }, () => send(bomb)))
    for (const { status, code, retryAfter } of answers) {
      expect([413, 503]).toContain(status)
      expect(['payload_too_large', 'unavailable']).toContain(code)
      if (status === 503) expect(Number(retryAfter)).toBeGreaterThan(0)
    }
    expect(answers.some(({ code }) => code === 'payload_too_large')).toBe(true)
    // What was sent, twice while it is joined, and what comes out of two bodies, and is not collected yet.
    expect(cloud.peakBytes() - before).toBeLessThan(2 * BOMBS * bomb.length + 5 * MAX_BODY_BYTES)
    // Nothing is kept of them.
    expect((await send(honest)).code).toBe('bad_request')
  },
)
