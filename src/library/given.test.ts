import { expect, it } from 'vitest'

import { isSyncAvailable } from './config.ts'
import { createSyncManager } from './create.ts'
import { Listeners } from './events.ts'
import { requireFit } from './given.ts'
import { silentLogger } from '../kernel/logger.ts'

it.each([
  { tables: 'notes' },
  { tables: null },
  { tables: [1] },
  { exclude: 'notes' },
  { entityTypes: {} },
  { endpoint: new URL('https://cloud.example') },
  { token: 42 },
  { space: '' },
  { waitMs: Number.NaN },
  { waitMs: 0 },
  { resolver: 'localWins' },
  { resolvers: { notes: 'localWins' } },
  { signal: {} },
  { limit: -1 },
  { space: 'a b' },
  { resolvers: [] },
  { control: new AbortController().signal },
])('refuses %o by the name, never with the value', (given) => {
  const [name] = Object.keys(given)
  expect(() => requireFit(given)).toThrow(
    expect.objectContaining({ code: 'bad_usage', message: expect.stringMatching(`^${name} takes `) }),
  )
})

it('takes what fits, and what is undefined', () => {
  requireFit({ tables: [], exclude: undefined, resolver: () => 'local', resolvers: { notes: undefined } })
  requireFit({ endpoint: '', merge: false, waitMs: 0.5, signal: new AbortController().signal, limit: 0 })
})

it('refuses a configuration that is none before it looks at the database', async () => {
  for (const config of [null, 42, 'x'])
    await expect(createSyncManager(null as never, config as never)).rejects.toMatchObject({
      code: 'bad_usage',
    })
})

it('refuses a setting that does not exist, by its name', async () => {
  const misspelt = { autoSyncIntervall: 5, databse: 'x' }
  await expect(createSyncManager(null as never, misspelt as never)).rejects.toThrow(
    'There is no setting autoSyncIntervall, databse here',
  )
})

it('refuses an event that does not exist, and a listener that cannot be called', () => {
  const listeners = new Listeners(silentLogger)
  expect(() => listeners.add('sync_complete' as never, () => {})).toThrow('sync_completed')
  expect(() => listeners.add('toString' as never, () => {})).toThrow('no such event')
  expect(() => listeners.add('sync_completed', 'x' as never)).toThrow('listener takes a function')
})

it('is not available with settings that cannot be used, and says so without throwing', () => {
  expect(isSyncAvailable({}, { TIDEMARK_ENDPOINT: 'nonsense' })).toBe(false)
  expect(isSyncAvailable({}, { TIDEMARK_ENDPOINT: 'https://x', TIDEMARK_SYNC_ENABLED: 'perhaps' })).toBe(
    false,
  )
  expect(isSyncAvailable({ endpoint: 42 as never }, {})).toBe(false)
  expect(isSyncAvailable({ endpoint: 'nonsense' }, {})).toBe(false)
})
