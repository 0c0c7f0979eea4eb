import { expect, test } from 'vitest'

import { systemClock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { parseEndpoint, routeUrl } from './endpoint.ts'
import { createCloudProvider } from './provider.ts'

test.each([
  ['https://sync.example', 'https://sync.example/sync/push', false],
  ['https://sync.example/', 'https://sync.example/sync/push', false],
  ['  HTTPS://Sync.Example:8443/a/b//  ', 'https://sync.example:8443/a/b/sync/push', false],
  ['http://127.0.0.1:7420', 'http://127.0.0.1:7420/sync/push', true],
  ['http://127.9.0.1', 'http://127.9.0.1/sync/push', true],
  ['http://[::1]:7420', 'http://[::1]:7420/sync/push', true],
  ['http://localhost:7420/x', 'http://localhost:7420/x/sync/push', true],
  ['http://127.0.0.1.example', 'http://127.0.0.1.example/sync/push', false],
])('%s is an endpoint', (text, push, loopback) => {
  const endpoint = parseEndpoint(text)
  expect(routeUrl(endpoint, 'push')).toBe(push)
  expect(endpoint.loopback).toBe(loopback)
})

test.each([
  '',
  'sync.example',
  'localhost:7420',
  '//sync.example',
  'ftp://sync.example',
  'file:///etc/passwd',
  'javascript:alert(1)',
  'http://',
  'http:///path',
  'https://a b',
  'https://sync.example:99999',
  'https://me:S3CR3T@sync.example',
  'https://S3CR3T@sync.example',
  'https://sync.example/?token=S3CR3T',
  'https://sync.example/#S3CR3T',
])('%j is refused, and not shown', (text) => {
  const thrown = errorOf(() => parseEndpoint(text))
  expect(thrown.code).toBe('config_invalid')
  expect(JSON.stringify(thrown)).not.toContain('S3CR3T')
})

test.each(['', 'S3CR3T\n', 'S3CR3T x', 'S3CR3Té'])('the token %j is refused, and not shown', (token) => {
  const thrown = errorOf(() =>
    createCloudProvider({ endpoint: 'http://localhost', token, clock: systemClock }),
  )
  expect(thrown.code).toBe('config_invalid')
  expect(JSON.stringify(thrown)).not.toContain('S3CR3T')
})

test('names in an address are escaped, and a list stands once for each item', () => {
  const endpoint = parseEndpoint('http://localhost')
  const url = new URL(
    routeUrl(endpoint, 'hydrate', { space: 'a&b=c', tables: ['x y', 'é&', ''], replica: undefined }),
  )
  expect(url.searchParams.getAll('tables')).toEqual(['x y', 'é&', ''])
  expect([...url.searchParams.keys()]).toEqual(['space', 'tables', 'tables', 'tables'])
  expect(url.searchParams.get('space')).toBe('a&b=c')
})

function errorOf(work: () => unknown): TidemarkError {
  try {
    work()
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(TidemarkError)
    return thrown as TidemarkError
  }
  throw new Error('nothing was thrown')
}
