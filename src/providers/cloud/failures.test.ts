import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { systemClock } from '../../kernel/clock.ts'
import type { TidemarkError } from '../../kernel/errors.ts'
import { SAMPLE_PULL, SAMPLE_PULL_REQUEST, SAMPLE_PUSH } from '../../testing/cloud-answers.ts'
import * as failures from '../../testing/failures.ts'
import { jsonAnswer, startFaultyServer, type FaultyServer } from '../../testing/faulty-server.ts'
import { createManualClock } from '../../testing/manual-clock.ts'
import type { CloudOptions } from './line.ts'
import { createCloudProvider } from './provider.ts'

const never = new AbortController().signal
const TOKEN = 'tm_S3CR3T'

let server: FaultyServer
beforeEach(async () => {
  server = await startFaultyServer(jsonAnswer(SAMPLE_PUSH))
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
})

const connect = (options: Partial<CloudOptions> = {}) =>
  createCloudProvider({ endpoint: server.url, token: TOKEN, clock: systemClock, ...options })

/** What a promise rejects with; it tells no secret. */
async function failureOf(work: Promise<unknown>): Promise<TidemarkError> {
  const error = await failures.failureOf(work)
  expect(`${error.message} ${JSON.stringify(error)}`).not.toContain('S3CR3T')
  return error
}

describe('I9: an answer that is not one is a bad answer', () => {
  test.each<[string, number, string, string | Buffer]>([
    ['no JSON', 200, 'application/json', '{"epoch":'],
    ['nothing', 200, 'application/json', ''],
    ['another message', 200, 'application/json', '{"ok":true}'],
    [
      'an error with a success status',
      200,
      'application/json',
      '{"error":{"code":"x","message":"","details":{},"retry":true}}',
    ],
    ['a page', 200, 'text/html', '<p>Sign in to use this network</p>'],
    ['another type', 200, 'text/plain', JSON.stringify(SAMPLE_PULL)],
    [
      'broken UTF-8',
      200,
      'application/json',
      Buffer.from(JSON.stringify(SAMPLE_PULL).replace('Zürich', '\u00ff'), 'latin1'),
    ],
    ['a mark of byte order', 200, 'application/json', `\ufeff${JSON.stringify(SAMPLE_PULL)}`],
  ])('%s', async (_, status, type, body) => {
    server.answerWith((_, response) => response.writeHead(status, { 'content-type': type }).end(body))
    const error = await failureOf(connect().pull(SAMPLE_PULL_REQUEST, never))
    expect(error.code).toBe('bad_answer')
    expect(error.message).not.toContain('Sign in')
  })

  test('a redirect, which is not followed: the token goes nowhere else', async () => {
    await using other = await startFaultyServer(jsonAnswer(SAMPLE_PUSH))
    server.answerWith((_, response) => response.writeHead(307, { location: `${other.url}/sync/push` }).end())
    const error = await failureOf(connect().push('{}', never))
    expect([error.code, error.details['location']]).toEqual(['bad_answer', other.url])
    expect(other.requests).toHaveLength(0)
  })
})

describe('a refusal', () => {
  const envelope = (code: string, details = {}) => ({
    error: { code, message: 'said so', details, retry: false },
  })

  test.each<[number, string, string]>([
    [409, 'replica_forked', 'replica_forked'],
    [410, 'cursor_expired', 'cursor_expired'],
    [500, 'internal', 'internal'],
    [500, 'invariant', 'invariant'],
    [507, 'disk_full', 'disk_full'],
    [422, 'unprocessable', 'unprocessable'],
    [400, 'a_later_code', 'bad_request'],
    [422, 'a_later_code', 'unprocessable'],
    [409, 'a_later_code', 'bad_answer'],
    [503, 'a_later_code', 'unavailable'],
    [599, 'a_later_code', 'internal'],
    [503, 'network', 'unavailable'],
    [403, 'toString', 'forbidden'],
  ])('of status %i with code %s is %s', async (status, code, expected) => {
    server.answerWith(jsonAnswer(envelope(code), status))
    const error = await failureOf(connect().push('{}', never))
    expect([error.code, error.message]).toEqual([expected, 'said so'])
  })

  test('brings its details', async () => {
    const details = { epoch: 'e2', generations: [{ id: 'g9', start: 4 }] }
    server.answerWith(jsonAnswer(envelope('lost_history', details), 409))
    expect((await failureOf(connect().push('{}', never))).details).toEqual(details)
  })

  /** I9: a row must not go to the quarantine because of a proxy. */
  test.each<[number, string]>([
    [400, 'bad_answer'],
    [422, 'bad_answer'],
    [409, 'bad_answer'],
    [410, 'bad_answer'],
    [418, 'bad_answer'],
    [426, 'bad_answer'],
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [404, 'not_found'],
    [413, 'payload_too_large'],
    [429, 'rate_limited'],
    [500, 'internal'],
    [502, 'unavailable'],
    [503, 'unavailable'],
    [504, 'unavailable'],
    [520, 'internal'],
  ])('I9: of status %i by something in between is %s', async (status, code) => {
    for (const [type, body] of [
      ['text/html', '<p>no</p>'],
      ['application/json', '{"message":"no"}'],
      ['application/json', '<'],
    ]) {
      server.answerWith((_, response) => response.writeHead(status, { 'content-type': type ?? '' }).end(body))
      expect((await failureOf(connect().push('{}', never))).code).toBe(code)
    }
  })

  test.each([
    ['7', 7_000],
    ['0', 0],
    ['Thu, 01 Jan 1970 00:01:40 GMT', 40_000],
    ['Thu, 01 Jan 1970 00:00:10 GMT', 0],
    ['999999999', 3_600_000],
    ['soon', undefined],
    ['-5', undefined],
    ['', undefined],
  ])('asks to wait %j: %s ms', async (header, ms) => {
    server.answerWith(
      jsonAnswer(envelope('rate_limited'), 429, header === '' ? {} : { 'retry-after': header }),
    )
    const error = await failureOf(connect({ clock: createManualClock(60_000) }).push('{}', never))
    expect([error.code, error.retryAfterMs]).toEqual(['rate_limited', ms])
  })

  test('whose body is cut off still has its status', async () => {
    server.answerWith((_, response) => {
      response.writeHead(503, { 'content-type': 'application/json', 'content-length': '500' })
      response.write('{"error":', () => response.destroy())
    })
    expect((await failureOf(connect().push('{}', never))).code).toBe('unavailable')
  })
})
