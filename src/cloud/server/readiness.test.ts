import { expect, test } from 'vitest'

import { pushBody, put } from '../../../test/cloud/requests.ts'
import { ask, serveTestCloud } from '../../../test/cloud/test-cloud.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { silentLogger } from '../../kernel/logger.ts'
import { createManualClock } from '../../testing/manual-clock.ts'
import { createReadiness } from './readiness.ts'

const storage = { code: 'unavailable', details: { not_ready: 'storage' } }
const server = { code: 'unavailable', details: { not_ready: 'server' } }

test('names the part that is not ready, and nothing of why', async () => {
  await using sick = await serveTestCloud({
    server: { checkStorage: () => Promise.reject(new Error('password=secret at 10.0.0.7')) },
  })
  const answer = await ask(sick.url, 'GET', '/readyz')
  expect(answer.status).toBe(503)
  expect(answer.json).toEqual({
    error: { ...storage, message: 'The storage does not answer', retry: true },
  })
  expect(answer.text + sick.logged.join()).not.toMatch(/secret|10\.0/)
})

test('a storage that never answers is not ready, and is asked once however many want to know', async () => {
  const clock = createManualClock()
  let asked = 0
  let answer = (): void => {}
  const readiness = createReadiness(
    clock,
    () => {
      asked++
      return new Promise((resolve) => (answer = resolve))
    },
    silentLogger,
  )
  const checks = Promise.allSettled([readiness.check(), readiness.check()])
  clock.elapse(60_000)
  for (const check of await checks) expect(check).toMatchObject({ status: 'rejected', reason: storage })
  const third = readiness.check()
  expect(asked).toBe(1)
  answer()
  await third
  expect(clock.pending).toEqual([])
  const fourth = readiness.check()
  expect(asked).toBe(2)
  answer()
  await fourth
})

test('each turn of the storage is told once, at the level that is always read', async () => {
  const logged: unknown[] = []
  const warn = (...line: readonly unknown[]): void => void logged.push(line)
  let failure: Error | null = new TidemarkError('unavailable', 'It is a standby', {
    details: { sqlstate: '25006' },
    cause: new Error('secret'),
  })
  const work = async (): Promise<void> => {
    if (failure !== null) throw failure
  }
  const readiness = createReadiness(createManualClock(), work, { ...silentLogger, warn })
  const look = async (next: Error | null): Promise<unknown> => {
    failure = next
    return readiness.check().catch(() => null)
  }
  const first = failure
  for (const next of [null, first, first, null, null, new Error('password=secret')]) await look(next)
  const out = 'The storage does not answer: requests fail until it does'
  expect(logged).toEqual([
    [out, { code: 'unavailable', sqlstate: '25006', reason: 'It is a standby' }],
    ['The storage answers again'],
    [out, {}],
  ])
})

test('a server that stops is not ready, also when it was asked before', async () => {
  let answer = (): void => {}
  const readiness = createReadiness(
    createManualClock(),
    () => new Promise((resolve) => (answer = resolve)),
    silentLogger,
  )
  const before = readiness.check()
  readiness.stop()
  answer()
  await expect(before).rejects.toMatchObject(server)
  await expect(readiness.check()).rejects.toMatchObject(server)
})

test('while it drains a server is not ready and goes on answering; then it ends', async () => {
  const clock = createManualClock()
  await using cloud = await serveTestCloud({ server: { clock }, serverLimits: { drainMs: 5_000 } })
  expect((await ask(cloud.url, 'GET', '/readyz')).status).toBe(200)
  let closed = false
  const closing = cloud.close().then(() => (closed = true))
  const answer = await ask(cloud.url, 'GET', '/readyz')
  expect([answer.status, answer.json]).toMatchObject([503, { error: server }])
  expect((await ask(cloud.url, 'GET', '/healthz')).status).toBe(200)
  const push = await cloud.ask('POST', '/sync/push', { body: pushBody(1, [put(1)]) })
  expect([push.status, closed]).toEqual([200, false])
  clock.elapse(5_000)
  await expect
    .poll(() => {
      clock.elapse(1_000)
      return closed
    })
    .toBe(true)
  await closing
  await expect(ask(cloud.url, 'GET', '/readyz')).rejects.toThrow()
})
