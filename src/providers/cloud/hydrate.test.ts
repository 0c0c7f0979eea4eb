import type { ServerResponse } from 'node:http'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import type { HydrateChunk, HydrateRequest } from '../../engine/provider.ts'
import { systemClock, type Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { WireRecord } from '../../protocol/records.ts'
import { waitUntil } from '../../testing/failures.ts'
import { jsonAnswer, startFaultyServer, type FaultyServer } from '../../testing/faulty-server.ts'
import { createManualClock } from '../../testing/manual-clock.ts'
import { STALL_MS } from './body.ts'
import { nodeCodec } from './node-codec.ts'
import { createCloudProvider } from './provider.ts'

const start = { epoch: 'e', generation: { id: 'g', start: 0 }, head: 9, floor: 0, schema: 1, count: 3 }
const never = new AbortController().signal
const request: HydrateRequest = { space: 'main', replica: 'r' }
const recordOf = (at: number, table = 'city'): WireRecord => ({
  table,
  key: `[${at}]`,
  version: at + 1,
  hlc: 1,
  by: 'r',
  fields: { name: `Zürich 東京 😀 ${at}`, text: 'line\nfeed' },
})
const recordsOf = (count: number) => Array.from({ length: count }, (_, at) => recordOf(at))
const linesOf = (items: readonly unknown[]) => items.map((item) => `${JSON.stringify(item)}\n`).join('')
const streamOf = (records: readonly WireRecord[]) => linesOf([start, ...records, { end: true }])

let server: FaultyServer
beforeEach(async () => {
  server = await startFaultyServer(() => {})
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
})

const hydrate = (more: Partial<HydrateRequest> = {}, clock: Clock = systemClock, signal = never) =>
  createCloudProvider({ endpoint: server.url, token: 't', clock, codec: nodeCodec }).hydrate(
    { ...request, ...more },
    signal,
  )

function open(response: ServerResponse): ServerResponse {
  return response.writeHead(200, { 'content-type': 'application/x-ndjson' })
}

/** All that came, and what ended it. */
async function collect(chunks: AsyncIterable<HydrateChunk>) {
  const records: WireRecord[] = []
  const sizes: number[] = []
  let starts = 0
  try {
    for await (const chunk of chunks) {
      if (chunk.kind === 'start') {
        expect(chunk.start).toEqual(start)
        starts++
      } else {
        records.push(...chunk.records)
        sizes.push(chunk.records.length)
      }
    }
    return { starts, records, sizes, failure: null }
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(TidemarkError)
    return { starts, records, sizes, failure: thrown as TidemarkError }
  }
}

describe('a hydrate', () => {
  test('hands on the start and every record, in chunks fit for a transaction', async () => {
    const records = recordsOf(7_000)
    server.answerWith((_, response) => open(response).end(streamOf(records)))
    const { starts, records: came, sizes, failure } = await collect(hydrate())
    expect([starts, failure]).toEqual([1, null])
    expect(came).toEqual(records)
    expect(sizes.slice(0, -1).every((size) => size >= 2_000 && size < 4_000)).toBe(true)
  })

  test('of an empty space is a start and nothing else', async () => {
    server.answerWith((_, response) => open(response).end(streamOf([])))
    expect(await collect(hydrate())).toEqual({ starts: 1, records: [], sizes: [], failure: null })
  })

  test('puts together what the network took apart, characters too', async () => {
    const records = recordsOf(40)
    const bytes = Buffer.from(streamOf(records))
    server.answerWith(async (_, response) => {
      open(response)
      response.socket?.setNoDelay(true)
      for (let at = 0; at < bytes.length; at += 7) {
        response.write(bytes.subarray(at, at + 7))
        if (at % 70 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      response.end()
    })
    const { records: came, failure } = await collect(hydrate())
    expect(failure).toBeNull()
    expect(came).toEqual(records)
  })

  test('reads a row of many megabytes', async () => {
    const big = { ...recordOf(1), fields: { blob: { $bytes: 'AAAA'.repeat(3_000_000) } } }
    server.answerWith((_, response) => open(response).end(streamOf([recordOf(0), big, recordOf(2)])))
    const { records, failure } = await collect(hydrate())
    expect(failure).toBeNull()
    expect(records.map(({ key }) => key)).toEqual(['[0]', '[1]', '[2]'])
  })

  test('names its tables, and the place from which it goes on', async () => {
    server.answerWith((_, response) => open(response).end(streamOf([])))
    const resume = { head: 9, table: 'größe', key: '["東京😀"]' }
    await collect(hydrate({ tables: ['city', 'größe'], resume }))
    const [asked] = server.requests
    const url = new URL(asked?.url ?? '', server.url)
    expect(url.pathname).toBe('/sync/hydrate')
    expect(url.searchParams.getAll('tables')).toEqual(['city', 'größe'])
    expect([url.searchParams.get('space'), url.searchParams.get('replica')]).toEqual(['main', 'r'])
    const header = String(asked?.headers['tidemark-resume'])
    expect(header).toMatch(/^[A-Za-z0-9_-]+$/)
    expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual(resume)
  })

  test('of more tables than an address can hold sorts them out itself', async () => {
    const tables = Array.from({ length: 2_000 }, (_, at) => `a table with a long name ${at}`)
    const wanted = recordsOf(3_000).map((record, at) => ({ ...record, table: tables[at % 2_000] ?? '' }))
    const others = Array.from({ length: 3_000 }, (_, at) => recordOf(at, 'another table'))
    server.answerWith((_, response) => open(response).end(streamOf([...others, ...wanted])))
    const { records } = await collect(hydrate({ tables }))
    expect(records).toEqual(wanted)
    expect(server.requests[0]?.url.length).toBeLessThan(200)
  })

  test('of no tables is a start and no record', async () => {
    server.answerWith((_, response) => open(response).end(streamOf(recordsOf(10))))
    expect(await collect(hydrate({ tables: [] }))).toEqual({
      starts: 1,
      records: [],
      sizes: [],
      failure: null,
    })
  })

  test('is compressed where that pays', async () => {
    server.answerWith((_, response) => open(response).end(streamOf([])))
    const remote = createCloudProvider({
      endpoint: server.url,
      token: 't',
      clock: systemClock,
      codec: nodeCodec,
      compressLoopback: true,
    })
    await collect(remote.hydrate(request, never))
    expect(server.requests[0]?.headers['accept-encoding']).toBe('zstd, gzip')
  })
})

describe('I4: a hydrate that is not whole says so', () => {
  const records = recordsOf(2_500)

  test('when its last line is missing, after all that came', async () => {
    server.answerWith((_, response) => open(response).end(linesOf([start, ...records])))
    const { records: came, failure } = await collect(hydrate())
    expect(failure?.code).toBe('network')
    expect(came).toEqual(records)
  })

  test('when it is cut within a line: that line is not read', async () => {
    const text = streamOf(records)
    server.answerWith((_, response) => {
      open(response).write(text.slice(0, text.length / 2), () => setTimeout(() => response.destroy(), 20))
    })
    const { records: came, failure } = await collect(hydrate())
    expect(failure?.code).toBe('network')
    expect(came.length).toBeGreaterThan(1_000)
    expect(came).toEqual(records.slice(0, came.length))
  })

  test('when nothing came at all', async () => {
    server.answerWith((_, response) => open(response).end())
    expect((await collect(hydrate())).failure?.code).toBe('network')
  })

  test('when its end is cut in two', async () => {
    server.answerWith((_, response) => open(response).end(streamOf(records).slice(0, -1)))
    expect((await collect(hydrate())).failure?.code).toBe('network')
  })

  test('but not when only the connection breaks after the end', async () => {
    server.answerWith((_, response) => {
      open(response).write(streamOf(records), () => setTimeout(() => response.destroy(), 20))
    })
    const { records: came, failure } = await collect(hydrate())
    expect(failure).toBeNull()
    expect(came).toEqual(records)
  })

  test('and a connection that never lasts still gets further each time (I8)', async () => {
    let resume: HydrateRequest['resume']
    const came: WireRecord[] = []
    const text = (from: number) => linesOf([start, ...records.slice(from)])
    for (let tries = 0; tries < 20; tries++) {
      const from = came.length
      server.answerWith((_, response) => {
        open(response).write(text(from).slice(0, 40_000), () => setTimeout(() => response.destroy(), 20))
      })
      const chunks = hydrate(resume === undefined ? {} : { resume })
      came.push(...(await collect(chunks)).records)
      expect(came.length).toBeGreaterThan(from)
      const last = came.at(-1)
      if (last !== undefined) resume = { head: 9, table: last.table, key: last.key }
      if (came.length > 1_000) break
    }
    expect(came).toEqual(records.slice(0, came.length))
  })
})

describe('a hydrate that does not fit the protocol is a bad answer', () => {
  test.each<[string, string]>([
    ['no start', linesOf([recordOf(0), { end: true }])],
    ['two starts', linesOf([start, start, { end: true }])],
    ['a line that is no record', linesOf([start, { table: 'city' }, { end: true }])],
    ['a line after the end', linesOf([start, { end: true }, recordOf(0)])],
    ['a second end', linesOf([start, { end: true }, { end: true }])],
    ['a line that is no JSON', `${linesOf([start])}{"table"\n${linesOf([{ end: true }])}`],
    ['an empty line', `${linesOf([start])}\n${linesOf([{ end: true }])}`],
    ['a bracket that closes the list', `${linesOf([start])}1],[1\n${linesOf([{ end: true }])}`],
    ['an error', linesOf([{ error: { code: 'internal', message: '', details: {}, retry: true } }])],
  ])('%s', async (_, text) => {
    server.answerWith((_, response) => open(response).end(text))
    expect((await collect(hydrate())).failure?.code).toBe('bad_answer')
  })

  test('broken UTF-8', async () => {
    server.answerWith((_, response) =>
      open(response).end(Buffer.concat([Buffer.from(linesOf([start])), Buffer.of(0xff, 10)])),
    )
    expect((await collect(hydrate())).failure?.code).toBe('bad_answer')
  })

  test('another type', async () => {
    server.answerWith(jsonAnswer(start))
    expect((await collect(hydrate())).failure?.code).toBe('bad_answer')
  })
})

test('a refusal before the stream is that error', async () => {
  server.answerWith(
    jsonAnswer({ error: { code: 'cursor_expired', message: 'x', details: {}, retry: false } }, 410),
  )
  expect((await collect(hydrate())).failure?.code).toBe('cursor_expired')
})

describe('the pace of a hydrate', () => {
  test('is the reader’s: the cloud is not read ahead of it', async () => {
    const line = linesOf([{ ...recordOf(1), fields: { text: 'x'.repeat(10_000) } }])
    let written = 0
    let stopped = false
    server.answerWith(async (_, response) => {
      open(response).write(linesOf([start]))
      response.on('close', () => (stopped = true))
      while (!response.closed && written < 400_000_000) {
        written += line.length
        if (!response.write(line))
          await new Promise((resolve) => response.once('drain', resolve).once('close', resolve))
      }
    })
    for await (const chunk of hydrate()) {
      if (chunk.kind === 'start') continue
      let before = -1
      for (let still = 0; still < 10;) {
        await new Promise((resolve) => setTimeout(resolve, 20))
        still = written === before ? still + 1 : 0
        before = written
      }
      break
    }
    expect(written).toBeLessThan(50_000_000)
    await waitUntil(() => stopped)
  })

  test('does not count as silence while the reader is busy', async () => {
    const clock = createManualClock()
    const text = streamOf(recordsOf(5_000))
    server.answerWith((_, response) => open(response).end(text))
    let rows = 0
    for await (const chunk of hydrate({}, clock)) {
      expect(clock.pending).toEqual([])
      clock.elapse(10 * STALL_MS)
      if (chunk.kind === 'records') rows += chunk.records.length
    }
    expect(rows).toBe(5_000)
  })

  test('I8: that comes to a stand is given up', async () => {
    const clock = createManualClock()
    server.answerWith((_, response) => void open(response).write(linesOf([start, recordOf(0)])))
    const all = collect(hydrate({}, clock))
    await waitUntil(() => clock.pending[0] === STALL_MS)
    clock.elapse(STALL_MS)
    const { records, failure } = await all
    expect(failure?.code).toBe('network')
    expect(records).toHaveLength(1)
    await waitUntil(() => server.open === 0)
  })

  test('ends at once when it is stopped', async () => {
    const stop = new AbortController()
    server.answerWith((_, response) => void open(response).write(linesOf([start, recordOf(0)])))
    const all = collect(hydrate({}, systemClock, stop.signal))
    await waitUntil(() => server.requests.length === 1)
    stop.abort()
    expect((await all).failure?.code).toBe('aborted')
    await waitUntil(() => server.open === 0)
  })
})
