import { describe, expect, test } from 'vitest'

import { ERRORS, isErrorCode, TidemarkError, toTidemarkError, type ErrorCode } from './errors.ts'

const codes = Object.keys(ERRORS) as ErrorCode[]

describe.each(codes)('%s', (code) => {
  const row = ERRORS[code]

  test('has a status, a title and a hint that people can read', () => {
    expect(code).toMatch(/^[a-z][a-z_]*$/)
    expect(row.status === 0 || (row.status >= 400 && row.status < 600)).toBe(true)
    expect(row.title).toMatch(/^\S.*[^.\s]$/)
    expect(row.hint).toMatch(/^\S.*\.$/)
  })

  test('a definite refusal is never repeated, and pressure always is', () => {
    if (row.status >= 400 && row.status < 500) expect(row.retry).toBe(code === 'rate_limited')
    if (row.status > 500) expect(row.retry).toBe(true)
  })
})

test('an error carries code, status, hint and what the server asked for', () => {
  const error = new TidemarkError('rate_limited', 'slow down', { details: { limit: 5 }, retryAfterMs: 2_000 })
  expect(error).toBeInstanceOf(Error)
  expect(error.message).toBe('slow down')
  expect([error.status, error.retry, error.retryAfterMs]).toEqual([429, true, 2_000])
  expect(error.hint).toBe(ERRORS.rate_limited.hint)
  expect(JSON.parse(JSON.stringify(error))).toEqual({
    code: 'rate_limited',
    message: 'slow down',
    details: { limit: 5 },
    retry: true,
  })
})

test('without a message the title stands', () => {
  expect(new TidemarkError('network').message).toBe(ERRORS.network.title)
})

test('what was thrown becomes an error once, and its own text goes no further', () => {
  const own = new TidemarkError('forbidden')
  expect(toTidemarkError(own, 'network')).toBe(own)
  const foreign = new Error('row value S3CR3T')
  const wrapped = toTidemarkError(foreign, 'network')
  expect(wrapped.code).toBe('network')
  expect(wrapped.cause).toBe(foreign)
  expect(JSON.stringify(wrapped)).not.toContain('S3CR3T')
  expect(toTidemarkError('text').code).toBe('internal')
})

test.each(['', 'toString', '__proto__', 'NETWORK', null, 5, {}])('%j is no code', (code) => {
  expect(isErrorCode(code)).toBe(false)
})
