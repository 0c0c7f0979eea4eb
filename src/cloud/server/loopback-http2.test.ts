import { expect, test } from 'vitest'

import { Http2Client } from '../../../test/cloud/attack/http2-client.ts'
import { createSelfSigned } from '../../../test/cloud/self-signed.ts'
import { serveTestCloud } from '../../../test/cloud/test-cloud.ts'
import type { Grant } from '../directory.ts'

const grant: Grant = {
  tokenId: 'loopback',
  account: 'local',
  scopes: ['read', 'write', 'devices'],
  spaces: null,
  defaultSpace: 'default',
  device: null,
}

test('I12: without tokens over HTTP/2, a loopback name is served and another one is not', async () => {
  const tls = createSelfSigned()
  await using open = await serveTestCloud({ server: { tls, insecureLoopback: true }, open: grant })
  const client = new Http2Client(open.url, tls.cert)
  const ask = async (...headers: readonly (readonly [name: string, value: string])[]) => {
    const answer = await client.send({
      method: 'GET',
      path: '/sync/devices',
      headers,
      body: null,
      delivery: 'whole',
    })
    return answer === 'closed' ? answer : answer.status
  }
  expect(await ask()).toBe(200)
  expect(await ask([':authority', 'localhost:80'])).toBe(200)
  expect(await ask([':authority', 'evil.example'])).toBe(403)
  // A page's own name is in the one, whatever stands in the other.
  expect(await ask([':authority', 'evil.example'], ['host', '127.0.0.1'])).toBe(403)
  expect(await ask(['host', 'evil.example'])).toBe(403)
  client.close()
})
