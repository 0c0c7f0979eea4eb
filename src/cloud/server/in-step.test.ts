import { expect, test } from 'vitest'

import { Http1Client, type Outcome } from '../../../test/cloud/attack/http1-client.ts'
import { serveTestCloud } from '../../../test/cloud/test-cloud.ts'
import { MAX_BODY_BYTES } from '../../protocol/limits.ts'

const statusOf = (outcome: Outcome): number | string => (outcome === 'closed' ? outcome : outcome.status)

/** A close with bytes under way is a reset, and what was answered may be lost with it: a client would not learn why. */
test.each([
  ['an encoding it does not read', Buffer.alloc(4_000_000, 'x'), [['content-encoding', 'br']], 415],
  ['too large a body', Buffer.alloc(MAX_BODY_BYTES + 1, ' '), [], 413],
  ['a damaged body', Buffer.alloc(1_000_000, 'x'), [['content-encoding', 'gzip']], 400],
] as const)(
  '%s is refused, read to its end, and the next request answered',
  async (_what, body, more, status) => {
    await using cloud = await serveTestCloud()
    const client = new Http1Client(cloud.url)
    const headers = [['authorization', `Bearer ${cloud.token}`]] as const
    const path = '/sync/push'
    for (let round = 0; round < 3; round++) {
      const refused = await client.send({
        method: 'POST',
        path,
        headers: [...headers, ['content-type', 'application/json'], ...more],
        body,
        delivery: 'pieces',
      })
      expect(statusOf(refused)).toBe(status)
      const next = await client.send({
        method: 'GET',
        path: '/sync/devices',
        headers,
        body: null,
        delivery: 'whole',
      })
      expect(statusOf(next)).toBe(200)
    }
    client.close()
  },
)

test.each(['/nowhere', '/sync/push'])(
  'who asks for the end of the connection is told of it: %s',
  async (path) => {
    await using cloud = await serveTestCloud()
    const client = new Http1Client(cloud.url)
    const headers = [
      ['authorization', `Bearer ${cloud.token}`],
      ['content-type', 'application/json'],
      ['content-encoding', 'br'],
      ['connection', 'close'],
    ] as const
    const answer = await client.send({
      method: 'POST',
      path,
      headers,
      body: Buffer.from('{}'),
      delivery: 'whole',
    })
    expect(answer === 'closed' ? answer : answer.headers.get('connection')).toBe('close')
  },
)
