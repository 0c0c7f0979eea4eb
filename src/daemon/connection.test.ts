import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, it } from 'vitest'

import { systemClock } from '../kernel/clock.ts'
import { systemRandom } from '../kernel/random.ts'
import { homeFolders, type Folders } from '../machine/folders.ts'
import { deviceToken } from '../machine/device.ts'
import { readPrivateFile } from '../machine/private-file.ts'
import { openConfig } from './config.ts'
import { engineSettings, requireConnection } from './connection.ts'
import { removeProfile } from './profiles.ts'

let folders: Folders
beforeEach(() => {
  folders = homeFolders(mkdtempSync(join(tmpdir(), 'tidemark-connection-')))
})
afterEach(() => rmSync(folders.data, { recursive: true, force: true }))

const ENDPOINT = 'https://cloud.example'
const config = (env = {}) => openConfig(folders, env)

it('sends a stored token unless auth is none, and does not do without one where auth says token', () => {
  expect(() => requireConnection(config())).toThrow(
    expect.objectContaining({ code: 'not_connected' }) as Error,
  )
  config().set('endpoint', ENDPOINT)
  expect(requireConnection(config())).toEqual({ endpoint: ENDPOINT, token: null })
  for (const env of [{ TIDEMARK_AUTH: 'token' }, { TIDEMARK_AUTH: ' TOKEN ' }])
    expect(() => requireConnection(config(env))).toThrow(/TIDEMARK_AUTH is token, but no token is set/)
  config().set('token', 'hidden')
  expect(requireConnection(config())).toEqual({ endpoint: ENDPOINT, token: 'hidden' })
  expect(requireConnection(config({ TIDEMARK_AUTH: 'none' })).token).toBeNull()
  config().set('auth', 'none')
  expect(requireConnection(config()).token).toBeNull()
  expect(requireConnection(config({ TIDEMARK_TOKEN: 'other' })).token).toBeNull()
  expect(requireConnection(config({ TIDEMARK_AUTH: 'token' })).token).toBe('hidden')
  expect(() => requireConnection(config({ TIDEMARK_AUTH: 'mtls' }))).toThrow(/mtls is not there yet/)
  expect(() => requireConnection(config({ CLANKERS_SYNC_ENABLED: 'no' }))).toThrow(
    /CLANKERS_SYNC_ENABLED is false/,
  )
})

it('gives engines their poll in milliseconds and their cap where there is one', () => {
  expect(engineSettings(config())).toEqual({ pollMs: 30_000 })
  const env = { CLANKERS_SYNC_INTERVAL: '7', CLANKERS_SYNC_BATCH_SIZE: '9' }
  expect(engineSettings(config(env))).toEqual({ pollMs: 7_000, batchRows: 9 })
})

it('a removed profile takes the token with it that this device got by its own', async () => {
  const work = config().of('work')
  work.set('endpoint', ENDPOINT)
  work.set('token', 'given')
  const answer = {
    device: { id: 'd', name: 'n', platform: 'linux', created_at: 1, last_seen_at: 1 },
    token: 'own',
  }
  const fetch = async () => Response.json(answer)
  const machine = { folders, clock: systemClock, random: systemRandom, fetch }
  expect(await deviceToken(machine, requireConnection(work))).toMatchObject({ token: 'own' })
  const devices = (): string => readPrivateFile(join(folders.data, 'device.json')) ?? ''
  expect(devices()).toContain('"own"')
  removeProfile(machine, 'work')
  expect(devices()).not.toContain('"own"')
})
