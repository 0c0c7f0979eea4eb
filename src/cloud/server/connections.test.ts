import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { describe, expect, test } from 'vitest'

import { pushBody, put } from '../../../test/cloud/requests.ts'
import { createSelfSigned } from '../../../test/cloud/self-signed.ts'
import { serveTestCloud, type ServedCloud } from '../../../test/cloud/test-cloud.ts'
import type { PushAnswer } from '../../protocol/push.ts'
import { silentMetrics, type Metrics } from '../metrics.ts'

const portOf = (cloud: ServedCloud): number => Number(new URL(cloud.url).port)
const opened = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once('connect', resolve))
/** What the other side said before it closed. */
const ended = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    let said = ''
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => (said += text))
    socket.on('error', () => {})
    socket.on('close', () => resolve(said))
  })

describe('connections', () => {
  test('past the bound are closed at once and counted, and those that are open go on', async () => {
    let dropped = 0
    const metrics: Metrics = {
      ...silentMetrics,
      count: (name) => void (name === 'droppedConnections' && dropped++),
    }
    await using cloud = await serveTestCloud({ metrics, serverLimits: { connections: 2, stopMs: 100 } })
    const held = [connect(portOf(cloud), '127.0.0.1'), connect(portOf(cloud), '127.0.0.1')]
    for (const socket of held) socket.on('error', () => {})
    await Promise.all(held.map(opened))
    for (let at = 0; at < 3; at++) expect(await ended(connect(portOf(cloud), '127.0.0.1'))).toBe('')
    expect(dropped).toBe(3)
    expect(cloud.logged.filter((line) => line.includes('too many'))).toHaveLength(1)
    const [one] = held as [Socket]
    const answer = ended(one)
    one.write('GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    expect(await answer).toMatch(/^HTTP\/1.1 200 /)
    // A place is free again as soon as one has gone.
    await expect
      .poll(async () => {
        try {
          return (await cloud.ask('GET', '/healthz', { headers: { connection: 'close' } })).status
        } catch {
          return 0
        }
      })
      .toBe(200)
    for (const socket of held) socket.destroy()
  })

  test('on which nothing whole is asked are closed; a pull that waits is not', async () => {
    await using cloud = await serveTestCloud({ serverLimits: { headersMs: 300, stopMs: 100 } })
    const start = (await cloud.ask('POST', '/sync/push', { body: pushBody(1, [put(1)]) })).json as PushAnswer
    const cursor = { epoch: start.epoch, generation: start.generation.id, version: 1, high: 1 }
    const body = { space: 'main', replica: 'replica-b', cursor, wait: 2 }
    const waiting = cloud.ask('POST', '/sync/pull', { body })
    const silent = connect(portOf(cloud), '127.0.0.1')
    const slow = connect(portOf(cloud), '127.0.0.1', () =>
      slow.write('GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: '),
    )
    const drip = setInterval(() => slow.writable && slow.write('x'), 50)
    const said = await Promise.all([ended(silent), ended(slow)])
    clearInterval(drip)
    expect(said.at(1)).toMatch(/^HTTP\/1.1 503 [^]*"code":"unavailable"/)
    expect((await waiting).status).toBe(200)
  })

  test('over TLS likewise, a handshake that never ends included', async () => {
    const tls = createSelfSigned()
    await using cloud = await serveTestCloud({
      server: { tls },
      serverLimits: { headersMs: 300, stopMs: 100 },
    })
    const raw = connect(portOf(cloud), '127.0.0.1')
    const slow = connectTls(
      {
        port: portOf(cloud),
        host: '127.0.0.1',
        ca: tls.cert,
        ALPNProtocols: ['http/1.1'],
        checkServerIdentity: () => undefined,
      },
      () => slow.write('GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: '),
    )
    await Promise.all([ended(raw), ended(slow)])
  })
})
