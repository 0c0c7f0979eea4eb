import { expect, it } from 'vitest'

import { changeSettings, DEFAULT_SETTINGS, findCloud, isSyncAvailable, readSettings } from './config.ts'

it('has the defaults of the origin', () => {
  expect(readSettings({}, {})).toEqual({
    autoSyncEnabled: false,
    autoSyncInterval: 30,
    live: false,
    batchSize: 50,
    maxRetries: 3,
  })
})

it('takes what is given over the environment over the defaults', () => {
  const environment = {
    SYNC_AUTO_ENABLED: 'true',
    SYNC_INTERVAL_MINUTES: '5',
    SYNC_BATCH_SIZE: ' 200 ',
    SYNC_MAX_RETRIES: '',
  }
  expect(readSettings({}, environment)).toEqual({
    autoSyncEnabled: true,
    autoSyncInterval: 5,
    live: false,
    batchSize: 200,
    maxRetries: 3,
  })
  const given = readSettings(
    { autoSyncEnabled: false, batchSize: 10, maxRetries: undefined as never },
    environment,
  )
  expect(given).toEqual({
    autoSyncEnabled: false,
    autoSyncInterval: 5,
    live: false,
    batchSize: 10,
    maxRetries: 3,
  })
})

it.each([
  ['SYNC_AUTO_ENABLED', 'maybe'],
  ['SYNC_INTERVAL_MINUTES', '0'],
  ['SYNC_INTERVAL_MINUTES', 'soon'],
  ['SYNC_INTERVAL_MINUTES', '99999999'],
  ['SYNC_BATCH_SIZE', '1.5'],
  ['SYNC_MAX_RETRIES', '-1'],
])('refuses %s=%s by the name of the variable', (name, value) => {
  expect(() => readSettings({}, { [name]: value })).toThrow(name)
})

it.each([
  { autoSyncInterval: Number.NaN },
  { autoSyncInterval: Number.POSITIVE_INFINITY },
  { batchSize: 0 },
  { batchSize: '50' as unknown as number },
  { maxRetries: 1.5 },
  { autoSyncEnabled: 'yes' as unknown as boolean },
])('refuses %o and changes nothing', (changes) => {
  expect(() => changeSettings(DEFAULT_SETTINGS, { maxRetries: 7, ...changes })).toThrow(
    Object.keys(changes)[0],
  )
})

it('is available with an endpoint, unless sync is turned off', () => {
  const endpoint = 'https://cloud.example'
  expect(isSyncAvailable({}, {})).toBe(false)
  expect(isSyncAvailable({ endpoint }, {})).toBe(true)
  expect(isSyncAvailable({}, { TIDEMARK_ENDPOINT: endpoint })).toBe(true)
  expect(isSyncAvailable({ endpoint }, { TIDEMARK_SYNC_ENABLED: 'false' })).toBe(false)
  expect(
    findCloud({ token: 'given' }, { TIDEMARK_ENDPOINT: `${endpoint}/`, TIDEMARK_TOKEN: 'theirs' }),
  ).toEqual({
    endpoint,
    token: 'given',
  })
  expect(findCloud({}, { TIDEMARK_ENDPOINT: endpoint })).toEqual({ endpoint, token: null })
})
