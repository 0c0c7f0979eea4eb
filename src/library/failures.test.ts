import { describe, expect, test } from 'vitest'

import { ERRORS, TidemarkError, type ErrorCode } from '../kernel/errors.ts'
import { toSyncError, TROUBLES } from './failures.ts'

const codes = Object.keys(ERRORS) as ErrorCode[]

/** As the origin tells failures apart. */
const troubleOf = ({ message }: Error): string =>
  message.includes('Not connected')
    ? 'connection'
    : message.includes('Authentication')
      ? 'credentials'
      : 'other'

test('every code is sorted', () => {
  expect(Object.keys(TROUBLES).sort()).toEqual([...codes].sort())
})

describe.each(codes)('%s', (code) => {
  test.each([undefined, 'what it said'])('is told apart by its message as by its code (%j)', (said) => {
    const error = toSyncError(new TidemarkError(code, said))
    expect(error.code).toBe(code)
    expect(troubleOf(error)).toBe(TROUBLES[code])
    expect(error.message).toContain(said ?? ERRORS[code].title)
    expect(toSyncError(error)).toBe(error)
  })
})

test.each([
  ['network', 'sync.example cannot be reached', 'Not connected: sync.example cannot be reached'],
  ['not_connected', undefined, 'Not connected: no endpoint is configured'],
  ['forbidden', 'The token lacks the scope write', 'Authentication failed: The token lacks the scope write'],
  ['unauthorized', undefined, 'Authentication failed: no token, or one that is not known'],
  ['lost_history', undefined, 'The cloud was restored to an older state'],
] as const)('%s says %j as %j', (code, said, message) => {
  expect(toSyncError(new TidemarkError(code, said)).message).toBe(message)
})

test('all else of the failure stays', () => {
  const cause = new Error('socket')
  const details = { host: 'sync.example', reason: 'ECONNREFUSED' }
  const error = toSyncError(new TidemarkError('unavailable', 'busy', { details, cause, retryAfterMs: 2_000 }))
  expect(error).toMatchObject({ code: 'unavailable', details, cause, retryAfterMs: 2_000, retry: true })
  const bare = toSyncError(new TidemarkError('network', 'gone'))
  expect('cause' in bare).toBe(false)
  expect([bare.details, bare.retryAfterMs]).toEqual([{}, undefined])
})

test('what something else threw is its cause, and its text goes no further', () => {
  const thrown = new Error('row value S3CR3T')
  const error = toSyncError(thrown)
  expect([error.code, error.cause]).toEqual(['internal', thrown])
  expect(JSON.stringify(error)).not.toContain('S3CR3T')
  const denied = Object.assign(new Error('EACCES'), { code: 'EACCES', path: '/data/device.json' })
  expect(toSyncError(denied)).toMatchObject({
    code: 'no_access',
    message: '/data/device.json cannot be used: permission denied',
  })
  expect(toSyncError('text').code).toBe('internal')
})
