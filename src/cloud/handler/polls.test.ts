import { describe, expect, test } from 'vitest'

import { openTestCloud, valueOf, type TestCloud } from '../../../test/cloud/test-cloud.ts'
import { pushBody, put } from '../../../test/cloud/requests.ts'
import type { PullAnswer } from '../../protocol/pull.ts'
import type { PushAnswer } from '../../protocol/push.ts'
import { createManualClock } from '../../testing/manual-clock.ts'
import type { Log } from '../log/log.ts'

const push = async (
  cloud: TestCloud,
  mutation: number,
  id: number,
  more: { readonly replica?: string; readonly space?: string; readonly table?: string } = {},
) => {
  const { table = 'city', ...request } = more
  const body = JSON.stringify(pushBody(mutation, [put(id, {}, { table })], request))
  return valueOf<PushAnswer>(await cloud.handler.handle({ route: 'push', token: cloud.token, body }))
}

/** A pull of replica-b from the head that `answer` shows. */
const pull = async (
  cloud: TestCloud,
  answer: PushAnswer,
  more: { readonly wait?: number; readonly signal?: AbortSignal; readonly token?: string } = {},
) => {
  const { epoch, generation, head } = answer
  const cursor = { epoch, generation: generation.id, version: head, high: head }
  const body = JSON.stringify({
    space: 'main',
    replica: 'replica-b',
    cursor,
    tables: ['city'],
    wait: more.wait,
  })
  return valueOf<PullAnswer>(
    await cloud.handler.handle({
      route: 'pull',
      token: more.token ?? cloud.token,
      body,
      signal: more.signal,
    }),
  )
}

/** Lets everything that is ready run. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 100; turn++) await Promise.resolve()
}

const isDone = async (promise: Promise<unknown>): Promise<boolean> => {
  let done = false
  promise.then(
    () => (done = true),
    () => (done = true),
  )
  await settle()
  return done
}

describe('a pull that waits', () => {
  test('is answered by a commit of another replica', async () => {
    const clock = createManualClock(1_000_000)
    await using cloud = await openTestCloud({ clock })
    const start = await push(cloud, 1, 1)
    const waiting = pull(cloud, start, { wait: 50 })
    expect(await isDone(waiting)).toBe(false)
    clock.elapse(49_000)
    expect(await isDone(waiting)).toBe(false)
    await push(cloud, 2, 2)
    expect((await waiting).records.map((record) => record.key)).toEqual(['[2]'])
    expect(clock.pending).toEqual([])
  })

  test('is answered empty when its time is over', async () => {
    const clock = createManualClock(1_000_000)
    await using cloud = await openTestCloud({ clock })
    const waiting = pull(cloud, await push(cloud, 1, 1), { wait: 50 })
    expect(await isDone(waiting)).toBe(false)
    clock.elapse(50_000)
    expect((await waiting).records).toEqual([])
  })

  test('is answered at once when there is something already', async () => {
    const clock = createManualClock(1_000_000)
    await using cloud = await openTestCloud({ clock })
    const start = await push(cloud, 1, 1)
    await push(cloud, 2, 2)
    expect((await pull(cloud, start, { wait: 50 })).records.length).toBe(1)
    expect(clock.pending).toEqual([])
  })

  test('I4: a commit between its first read and its sleep is not slept through', async () => {
    const clock = createManualClock(1_000_000)
    let onPull: (() => Promise<unknown>) | null = null
    const late = (log: Log): Log =>
      new Proxy(log, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target)
          if (typeof value !== 'function') return value
          if (name !== 'pull') return value.bind(target)
          return async (...parameters: unknown[]): Promise<unknown> => {
            const answer: unknown = await Reflect.apply(value, target, parameters)
            const run = onPull
            onPull = null
            await run?.()
            return answer
          }
        },
      })
    await using cloud = await openTestCloud({ clock, log: late })
    const start = await push(cloud, 1, 1)
    onPull = () => push(cloud, 2, 2)
    const answer = pull(cloud, start, { wait: 50 })
    expect(await isDone(answer)).toBe(true)
    expect((await answer).records.length).toBe(1)
  })

  test('sleeps on through commits in other tables and in other spaces', async () => {
    const clock = createManualClock(1_000_000)
    await using cloud = await openTestCloud({ clock })
    const start = await push(cloud, 1, 1)
    const waiting = pull(cloud, start, { wait: 50 })
    for (let mutation = 1; mutation <= 20; mutation++) {
      await push(cloud, mutation, mutation + 100, { replica: 'replica-c', table: 'other' })
      await push(cloud, mutation, mutation + 100, { replica: 'replica-c', space: 'elsewhere' })
      clock.elapse(200)
      await settle()
    }
    expect(await isDone(waiting)).toBe(false)
    await push(cloud, 2, 2)
    clock.elapse(200)
    expect((await waiting).records.map((record) => record.key)).toEqual(['[2]'])
  })

  test('sleeps on through the commits of the replica that polls, and is not slower for them', async () => {
    const clock = createManualClock(1_000_000)
    await using cloud = await openTestCloud({ clock })
    const start = await push(cloud, 1, 1)
    const waiting = pull(cloud, start, { wait: 50 })
    for (let mutation = 1; mutation <= 20; mutation++) {
      await push(cloud, mutation, mutation + 100, { replica: 'replica-b' })
      await settle()
    }
    expect(await isDone(waiting)).toBe(false)
    await push(cloud, 2, 2)
    // No time passes: it was not woken before, and so need not rest.
    expect((await waiting).records.map((record) => record.key)).toContain('[2]')
  })

  test('I12: a token that is revoked meanwhile gets nothing more', async () => {
    const clock = createManualClock(1_000_000)
    await using cloud = await openTestCloud({ clock })
    const { token, id } = await cloud.makeToken({ scopes: ['read'] })
    const start = await push(cloud, 1, 1)
    const waiting = pull(cloud, start, { wait: 50, token })
    expect(await isDone(waiting)).toBe(false)
    await cloud.directory.revokeToken(id)
    const refused = expect(waiting).rejects.toMatchObject({ code: 'token_revoked' })
    await push(cloud, 2, 2)
    await refused
  })

  test('ends when nobody waits for it any more', async () => {
    const clock = createManualClock(1_000_000)
    await using cloud = await openTestCloud({ clock })
    const left = new AbortController()
    const waiting = pull(cloud, await push(cloud, 1, 1), { wait: 50, signal: left.signal })
    expect(await isDone(waiting)).toBe(false)
    const refused = expect(waiting).rejects.toMatchObject({ code: 'aborted' })
    left.abort()
    await refused
    expect(clock.pending).toEqual([])
  })

  test('is answered when the cloud stops, and none waits after that', async () => {
    const clock = createManualClock(1_000_000)
    await using cloud = await openTestCloud({ clock })
    const start = await push(cloud, 1, 1)
    const waiting = Array.from({ length: 20 }, () => pull(cloud, start, { wait: 50 }))
    expect(await isDone(waiting[0] as Promise<unknown>)).toBe(false)
    cloud.handler.stop()
    for (const answer of await Promise.all(waiting)) expect(answer.records).toEqual([])
    expect((await pull(cloud, start, { wait: 50 })).records).toEqual([])
    expect(clock.pending).toEqual([])
  })

  test('only so many wait for one token; the place is free again afterwards', async () => {
    const clock = createManualClock(1_000_000)
    await using cloud = await openTestCloud({ clock, limits: { pollsPerToken: 2 } })
    const other = await cloud.makeToken()
    const start = await push(cloud, 1, 1)
    const waiting = [pull(cloud, start, { wait: 50 }), pull(cloud, start, { wait: 50 })]
    await settle()
    await expect(pull(cloud, start, { wait: 50 })).rejects.toMatchObject({
      code: 'rate_limited',
      retryAfterMs: expect.any(Number) as number,
    })
    expect((await pull(cloud, start)).records).toEqual([])
    const third = pull(cloud, start, { wait: 50, token: other.token })
    expect(await isDone(third)).toBe(false)
    await push(cloud, 2, 2)
    await Promise.all([...waiting, third])
    const again = pull(cloud, start, { wait: 50 })
    expect((await again).records.length).toBe(1)
  })
})
