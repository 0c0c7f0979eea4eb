import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { openTestCloud, valueOf, type TestCloud } from '../../../test/cloud/test-cloud.ts'
import type { ReadAnswer } from '../../protocol/pull.ts'
import { createManualClock } from '../../testing/manual-clock.ts'

const NOW = Date.UTC(2026, 0, 29, 14, 35, 0, 678)

describe('batch (origin 000)', () => {
  let cloud: TestCloud
  beforeEach(async () => {
    cloud = await openTestCloud({ clock: createManualClock(NOW) })
  })
  afterEach(() => cloud[Symbol.asyncDispose]())

  const send = async (body: unknown, token = cloud.token) =>
    valueOf<{ readonly [name: string]: unknown }>(
      await cloud.handler.handle({
        route: 'batch',
        token,
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    )
  const read = async (table: string, key: string) => {
    const body = JSON.stringify({ space: 'main', records: [{ table, key }] })
    return valueOf<ReadAnswer>(await cloud.handler.handle({ route: 'read', token: cloud.token, body }))
      .records[0]
  }

  test('its exact JSON, in and out', async () => {
    const answer = await send({
      sessions: [{ id: 's1', started_at: '2026-01-29T14:00:00Z', tokens: 12, cost: 0.25, tags: ['a', 'b'] }],
      messages: [
        { id: 1, session_id: 's1', text: 'hi' },
        { id: 2, session_id: 's1', text: 'there', meta: { $model: 'x', deep: [1, { a: null }] } },
      ],
      sync_timestamp: '2026-01-29T14:30:00Z',
    })
    expect(answer).toEqual({ sessions_synced: 1, messages_synced: 2, sync_timestamp: '2026-01-29T14:35:00Z' })
    expect((await read('sessions', '["s1"]'))?.fields).toEqual({
      id: 's1',
      started_at: '2026-01-29T14:00:00Z',
      tokens: 12,
      cost: 0.25,
      tags: ['a', 'b'],
    })
    expect((await read('messages', '[2]'))?.fields?.['meta']).toEqual({
      $object: { $model: 'x', deep: [1, { a: null }] },
    })
  })

  test('I5: tables of one batch are one commit', async () => {
    const heads: number[] = []
    cloud.log.onCommit((_space, head) => heads.push(head))
    const answer = await send({ a: [{ id: 1 }, { id: 2 }], empty: [], b: [{ id: 1 }] })
    expect(answer).toMatchObject({ a_synced: 2, empty_synced: 0, b_synced: 1 })
    expect(heads).toEqual([3])
  })

  test('I3: the same batch twice changes nothing and is answered the same', async () => {
    const body = { a: [{ id: 1, updated_at: '2026-01-01T00:00:00Z', x: 1 }] }
    const first = await send(body)
    const before = await read('a', '[1]')
    expect(await send(body)).toEqual(first)
    expect(await read('a', '[1]')).toEqual(before)
  })

  test('the newer row stays, whichever comes first', async () => {
    await send({ a: [{ id: 1, updated_at: '2026-01-02T00:00:00Z', x: 'new' }] })
    const answer = await send({ a: [{ id: 1, updated_at: '2026-01-01 00:00:00', x: 'old' }] })
    expect(answer['a_synced']).toBe(0)
    expect((await read('a', '[1]'))?.fields?.['x']).toBe('new')
    expect((await send({ a: [{ id: 1, updated_at: '2026-01-03', x: 'newest' }] }))['a_synced']).toBe(1)
    expect((await read('a', '[1]'))?.fields?.['x']).toBe('newest')
  })

  test('any table name, an empty table, no table', async () => {
    const names = ['__proto__', 'constructor', 'a b\n"c"', 'ключ', '_synced', 'x'.repeat(512)]
    const body = `{${names.map((name) => `${JSON.stringify(name)}:[{"id":"1","n":1}]`).join(',')},"empty":[]}`
    const answer = await send(body)
    for (const name of names) expect(Object.getOwnPropertyDescriptor(answer, `${name}_synced`)?.value).toBe(1)
    expect(answer['empty_synced']).toBe(0)
    expect(await send({})).toEqual({ sync_timestamp: '2026-01-29T14:35:00Z' })
    expect((await read('__proto__', '["1"]'))?.fields).toEqual({ id: '1', n: 1 })
  })

  test('I10: long integers come through exactly, as keys and as values', async () => {
    await send('{"a":[{"id":9007199254740993,"n":-9223372036854775807}]}')
    expect((await read('a', '[{"$int":"9007199254740993"}]'))?.fields).toEqual({
      id: { $int: '9007199254740993' },
      n: { $int: '-9223372036854775807' },
    })
  })

  test.each([
    ['bad_request', '[]'],
    ['bad_request', '{"a":{}}'],
    ['bad_request', '{"a":[1]}'],
    ['bad_request', '{"sync_timestamp":5}'],
    ['bad_request', '{"":[{"id":1}]}'],
    ['bad_request', '{"a\\u0000":[{"id":1}]}'],
    ['bad_request', `{"${'x'.repeat(513)}":[]}`],
    ['unprocessable', '{"a":[{"x":1}]}'],
    ['unprocessable', '{"a":[{"id":null}]}'],
    ['unprocessable', '{"a":[{"id":1.5}]}'],
    ['unprocessable', '{"a":[{"id":true}]}'],
    ['unprocessable', '{"a":[{"id":""}]}'],
    ['unprocessable', `{"a":[{"id":"${'x'.repeat(1_025)}"}]}`],
    ['unprocessable', `{"a":[{"id":1,"x":${'['.repeat(40)}${']'.repeat(40)}}]}`],
    ['unprocessable', `{"a":[{"id":1,"x\\ud800":1}]}`],
    ['payload_too_large', `{"a":[${'{"id":1},'.repeat(10_000)}{"id":2}]}`],
  ])('is refused whole with %s: %s', async (code, body) => {
    const mixed = body.replace(/^\{"a":\[/, '{"good":[{"id":1}],"a":[')
    await expect(send(mixed)).rejects.toMatchObject({ code })
    await expect(read('good', '[1]')).rejects.toMatchObject({ code: 'space_not_found' })
  })

  test('I12: goes into the default space of the token, which must be one it reaches', async () => {
    const elsewhere = await cloud.makeToken({ spaces: ['other'], defaultSpace: 'main' })
    await expect(send({ a: [{ id: 1 }] }, elsewhere.token)).rejects.toMatchObject({ code: 'forbidden' })
    const reader = await cloud.makeToken({ scopes: ['read'] })
    await expect(send({ a: [{ id: 1 }] }, reader.token)).rejects.toMatchObject({ code: 'forbidden' })
  })
})
