import { mkdtempSync, rmSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { pushBody, put } from '../../../test/cloud/requests.ts'
import { ask, makeTestToken } from '../../../test/cloud/test-cloud.ts'
import { silentLogger } from '../../kernel/logger.ts'
import { startCloud, type Cloud } from '../index.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-metrics-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const start = (metrics?: { readonly host: string; readonly port: number }): Promise<Cloud> =>
  startCloud({
    data: folder,
    port: 0,
    logger: silentLogger,
    limits: { loopDelayMs: 0 },
    ...(metrics === undefined ? {} : { metrics }),
  })

const read = async (url: string): Promise<Map<string, number>> => {
  const text = await (await fetch(url)).text()
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    samples.map((line) => [
      line.slice(0, line.lastIndexOf(' ')),
      Number(line.slice(line.lastIndexOf(' ') + 1)),
    ]),
  )
}

describe('the metrics of a cloud', () => {
  test('are served nowhere unless asked for', async () => {
    const cloud = await start()
    expect(cloud.metricsUrl).toBeNull()
    expect((await ask(cloud.url, 'GET', '/metrics')).status).toBe(404)
    await cloud.close()
  })

  test('tell what the cloud did, at an address of their own, and end with it', async () => {
    const cloud = await start({ host: '127.0.0.1', port: 0 })
    const url = cloud.metricsUrl ?? ''
    expect(new URL(url).port).not.toBe(new URL(cloud.url).port)
    expect((await ask(cloud.url, 'GET', '/metrics')).status).toBe(404)
    const { token, id } = await makeTestToken(cloud.directory, { account: 'secretaccount' })
    const headers = { authorization: `Bearer ${token}` }
    const body = pushBody(1, [put('secretkey', { a: 'secretvalue' }), put(2)], { space: 'secretspace' })
    await ask(cloud.url, 'POST', '/sync/push', { body, headers })
    await ask(cloud.url, 'POST', '/sync/devices', {
      body: { id: 'secretdevice', name: 'n', platform: 'p' },
      headers,
    })
    // An answer is out before its end is noted.
    await expect
      .poll(async () =>
        (await read(url)).get('tidemark_requests_total{route="push",method="POST",status="2xx"}'),
      )
      .toBe(1)
    const samples = await read(url)
    expect(samples.get('tidemark_changes_total{result="ok"}')).toBe(2)
    expect(samples.get('tidemark_commits_total')).toBe(1)
    expect(samples.get('tidemark_commit_jobs_count')).toBeGreaterThan(0)
    expect(samples.get('tidemark_commit_seconds_sum')).toBeGreaterThan(0)
    expect(samples.get('tidemark_request_seconds_count{route="push"}')).toBe(1)
    for (const level of ['waiting_polls', 'body_bytes', 'waiting_bodies', 'commit_queue'])
      expect([level, samples.get(`tidemark_${level}`)]).toEqual([level, 0])
    expect(samples.get('tidemark_connections')).toBeGreaterThan(0)
    const text = await (await fetch(url)).text()
    expect(text).not.toMatch(/secret|tm_|127\.0\.0\.1/)
    expect(text).not.toContain(id)
    await cloud.close()
    await expect(fetch(url)).rejects.toThrow()
  })

  test('are all that is there, and not for a web page that makes its name point here', async () => {
    const cloud = await start({ host: '127.0.0.1', port: 0 })
    const url = cloud.metricsUrl ?? ''
    expect((await fetch(url)).headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    expect((await fetch(url, { headers: { accept: 'application/openmetrics-text' } })).status).toBe(200)
    expect((await fetch(new URL('/sync/devices', url))).status).toBe(404)
    const posted = await fetch(url, { method: 'POST', body: 'x'.repeat(100_000) })
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET'])
    const rebound = await new Promise((resolve, reject) => {
      const request = httpRequest(url, { headers: { host: 'evil.example:80' } }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
      request.on('error', reject).end()
    })
    expect(rebound).toBe(403)
    await cloud.close()
  })

  test('a cloud that cannot serve them does not start, and leaves its folder free', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    const { port } = taken.address() as AddressInfo
    await expect(start({ host: '127.0.0.1', port })).rejects.toMatchObject({ code: 'EADDRINUSE' })
    await (await start()).close()
    taken.close()
  })
})
