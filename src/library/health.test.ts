import { afterEach, beforeEach, expect, test } from 'vitest'

import { startEmbeddedCloud, type EmbeddedCloud } from '../../test/cloud/embedded.ts'
import type { Machine } from '../machine/machine.ts'
import { failureOf } from '../testing/failures.ts'
import { jsonAnswer, startFaultyServer } from '../testing/faulty-server.ts'
import { checkHealth } from './health.ts'
import { createCloudSyncProvider, getLocalDevice } from './provider.ts'

const HEALTHY = { status: 'healthy', message: 'Sync system operational' }
const DISCONNECTED = { status: 'disconnected', message: 'Provider not connected' }
const INVALID = { status: 'invalid', message: 'Connection validation failed' }

let cloud: EmbeddedCloud
let machine: Machine
beforeEach(async () => {
  cloud = await startEmbeddedCloud()
  machine = cloud.makeMachine()
})
afterEach(() => cloud[Symbol.asyncDispose]())

const connect = (token: string, endpoint = cloud.url) =>
  createCloudSyncProvider({ ...machine, endpoint, token, space: 'main' }).face

test('without a provider there is none', async () => {
  expect(await checkHealth(null)).toEqual({ status: 'no-provider', message: 'No sync provider configured' })
})

test('a provider that was never asked is asked; so is one that failed before', async () => {
  const { token } = await cloud.makeToken()
  const face = connect(token)
  expect(face.isConnected).toBe(false)
  expect(await checkHealth(face)).toEqual(HEALTHY)
  await cloud.stop()
  expect(face.isConnected).toBe(true)
  expect(await checkHealth(face)).toEqual(DISCONNECTED)
  expect(await checkHealth(face)).toEqual(DISCONNECTED)
  await cloud.start()
  expect(await checkHealth(face)).toEqual(HEALTHY)
})

test('who is refused is not disconnected', async () => {
  const { token, id } = await cloud.makeToken({ scopes: ['read', 'write'] })
  expect(await checkHealth(connect('nobody'))).toEqual(INVALID)
  const face = connect(token)
  expect(await checkHealth(face)).toEqual(HEALTHY)
  await cloud.directory.revokeToken(id)
  expect(await checkHealth(face)).toEqual(INVALID)
  const registered = connect((await cloud.makeToken()).token)
  await registered.registerDevice()
  await registered.deregisterDevice(getLocalDevice(machine).deviceId)
  expect(await checkHealth(registered)).toEqual(INVALID)
  await registered.registerDevice()
  expect(await checkHealth(registered)).toEqual(HEALTHY)
})

test.each([
  ['internal', 500, INVALID],
  ['rate_limited', 429, INVALID],
  ['needs_upgrade', 426, INVALID],
  ['unavailable', 503, DISCONNECTED],
] as const)('%s', async (code, status, report) => {
  const error = { code, message: 'no', details: {}, retry: true }
  await using server = await startFaultyServer(jsonAnswer({ error }, status))
  expect(await checkHealth(connect('t', server.url))).toEqual(report)
})

test('what is no cloud is no connection', async () => {
  await using server = await startFaultyServer(jsonAnswer({ welcome: true }))
  expect(await checkHealth(connect('t', server.url))).toEqual(DISCONNECTED)
})

test('a signal ends the wait', async () => {
  await using server = await startFaultyServer(() => {})
  const stopping = new AbortController()
  const asked = failureOf(checkHealth(connect('t', server.url), { signal: stopping.signal }))
  stopping.abort()
  expect((await asked).code).toBe('aborted')
})
