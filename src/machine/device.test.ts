import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, platform, tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { serveTestCloud, type ServedCloud } from '../../test/cloud/test-cloud.ts'
import { systemClock } from '../kernel/clock.ts'
import { systemRandom } from '../kernel/random.ts'
import { failureOf, waitUntil } from '../testing/failures.ts'
import { startFaultyServer } from '../testing/faulty-server.ts'
import { createManualClock } from '../testing/manual-clock.ts'
import { deviceToken, localDevice, registerDevice } from './device.ts'
import { findFolders } from './folders.ts'
import type { Machine } from './machine.ts'

let home: string
let machine: Machine
let cloud: ServedCloud

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'tidemark-device-'))
  const folders = findFolders({ TIDEMARK_DATA_DIR: home, TIDEMARK_CONFIG: join(home, 'config.json') })
  machine = { folders, clock: systemClock, random: systemRandom }
  cloud = await serveTestCloud()
})
afterEach(async () => {
  await cloud[Symbol.asyncDispose]()
  rmSync(home, { recursive: true, force: true })
})

const given = (token: string | null = cloud.token) => ({ endpoint: cloud.url, token })
const countTokens = async () => (await cloud.directory.listTokens('ours')).length
const listed = () => cloud.directory.listDevices('ours')

describe('this machine', () => {
  test('is made once, with the name of the host', () => {
    const device = localDevice(machine)
    expect(device).toEqual({ id: expect.any(String) as unknown, name: hostname(), platform: platform() })
    expect(localDevice(machine)).toEqual(device)
  })

  test('a file that cannot be read is said so, without what is in it', async () => {
    for (const text of ['{"tokens":{"a":"tm_S3CR3T"', 'null', '{"id":1}']) {
      writeFileSync(join(home, 'device.json'), text)
      const failure = await failureOf(deviceToken(machine, given()))
      expect(failure.code).toBe('config_invalid')
      expect(JSON.stringify(failure) + String(failure.cause)).not.toContain('S3CR3T')
      expect(readFileSync(join(home, 'device.json'), 'utf8')).toBe(text)
    }
  })
})

describe('the token of the device', () => {
  test('is got once and kept', async () => {
    const first = await deviceToken(machine, given())
    expect(first).toEqual({
      token: expect.not.stringMatching(cloud.token) as unknown,
      device: localDevice(machine).id,
      isOwn: true,
    })
    const tokens = await countTokens()
    expect(await deviceToken(machine, given())).toEqual(first)
    expect(await countTokens()).toBe(tokens)
  })

  test('is kept for each token that was given: programs with two of them do not take turns', async () => {
    const { token } = await cloud.makeToken()
    const [one, two] = [await deviceToken(machine, given()), await deviceToken(machine, given(token))]
    expect(one.token).not.toBe(two.token)
    const tokens = await countTokens()
    expect(await deviceToken(machine, given())).toEqual(one)
    expect(await deviceToken(machine, given(token))).toEqual(two)
    expect(await countTokens()).toBe(tokens)
  })

  test('is the given one where that may not register, and where the cloud is away', async () => {
    const { token } = await cloud.makeToken({ scopes: ['read', 'write'] })
    const device = localDevice(machine).id
    expect(await deviceToken(machine, given(token))).toEqual({ token, device, isOwn: false })
    expect(await deviceToken(machine, given(null))).toEqual({ token: null, device, isOwn: false })
    await cloud.close()
    expect(await deviceToken(machine, given())).toEqual({ token: cloud.token, device, isOwn: false })
  })

  test('is the given one when the cloud does not answer for five seconds', async () => {
    await using server = await startFaultyServer(() => {})
    const clock = createManualClock(1_000)
    const asked = deviceToken({ ...machine, clock }, { endpoint: server.url, token: 't' })
    await waitUntil(() => server.requests.length === 1)
    expect(clock.pending).toContain(5_000)
    clock.elapse(5_000)
    expect(await asked).toMatchObject({ token: 't', isOwn: false })
    expect(clock.pending).toEqual([])
  })

  test('is waited for no longer than anybody wants it', async () => {
    await using server = await startFaultyServer(() => {})
    const stopping = new AbortController()
    const asked = failureOf(deviceToken(machine, { endpoint: server.url, token: 't' }, stopping.signal))
    await waitUntil(() => server.requests.length === 1)
    stopping.abort()
    expect((await asked).code).toBe('aborted')
    await waitUntil(() => server.open === 0)
  })

  test('is not renewed by itself when the device was deregistered', async () => {
    const { token, device } = await deviceToken(machine, given())
    await cloud.directory.deregisterDevice('ours', device)
    expect((await deviceToken(machine, given())).token).toBe(token)
    expect(await listed()).toMatchObject([{ deregistered_at: expect.any(Number) as unknown }])
  })
})

describe('registering', () => {
  test('gives the device a name, here and in the cloud', async () => {
    expect(await registerDevice(machine, given(), 'Büro')).toMatchObject({ name: 'Büro' })
    expect(localDevice(machine).name).toBe('Büro')
    expect(await listed()).toMatchObject([{ id: localDevice(machine).id, name: 'Büro' }])
    expect(await registerDevice(machine, given())).toMatchObject({ name: 'Büro' })
  })

  test('again makes no other token', async () => {
    await registerDevice(machine, given(), 'one')
    const tokens = await countTokens()
    const { token } = await deviceToken(machine, given())
    await registerDevice(machine, given(), 'one')
    await registerDevice(machine, given(), 'two')
    expect(await countTokens()).toBe(tokens)
    expect((await deviceToken(machine, given())).token).toBe(token)
  })

  test('brings a deregistered device back, with a token that works', async () => {
    const before = await deviceToken(machine, given())
    await cloud.directory.deregisterDevice('ours', before.device)
    expect(await registerDevice(machine, given())).not.toHaveProperty('deregistered_at')
    const after = await deviceToken(machine, given())
    expect(after.token).not.toBe(before.token)
    expect(await cloud.directory.authenticate(after.token ?? '')).toMatchObject({ device: before.device })
  })

  test('goes on with the device’s own token when the given one was revoked', async () => {
    const { token, id } = await cloud.makeToken()
    await deviceToken(machine, given(token))
    await cloud.directory.revokeToken(id)
    expect(await registerDevice(machine, given(token), 'Küche')).toMatchObject({ name: 'Küche' })
  })

  test('changes nothing here when it fails', async () => {
    await deviceToken(machine, given())
    const before = readFileSync(join(home, 'device.json'), 'utf8')
    expect((await failureOf(registerDevice(machine, given(), ''))).code).toBe('bad_request')
    await cloud.close()
    expect((await failureOf(registerDevice(machine, given(), 'Büro'))).code).toBe('network')
    expect(readFileSync(join(home, 'device.json'), 'utf8')).toBe(before)
  })

  test('without a token makes one at the first time only', async () => {
    const account = 'local'
    const open = {
      tokenId: 'loopback',
      account,
      scopes: ['read', 'write', 'devices'] as const,
      spaces: null,
      defaultSpace: 'main',
      device: null,
    }
    await using served = await serveTestCloud({ open, server: { insecureLoopback: true } })
    const place = { endpoint: served.url, token: null }
    const { id } = await registerDevice(machine, place, 'one')
    const tokens = (await served.directory.listTokens(account)).length
    expect(await registerDevice(machine, place)).toMatchObject({ id, name: 'one' })
    expect(await registerDevice(machine, place, 'two')).toMatchObject({ id, name: 'two' })
    expect((await served.directory.listTokens(account)).length).toBe(tokens)
    await served.directory.deregisterDevice(account, id)
    expect(await registerDevice(machine, place)).toMatchObject({ id, name: 'two' })
    expect(await served.directory.seeDevice(account, id)).toBe('active')
  })
})
