import { expect, test } from 'vitest'

import { ask, serveTestCloud } from '../../../test/cloud/test-cloud.ts'

test('every answer that counts tells what is left, in the form of the draft', async () => {
  await using cloud = await serveTestCloud({ serverLimits: { tokenPerMinute: 3, addressPerMinute: 100 } })
  const { headers } = await cloud.ask('GET', '/sync/devices')
  expect(headers.get('ratelimit-policy')).toBe('"address";q=100;w=60, "token";q=3;w=60')
  expect(headers.get('ratelimit')).toMatch(/^"address";r=99;t=(60|5\d), "token";r=2;t=(60|5\d)$/)
  // Before a token is shown there is nothing to tell of it.
  const stranger = await ask(cloud.url, 'GET', '/sync/devices')
  expect([stranger.status, stranger.headers.get('ratelimit')]).toEqual([
    401,
    expect.stringMatching(/^"address";r=98;t=\d+$/) as string,
  ])
  for (let at = 0; at < 2; at++) await cloud.ask('GET', '/sync/devices')
  const over = await cloud.ask('GET', '/sync/devices')
  expect([over.status, over.code]).toEqual([429, 'rate_limited'])
  expect(over.json).toMatchObject({ error: { details: { policy: 'token', limit: 3, seconds: 60 } } })
  const [, left = ''] = /"token";r=0;t=(\d+)$/.exec(over.headers.get('ratelimit') ?? '') ?? []
  expect(over.headers.get('retry-after')).toBe(left)
  expect(over.headers.get('ratelimit-policy')).toContain('"token";q=3;w=60')
  expect([...over.headers.values()].join()).not.toContain(cloud.token.slice(3, 12))
  expect((await ask(cloud.url, 'GET', '/healthz')).headers.get('ratelimit')).toBeNull()
})

test('what has no limit is not told', async () => {
  await using cloud = await serveTestCloud({ serverLimits: { tokenPerMinute: 0, addressPerMinute: 5 } })
  const { headers } = await cloud.ask('GET', '/sync/devices')
  expect(headers.get('ratelimit-policy')).toBe('"address";q=5;w=60')
  expect(headers.get('ratelimit')).toMatch(/^"address";r=4;t=\d+$/)
  await using free = await serveTestCloud({ serverLimits: { tokenPerMinute: 0, addressPerMinute: 0 } })
  expect([...(await free.ask('GET', '/sync/devices')).headers.keys()].join()).not.toContain('ratelimit')
})

const remaining = async (url: string, forwarded: string): Promise<string | undefined> => {
  const { headers } = await ask(url, 'GET', '/', { headers: { 'x-forwarded-for': forwarded } })
  return /r=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1]
}

test('an address that somebody writes into a header is not believed', async () => {
  await using direct = await serveTestCloud({ serverLimits: { addressPerMinute: 10 } })
  expect(await remaining(direct.url, '192.0.2.1')).toBe('9')
  expect(await remaining(direct.url, '192.0.2.2')).toBe('8')
})

test('behind a proxy only what that one added is believed', async () => {
  await using cloud = await serveTestCloud({
    serverLimits: { addressPerMinute: 10 },
    server: { trustProxy: true },
  })
  // The proxy has seen 192.0.2.1; what stands before it came with the request.
  expect(await remaining(cloud.url, '192.0.2.1')).toBe('9')
  expect(await remaining(cloud.url, '203.0.113.7, 192.0.2.1')).toBe('8')
  expect(await remaining(cloud.url, '203.0.113.8, nonsense, 192.0.2.1')).toBe('7')
  expect(await remaining(cloud.url, '192.0.2.2')).toBe('9')
  await using two = await serveTestCloud({
    serverLimits: { addressPerMinute: 10 },
    server: { trustProxy: 2 },
  })
  expect(await remaining(two.url, '192.0.2.1, 198.51.100.1')).toBe('9')
  expect(await remaining(two.url, '192.0.2.1, 198.51.100.2')).toBe('8')
  expect(await remaining(two.url, '203.0.113.7, 192.0.2.1, 198.51.100.2')).toBe('7')
})

test('who has a whole network of IPv6 is one', async () => {
  await using cloud = await serveTestCloud({
    serverLimits: { addressPerMinute: 10 },
    server: { trustProxy: true },
  })
  expect(await remaining(cloud.url, '2001:db8:1:2:aaaa::1')).toBe('9')
  expect(await remaining(cloud.url, '2001:db8:1:2:bbbb::2')).toBe('8')
  expect(await remaining(cloud.url, '2001:db8:1:3::1')).toBe('9')
})
