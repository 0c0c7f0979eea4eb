import { createHash } from 'node:crypto'

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Check } from 'typebox/value'

import { openWorld, refusalOf } from '../../../test/daemon/approvals/world.ts'
import { ContextChunk, ContextComplete } from '../../protocol/approvals.ts'
import type { ServerSentEvent } from '../api/handlers.ts'
import { streamContext } from './context-stream.ts'

const NEVER = new AbortController().signal
async function read(stream: AsyncIterable<ServerSentEvent>) {
  const chunks: ContextChunk[] = []
  const ends: ContextComplete[] = []
  for await (const { event, data } of stream) {
    if (event === 'context_chunk' && Check(ContextChunk, data)) chunks.push(data)
    else if (event === 'context_complete' && Check(ContextComplete, data)) ends.push(data)
    else throw new Error(`what is ${event}`)
  }
  return { chunks, ends }
}
const expectWhole = async (context: string) => {
  const { chunks, ends } = await read(streamContext(context, NEVER))
  expect(chunks.map(({ chunk }) => chunk).join('') === context).toBe(true)
  expect(
    chunks.every(({ chunk }) => chunk.isWellFormed() && chunk.length > 0 && chunk.length <= 65_536),
  ).toBe(true)
  expect(chunks.map(({ index }) => index)).toEqual(chunks.map((_, at) => at))
  expect(new Set(chunks.map(({ total }) => total))).toEqual(
    new Set(chunks.length === 0 ? [] : [chunks.length]),
  )
  const checksum = `sha256:${createHash('sha256').update(context).digest('hex')}`
  expect(ends).toEqual([{ total_chunks: chunks.length, total_size: Buffer.byteLength(context), checksum }])
}

it('gives a context back whole, in pieces that split no character', async () => {
  const edge = 65_536
  for (const context of ['', 'a', 'x'.repeat(edge), 'x'.repeat(edge + 1), '\0'.repeat(3), '😀'.repeat(edge)])
    await expectWhole(context)
  for (const before of [edge - 2, edge - 1, edge, 2 * edge - 2, 2 * edge - 1])
    await expectWhole(`${'x'.repeat(before)}😀é${'y'.repeat(edge)}😀`)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('x'.repeat(32_767), '😀', 'é', '𝄞\u200d', 'z'.repeat(9_999))),
      async (pieces) => {
        await expectWhole(pieces.join(''))
      },
    ),
    { numRuns: 30 },
  )
})

it('leaves the event loop to others between two pieces, and ends when it is told', async () => {
  const context = 'é'.repeat(1_000_000)
  let turns = 0
  let done = false
  const turn = (): void => {
    turns++
    if (!done) setImmediate(turn)
  }
  turn()
  const { chunks } = await read(streamContext(context, NEVER))
  done = true
  expect(turns).toBeGreaterThanOrEqual(chunks.length)
  const stopping = new AbortController()
  const seen: string[] = []
  for await (const { event } of streamContext(context, stopping.signal)) {
    seen.push(event)
    if (seen.length === 3) stopping.abort()
  }
  expect(seen).toEqual(['context_chunk', 'context_chunk', 'context_chunk'])
})

it('streams what was kept, after the decision and after a restart', async () => {
  using world = openWorld()
  const context = `${'😀\0\u2028"\\'.repeat(50_000)}end`
  await world.ask({ id: 'a', context })
  await world.ask({ id: 'none' })
  await world.ask({ id: 'empty', context: '' })
  await world.decide('a')
  const after = world.reopen()
  const { chunks, ends } = await read(after.context('a'))
  expect(chunks.map(({ chunk }) => chunk).join('') === context).toBe(true)
  expect(await after.get('a')).toMatchObject({ context_size: ends[0]?.total_size })
  expect(await read(after.context('empty'))).toMatchObject({
    chunks: [],
    ends: [{ total_chunks: 0, total_size: 0 }],
  })
  for (const id of ['none', 'unknown'])
    expect((await refusalOf(read(after.context(id)))).code).toBe('not_found')
})
