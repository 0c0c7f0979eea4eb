import { hostname, platform } from 'node:os'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { startEmbeddedCloud, type EmbeddedCloud } from '../../test/cloud/embedded.ts'
import type { Provider } from '../engine/provider.ts'
import type { Machine } from '../machine/machine.ts'
import { failureOf } from '../testing/failures.ts'
import { createCloudSyncProvider, getLocalDevice, type CloudSyncOptions } from './provider.ts'

const never = new AbortController().signal

let cloud: EmbeddedCloud
let token: string
let machine: Machine
beforeEach(async () => {
  cloud = await startEmbeddedCloud()
  token = (await cloud.makeToken()).token
  machine = cloud.makeMachine()
})
afterEach(() => cloud[Symbol.asyncDispose]())

const connect = (options: Partial<CloudSyncOptions> = {}) =>
  createCloudSyncProvider({ ...machine, endpoint: cloud.url, token, space: 'main', ...options })
const sendSchema = (engine: Provider) => engine.putSchema({ space: 'main', replica: 'r', tables: [] }, never)
const hydrate = async (engine: Provider): Promise<void> => {
  for await (const _ of engine.hydrate({ space: 'main', replica: 'r' }, never));
}

describe('devices', () => {
  test('this one is known before any contact', () => {
    expect(getLocalDevice(machine)).toEqual({
      deviceId: expect.any(String) as unknown,
      deviceName: hostname(),
      platform: platform(),
    })
  })

  test('are registered under a name that stays', async () => {
    const { face } = connect()
    const { deviceId } = getLocalDevice(machine)
    const before = Date.now()
    const device = await face.registerDevice('My Laptop')
    expect(device).toEqual({
      deviceId,
      deviceName: 'My Laptop',
      platform: platform(),
      registeredAt: expect.any(Date) as unknown,
      lastSeenAt: expect.any(Date) as unknown,
      isActive: true,
      isThisDevice: true,
    })
    expect(device.registeredAt.getTime()).toBeGreaterThanOrEqual(before)
    expect(face.isConnected).toBe(true)
    expect(getLocalDevice(machine).deviceName).toBe('My Laptop')
    expect(await face.registerDevice()).toMatchObject({ deviceId, deviceName: 'My Laptop' })
    expect(await face.getRegisteredDevices()).toHaveLength(1)
    expect(await cloud.directory.listTokens('ours')).toHaveLength(2)
  })

  test('of the account are listed, this one told from the others', async () => {
    const phone = cloud.makeMachine()
    await connect(phone).face.registerDevice('Phone')
    const { face } = connect()
    await face.registerDevice('Laptop')
    const devices = await face.getRegisteredDevices()
    expect(devices.map(({ deviceName, isThisDevice }) => [deviceName, isThisDevice])).toEqual([
      ['Phone', false],
      ['Laptop', true],
    ])
    await face.deregisterDevice(getLocalDevice(phone).deviceId)
    expect(face.isConnected).toBe(true)
    expect((await face.getRegisteredDevices()).map(({ isActive }) => isActive)).toEqual([false, true])
    expect((await failureOf(face.deregisterDevice('nobody'))).code).toBe('not_found')
    expect(face.isConnected).toBe(true)
  })

  test('are refused to a token without that scope; sync goes on', async () => {
    const { token: bare } = await cloud.makeToken({ scopes: ['read', 'write'] })
    const { engine, face } = connect({ token: bare })
    await sendSchema(engine)
    for (const work of [
      () => face.getRegisteredDevices(),
      () => face.registerDevice('a'),
      () => face.deregisterDevice('a'),
    ]) {
      const failure = await failureOf(work())
      expect(failure).toMatchObject({ code: 'forbidden', details: { scope: 'devices' } })
      expect(failure.message).toMatch(/^Authentication failed: /)
      expect(face.isConnected).toBe(true)
    }
  })

  test('cannot be asked for while the cloud is away', async () => {
    const { face } = connect()
    await face.registerDevice('Laptop')
    for (const work of [() => face.getRegisteredDevices(), () => face.registerDevice('Other')]) {
      expect(await face.validateConnection()).toBe(true)
      await cloud.stop()
      const failure = await failureOf(work())
      expect(failure.code).toBe('network')
      expect(failure.message).toMatch(/^Not connected: /)
      expect([face.isConnected, face.lastFailure?.code]).toEqual([false, 'network'])
      await cloud.start()
    }
    expect(getLocalDevice(machine).deviceName).toBe('Laptop')
  })
})

describe('I12: a device that was deregistered', () => {
  const expectShut = async ({ face, engine }: ReturnType<typeof connect>) => {
    for (const work of [() => sendSchema(engine), () => hydrate(engine), () => face.getRegisteredDevices()]) {
      expect((await failureOf(work())).code).toBe('device_deregistered')
    }
    expect(await face.validateConnection()).toBe(false)
    expect([face.isConnected, face.lastFailure?.code, face.lastFailure?.message]).toEqual([
      false,
      'device_deregistered',
      'Authentication failed: This device was deregistered',
    ])
  }
  const isActive = async () =>
    (await cloud.directory.seeDevice('ours', getLocalDevice(machine).deviceId)) === 'active'

  test('by itself is shut out at once, and after a restart; registering lets it in again', async () => {
    const provider = connect()
    await sendSchema(provider.engine)
    await provider.face.deregisterDevice(getLocalDevice(machine).deviceId)
    expect([provider.face.isConnected, provider.face.lastFailure?.code]).toEqual([
      false,
      'device_deregistered',
    ])
    await expectShut(provider)
    await expectShut(connect())
    expect(await isActive()).toBe(false)
    expect(await provider.face.registerDevice()).toMatchObject({ isActive: true, isThisDevice: true })
    expect(provider.face.isConnected).toBe(true)
    await sendSchema(provider.engine)
    expect(await connect().face.validateConnection()).toBe(true)
  })

  test('by another one is shut out in the middle of its work', async () => {
    const provider = connect()
    await sendSchema(provider.engine)
    await connect(cloud.makeMachine()).face.deregisterDevice(getLocalDevice(machine).deviceId)
    await expectShut(provider)
    expect(await isActive()).toBe(false)
  })

  test('goes on where another process has registered it again', async () => {
    const provider = connect()
    await sendSchema(provider.engine)
    await provider.face.deregisterDevice(getLocalDevice(machine).deviceId)
    expect((await failureOf(sendSchema(provider.engine))).code).toBe('device_deregistered')
    await connect().face.registerDevice('again')
    await sendSchema(provider.engine)
    expect(provider.face.isConnected).toBe(true)
  })

  test('comes back before it has noticed', async () => {
    const provider = connect()
    await sendSchema(provider.engine)
    await connect(cloud.makeMachine()).face.deregisterDevice(getLocalDevice(machine).deviceId)
    await provider.face.registerDevice()
    await sendSchema(provider.engine)
    expect(provider.face.isConnected).toBe(true)
  })

  test('is not taken for shut out by an answer to its old token that comes late', async () => {
    const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const { engine, face } = connect({
      async fetch(input, init) {
        if (String(input).endsWith('/sync/pull')) {
          reached.resolve()
          await gate.promise
        }
        return fetch(input, init)
      },
    })
    await sendSchema(engine)
    const cursor = { epoch: 'e', generation: 'g', version: 0, high: 0 }
    const late = failureOf(engine.pull({ space: 'main', replica: 'r', cursor }, never))
    await reached.promise
    await face.deregisterDevice(getLocalDevice(machine).deviceId)
    await face.registerDevice()
    gate.resolve()
    expect((await late).code).toBe('token_revoked')
    expect([face.isConnected, face.lastFailure]).toEqual([true, null])
    await sendSchema(engine)
  })

  test('comes back with another token of the account', async () => {
    const provider = connect()
    await provider.face.registerDevice()
    await provider.face.deregisterDevice(getLocalDevice(machine).deviceId)
    const other = connect({ token: (await cloud.makeToken()).token })
    expect(await other.face.validateConnection()).toBe(true)
    expect(await isActive()).toBe(true)
  })

  test('whose own token alone was revoked hears that, and comes back the same way', async () => {
    const provider = connect()
    expect(await provider.face.validateConnection()).toBe(true)
    const own = (await cloud.directory.listTokens('ours')).find(({ device }) => device !== undefined)
    await cloud.directory.revokeToken(own?.id ?? '')
    expect(await provider.face.validateConnection()).toBe(false)
    expect(provider.face.lastFailure?.code).toBe('token_revoked')
    expect(await isActive()).toBe(true)
    await provider.face.registerDevice()
    await sendSchema(provider.engine)
  })
})
