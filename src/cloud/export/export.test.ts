import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { TidemarkError } from '../../kernel/errors.ts'
import { seededRandom } from '../../kernel/random.ts'
import { canonicalJson, type Encoded } from '../../kernel/values.ts'
import { contentOf, fill, withoutLast } from '../../testing/log-contract/copies-harness.ts'
import { codeOf, put, Reader, SPACE, START } from '../../testing/log-contract/harness.ts'
import { randomPush } from '../../testing/log-contract/random-pushes.ts'
import type { Log } from '../log/log.ts'
import { MemoryLog } from '../log/memory.ts'
import { openSqliteLog } from '../log/sqlite.ts'
import { ExportDigest } from './digest.ts'
import { exportTexts } from './export-space.ts'
import { readExportFile, writeExportFile } from './files.ts'
import { readExport } from './import-space.ts'

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'tidemark-export-'))))
afterAll(() => rmSync(folder, { recursive: true }))

const clock = (at = START) => ({ now: () => at, after: () => () => {} })
const memory = (seed = 1): MemoryLog => new MemoryLog({ clock: clock(), random: seededRandom(seed) })

async function exportText(log: Log, space = SPACE): Promise<string> {
  await using copy = await log.copySpace(space)
  let text = ''
  for await (const part of exportTexts(copy, new ExportDigest())) text += part
  return text
}

/** In pieces that end anywhere. */
async function* bytes(text: string | Buffer, size = 1_000): AsyncGenerator<Uint8Array> {
  const all = Buffer.from(text)
  for (let at = 0; at < all.length; at += size) yield all.subarray(at, at + size)
}

const importText = async (log: Log, text: string | Buffer, space = SPACE): Promise<void> =>
  log.importSpace(space, await readExport(bytes(text)))

/** A space that has something of everything. */
async function fullLog(): Promise<MemoryLog> {
  let now = START
  const log = new MemoryLog({ clock: { now: () => now, after: () => () => {} }, random: seededRandom(7) })
  await log.ensureSpace(SPACE)
  await fill({
    log,
    time: { now: () => now, advance: (ms) => void (now += ms) },
    restart: () => Promise.reject(new Error('not here')),
    save: () => Promise.reject(new Error('not here')),
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  })
  return log
}

/** Everything but the header and the end, which tell what is the cloud's own. */
const bodyOf = (text: string): string => text.split('\n').slice(1, -2).join('\n')
const endOf = (text: string): Record<string, unknown> =>
  JSON.parse(text.trimEnd().split('\n').at(-1) ?? '') as Record<string, unknown>

describe('an exported space', () => {
  test('I10: is the same after memory, file and memory again, to the character', async () => {
    const source = await fullLog()
    const text = await exportText(source)
    await using file = await openSqliteLog({ file: join(folder, 'same.db'), clock: clock(START + 9) })
    await importText(file, text)
    const fromFile = await exportText(file)
    const again = memory()
    await importText(again, fromFile)
    const last = await exportText(again)
    expect(bodyOf(fromFile)).toBe(bodyOf(text))
    expect(bodyOf(last)).toBe(bodyOf(text))
    expect([endOf(fromFile)['hash'], endOf(last)['hash']]).toEqual([endOf(text)['hash'], endOf(text)['hash']])
    expect(withoutLast(await contentOf(file))).toEqual(await contentOf(source))
  })

  test('its hash is of what the space holds, and changes with each of its parts', async () => {
    const log = await fullLog()
    const one = endOf(await exportText(log))
    // Who reads changes what is known of replicas, and nothing else.
    await new Reader(log, 'reader').start()
    const two = endOf(await exportText(log))
    expect(two['hash']).toBe(one['hash'])
    expect(two['sha256']).not.toBe(one['sha256'])
    await new Reader(log, 'c').write(put('9', 0, {}))
    expect(endOf(await exportText(log))['hash']).not.toBe(one['hash'])
  })

  test('spaces of random pushes go through the file unchanged', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = seededRandom(seed)
      const log = memory(seed)
      await log.ensureSpace(SPACE)
      const readers = new Map(['a', 'b', 'c'].map((id) => [id, new Reader(log, id)]))
      for (let step = 0; step < 40; step++) {
        const { replica, changes, options } = randomPush(random, (await log.status(SPACE)).head)
        await readers.get(replica)?.push(changes, options)
      }
      const other = memory(seed + 1_000)
      await other.importSpace(SPACE, await readExport(bytes(await exportText(log), 1 + seed)))
      expect(withoutLast(await contentOf(other))).toEqual(await contentOf(log))
    }
  })

  test('an empty space too', async () => {
    const log = memory()
    await log.ensureSpace(SPACE)
    const other = memory(2)
    await importText(other, await exportText(log))
    expect(withoutLast(await contentOf(other))).toEqual(await contentOf(log))
  })
})

describe('a file that is not as it was exported', () => {
  /** Refused, and not even the space is made. */
  const refuses = async (text: string | Buffer, what: string): Promise<void> => {
    const log = memory()
    expect(await codeOf(importText(log, text)), what).toBe('not_an_export')
    expect(await codeOf(log.status(SPACE)), what).toBe('space_not_found')
  }

  test('cut at any line, or within one', async () => {
    const text = await exportText(await fullLog())
    const lines = text.trimEnd().split('\n')
    for (let count = 0; count < lines.length; count++)
      await refuses(lines.slice(0, count).join('\n'), `${count} lines`)
    for (let at = 1; at < text.length - 1; at += 97) await refuses(text.slice(0, at), `${at} characters`)
    // The last newline may be missing.
    await importText(memory(), text.trimEnd())
  })

  test('with a line taken out, doubled, moved, or put behind the end', async () => {
    const lines = (await exportText(await fullLog())).trimEnd().split('\n')
    for (const [at, line] of lines.entries()) {
      await refuses(lines.toSpliced(at, 1).join('\n'), `without line ${at + 1}`)
      await refuses(lines.toSpliced(at, 0, line).join('\n'), `line ${at + 1} twice`)
      if (at > 0)
        await refuses(
          lines.toSpliced(at - 1, 2, line, lines[at - 1] ?? '').join('\n'),
          `line ${at + 1} before`,
        )
    }
    await refuses([...lines, ''].join('\n').concat('\n'), 'an empty line')
    await refuses([...lines, '{}'].join('\n'), 'something behind')
  })

  test('with any byte changed, but for what JSON does not see', async () => {
    const text = Buffer.from(await exportText(await fullLog()))
    let refused = 0
    for (let at = 0; at < text.length; at += 23) {
      const changed = Buffer.from(text)
      changed[at] = (changed[at] ?? 0) ^ 1
      if (sameLines(text, changed)) continue
      await refuses(changed, `byte ${at}`)
      refused++
    }
    expect(refused).toBeGreaterThan(60)
  })

  test('that is something else, or of a newer program', async () => {
    await refuses('', 'empty')
    await refuses('\n', 'a line feed')
    await refuses('SQLite format 3\0', 'a database')
    await refuses('[1]', 'another JSON')
    await refuses('{"format":"other"}', 'another format')
    await refuses(Buffer.from([0x7b, 0xff, 0x7d]), 'no UTF-8')
    const lines = (await exportText(await fullLog())).split('\n')
    const newer = [
      JSON.stringify({ ...(JSON.parse(lines[0] ?? '') as object), version: 2, more: 1 }),
      ...lines.slice(1),
    ]
    expect(await codeOf(importText(memory(), newer.join('\n')))).toBe('needs_upgrade')
  })
})

/** Whether both are the same lines to whoever reads JSON. */
function sameLines(one: Buffer, two: Buffer): boolean {
  const canonical = (text: Buffer): readonly string[] | null => {
    try {
      return text
        .toString('utf8')
        .trimEnd()
        .split('\n')
        .map((line) => canonicalJson(JSON.parse(line) as Encoded))
    } catch {
      return null
    }
  }
  return JSON.stringify(canonical(one)) === JSON.stringify(canonical(two))
}

describe('files', () => {
  const never = new AbortController().signal

  test.each(['plain.ndjson', 'small.gz', 'small.zst'])(
    '%s comes back, and cut or damaged is refused',
    async (name) => {
      const log = await fullLog()
      const file = join(folder, name)
      await using copy = await log.copySpace(SPACE)
      await writeExportFile(file, exportTexts(copy, new ExportDigest()), never)
      expect(statSync(file).mode & 0o777).toBe(0o600)
      const other = memory()
      await other.importSpace(SPACE, await readExport(readExportFile(file)))
      expect(withoutLast(await contentOf(other))).toEqual(await contentOf(log))

      const whole = readFileSync(file)
      // zstd ends with an empty frame, which nobody misses.
      for (const part of [whole.length - 20, whole.length >> 1, 20]) {
        writeFileSync(file, whole.subarray(0, part))
        const read = async () => memory().importSpace(SPACE, await readExport(readExportFile(file)))
        expect(await codeOf(read()), `${part} bytes`).toBe('not_an_export')
      }
    },
  )

  test('an export that fails, or is stopped, leaves no file', async () => {
    const file = join(folder, 'failed.zst')
    async function* failing(): AsyncGenerator<string> {
      yield 'x'
      throw new TidemarkError('unavailable')
    }
    expect(await codeOf(writeExportFile(file, failing(), never))).toBe('unavailable')
    const stopping = new AbortController()
    async function* endless(): AsyncGenerator<string> {
      for (let count = 0; count < 1e6; count++) {
        if (count === 10) stopping.abort()
        yield 'x'.repeat(1_000)
      }
    }
    expect(await codeOf(writeExportFile(file, endless(), stopping.signal))).toBe('aborted')
    expect(await codeOf(readExport(readExportFile(file)))).toBe('file_not_found')
    writeFileSync(file, 'mine')
    expect(await codeOf(writeExportFile(file, failing(), never))).toBe('file_exists')
    expect(readFileSync(file, 'utf8')).toBe('mine')
  })
})
