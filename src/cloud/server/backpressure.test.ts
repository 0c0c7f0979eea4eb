import { randomBytes } from 'node:crypto'
import { request as httpRequest, type IncomingMessage } from 'node:http'

import { expect, test } from 'vitest'

import { pushBody, put } from '../../../test/cloud/requests.ts'
import { serveTestCloud } from '../../../test/cloud/test-cloud.ts'
import type { Log } from '../log/log.ts'

const PAGES = 1_000
/** Of chance, or all of it would fit compressed into the buffers of the sockets. */
const PAGE = JSON.stringify(randomBytes(750_000).toString('base64'))

/** A log whose hydrates are a gigabyte, and how much of it was asked for. */
function endless(asked: { pages: number }) {
  return (log: Log): Log =>
    new Proxy(log, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        if (name !== 'hydratePage') return value.bind(target)
        return async () => {
          const more = asked.pages++ < PAGES
          return { lines: more ? [PAGE] : [], last: more ? { table: 'city', key: `[${asked.pages}]` } : null }
        }
      },
    })
}

test.each(['identity', 'gzip', 'zstd'])('a reader that stops reading stops the log: %s', async (encoding) => {
  const asked = { pages: 0 }
  await using cloud = await serveTestCloud({ log: endless(asked), serverLimits: { stopMs: 100 } })
  await cloud.ask('POST', '/sync/push', { body: pushBody(1, [put(1)]) })
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { authorization: `Bearer ${cloud.token}`, 'accept-encoding': encoding }
    httpRequest(`${cloud.url}/sync/hydrate?space=main&replica=b`, { headers }, resolve)
      .on('error', reject)
      .end()
  })
  response.on('error', () => {})
  let before = -1
  for (let still = 0; still < 5; still = asked.pages === before ? still + 1 : 0) {
    before = asked.pages
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  expect(asked.pages).toBeLessThan(PAGES / 10)
  // A reader that goes away ends it for good.
  response.destroy()
  await new Promise((resolve) => setTimeout(resolve, 200))
  const after = asked.pages
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(asked.pages).toBeLessThanOrEqual(after + 1)
  expect(after).toBeLessThan(PAGES / 10)
  expect(cloud.logged.filter((line) => line.startsWith('error'))).toEqual([])
})
