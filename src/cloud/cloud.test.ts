import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { pushBody, put } from '../../test/cloud/requests.ts'
import { createSelfSigned } from '../../test/cloud/self-signed.ts'
import { ask, type Answer } from '../../test/cloud/test-cloud.ts'
import { systemClock } from '../kernel/clock.ts'
import type { PullAnswer } from '../protocol/pull.ts'
import type { PushAnswer } from '../protocol/push.ts'
import { SCOPES } from '../protocol/routes.ts'
import type { Directory } from './directory.ts'
import { openSqliteDirectory } from './directory/sqlite.ts'
import { startCloud, type Cloud, type CloudOptions } from './index.ts'
import { CLOUD_FILE } from './server/storage.ts'

let data: string
const running = new Set<Cloud>()

beforeEach(() => {
  data = join(mkdtempSync(join(tmpdir(), 'tidemark-cloud-')), 'deep', 'cloud')
})
afterEach(async () => {
  for (const cloud of running) await cloud.close()
  running.clear()
  rmSync(join(data, '..', '..'), { recursive: true })
})

async function start(options: Partial<CloudOptions> = {}): Promise<Cloud> {
  const cloud = await startCloud({ data, port: 0, ...options, limits: { loopDelayMs: 0, ...options.limits } })
  running.add(cloud)
  return cloud
}

const makeToken = async (directory: Directory) =>
  directory.createToken({ account: 'ours', name: 'test', scopes: SCOPES, spaces: null, defaultSpace: 'main' })

const post = (cloud: Cloud, token: string, path: string, body: unknown): Promise<Answer> =>
  ask(cloud.url, 'POST', path, { body, headers: { authorization: `Bearer ${token}` } })

describe('a cloud with its file', () => {
  test('keeps what was pushed over a restart, in a folder for its owner only', async () => {
    const first = await start()
    const { token } = await makeToken(first.directory)
    const pushed = (await post(first, token, '/sync/push', pushBody(1, [put(1)]))).json as PushAnswer
    await first.close()
    await first.close()
    expect(statSync(data).mode & 0o777).toBe(0o700)
    // A clean end leaves one file: nothing of the write-ahead log.
    expect(readdirSync(data).filter((name) => name.startsWith(CLOUD_FILE) && name.endsWith('-wal'))).toEqual(
      [],
    )

    const second = await start()
    const repeat = await post(second, token, '/sync/push', pushBody(1, [put(1)]))
    expect(repeat.json).toMatchObject({ results: pushed.results })
    const cursor = { epoch: pushed.epoch, generation: pushed.generation.id, version: 0, high: 0 }
    const pulled = await post(second, token, '/sync/pull', { space: 'main', replica: 'b', cursor })
    expect((pulled.json as PullAnswer).records.length).toBe(1)
    expect((await ask(second.url, 'GET', '/readyz')).status).toBe(200)
  })

  test('I13: a folder is served by one process; a port that is taken leaves the folder free', async () => {
    const cloud = await start()
    await expect(start()).rejects.toMatchObject({ code: 'in_use' })
    await cloud.close()

    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    await expect(start({ port: (taken.address() as AddressInfo).port })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    })
    await new Promise((resolve) => taken.close(resolve))
    await start()
  })

  test('I12: tokens made and revoked by another process count at once', async () => {
    const cloud = await start()
    await using elsewhere = await openSqliteDirectory({ file: join(data, CLOUD_FILE), clock: systemClock })
    const { token, info } = await makeToken(elsewhere)
    const list = () =>
      ask(cloud.url, 'GET', '/sync/devices', { headers: { authorization: `Bearer ${token}` } })
    expect((await list()).status).toBe(200)
    await elsewhere.revokeToken(info.id)
    expect((await list()).code).toBe('token_revoked')
  })

  test('I12: without tokens only on loopback, and refused before anything is made', async () => {
    await expect(start({ insecureLoopback: true, host: '0.0.0.0' })).rejects.toMatchObject({
      code: 'insecure_address',
    })
    expect(() => statSync(data)).toThrow()
    const cloud = await start({ insecureLoopback: true })
    const answer = await ask(cloud.url, 'POST', '/sync/batch', { body: { logs: [{ id: 'a' }] } })
    expect(answer.json).toMatchObject({ logs_synced: 1 })
    expect(await cloud.directory.listSpaces()).toMatchObject([{ account: 'local', name: 'default' }])
  })

  test('TLS files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-tls-'))
    const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    try {
      await expect(start({ tls: { keyFile, certFile } })).rejects.toMatchObject({
        code: 'file_not_found',
        details: { file: keyFile },
      })
      const { key, cert } = createSelfSigned()
      writeFileSync(keyFile, key)
      writeFileSync(certFile, 'no certificate')
      await expect(start({ tls: { keyFile, certFile } })).rejects.toMatchObject({ code: 'config_invalid' })
      writeFileSync(certFile, cert)
      expect((await start({ tls: { keyFile, certFile } })).url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('IPv6', async () => {
    const cloud = await start({ host: '::1' }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT') return null
      throw error
    })
    if (cloud === null) return
    expect(cloud.url).toMatch(/^http:\/\/\[::1\]:\d+$/)
    expect((await ask(cloud.url, 'GET', '/healthz')).status).toBe(200)
  })

  test('I3, I5: three writers at once, each answered and repeated, one of them waiting for the others', async () => {
    const cloud = await start()
    const { token } = await makeToken(cloud.directory)
    const first = (
      await post(cloud, token, '/sync/push', pushBody(1, [put('first')], { replica: 'starter' }))
    ).json as PushAnswer
    const cursor = { epoch: first.epoch, generation: first.generation.id, version: 1, high: 1 }

    const seen = new Map<string, number>()
    const read = async (): Promise<void> => {
      let version = 1
      while (seen.size < 3 * 40) {
        const body = {
          space: 'main',
          replica: 'reader',
          cursor: { ...cursor, version, high: version },
          wait: 20,
        }
        const answer = (await post(cloud, token, '/sync/pull', body)).json as PullAnswer
        for (const record of answer.records) {
          // I4: in commit order, none skipped and none twice.
          expect(record.version).toBe(++version)
          seen.set(record.key, record.version)
        }
        version = answer.next
      }
    }
    const write = async (replica: string): Promise<void> => {
      for (let mutation = 1; mutation <= 20; mutation++) {
        const body = pushBody(mutation, [put(`${replica}-${mutation}-a`), put(`${replica}-${mutation}-b`)], {
          replica,
        })
        const [one, two] = await Promise.all([
          post(cloud, token, '/sync/push', body),
          post(cloud, token, '/sync/push', body),
        ])
        expect([one.status, two.status]).toEqual([200, 200])
        expect((one.json as PushAnswer).results).toEqual((two.json as PushAnswer).results)
      }
    }
    await Promise.all([read(), ...['x', 'y', 'z'].map(write)])
    expect(new Set(seen.values()).size).toBe(120)
  })
})
