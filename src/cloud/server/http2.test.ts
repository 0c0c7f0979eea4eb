import { connect, type ClientHttp2Session } from 'node:http2'
import { request as httpsRequest } from 'node:https'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { pushBody, put } from '../../../test/cloud/requests.ts'
import { createSelfSigned } from '../../../test/cloud/self-signed.ts'
import { serveTestCloud, type ServedCloud } from '../../../test/cloud/test-cloud.ts'
import type { PushAnswer } from '../../protocol/push.ts'

const tls = createSelfSigned()

describe('with TLS files', () => {
  let cloud: ServedCloud
  let session: ClientHttp2Session
  beforeAll(async () => {
    cloud = await serveTestCloud({ server: { tls }, serverLimits: { stopMs: 2_000 } })
    session = connect(cloud.url, { ca: tls.cert })
  })
  afterAll(async () => {
    session.destroy()
    await cloud[Symbol.asyncDispose]()
  })

  const ask = (
    session: ClientHttp2Session,
    method: string,
    path: string,
    body?: string,
  ): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const stream = session.request({
        ':method': method,
        ':path': path,
        authorization: `Bearer ${cloud.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      })
      let status = 0
      let text = ''
      stream.setEncoding('utf8')
      stream.on('response', (headers) => (status = headers[':status'] ?? 0))
      stream.on('data', (chunk) => (text += chunk))
      stream.on('end', () => resolve({ status, text }))
      stream.on('error', reject)
      stream.end(body)
    })

  test('speaks HTTP/2: push, hydrate, errors', async () => {
    expect(session.alpnProtocol === undefined || session.alpnProtocol === 'h2').toBe(true)
    expect((await ask(session, 'POST', '/sync/push', JSON.stringify(pushBody(1, [put(1)])))).status).toBe(200)
    expect(session.alpnProtocol).toBe('h2')
    const hydrated = await ask(session, 'GET', '/sync/hydrate?space=main&replica=b')
    expect(hydrated.text.trimEnd().split('\n').length).toBe(3)
    expect(await ask(session, 'GET', '/nothing')).toMatchObject({
      status: 404,
      text: expect.stringContaining('not_found') as string,
    })
    expect(await ask(session, 'PUT', '/sync/push', '{}')).toMatchObject({ status: 405 })
    expect((await ask(session, 'POST', '/sync/push', '{')).status).toBe(400)
  })

  test('speaks HTTP/1.1 to who does not', async () => {
    const status = await new Promise<number>((resolve, reject) => {
      const request = httpsRequest(`${cloud.url}/healthz`, { ca: tls.cert }, (response) => {
        response.resume()
        resolve(response.statusCode ?? 0)
      })
      request.on('error', reject)
      request.end()
    })
    expect(status).toBe(200)
    expect(cloud.url).toMatch(/^https:/)
  })

  test('a stop answers pulls that wait, and ends', async () => {
    await using other = await serveTestCloud({ server: { tls }, serverLimits: { stopMs: 5_000 } })
    const client = connect(other.url, { ca: tls.cert })
    client.on('error', () => {})
    const send = (path: string, body: unknown): Promise<string> =>
      new Promise((resolve, reject) => {
        const stream = client.request({
          ':method': 'POST',
          ':path': path,
          authorization: `Bearer ${other.token}`,
          'content-type': 'application/json',
        })
        let text = ''
        stream.setEncoding('utf8')
        stream.on('data', (chunk) => (text += chunk))
        stream.on('end', () => resolve(text))
        stream.on('error', reject)
        stream.end(JSON.stringify(body))
      })
    const { epoch, generation, head } = JSON.parse(
      await send('/sync/push', pushBody(1, [put(1)])),
    ) as PushAnswer
    const cursor = { epoch, generation: generation.id, version: head, high: head }
    const waiting = send('/sync/pull', { space: 'main', replica: 'b', cursor, wait: 50 })
    await new Promise((resolve) => setTimeout(resolve, 100))
    await other.close()
    expect(JSON.parse(await waiting)).toMatchObject({ records: [] })
    client.destroy()
  })
})
