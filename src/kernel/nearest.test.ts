import { expect, test } from 'vitest'

import { findNearest, suggest } from './nearest.ts'

const NAMES = ['endpoint', 'token', 'sync_interval', 'sync_enabled']

test.each([
  ['endpiont', 'endpoint'],
  ['Endpoint', 'endpoint'],
  ['endpoin', 'endpoint'],
  ['tokens', 'token'],
  ['sync_intervall', 'sync_interval'],
  ['snyc_enabled', 'sync_enabled'],
  ['interval', undefined],
  ['', undefined],
  ['x'.repeat(100_000), undefined],
])('%s', (typed, meant) => {
  expect(findNearest(typed, NAMES)).toBe(meant)
})

test('says so only where one is near', () => {
  expect(suggest('tokn', NAMES)).toBe(' Did you mean token?')
  expect(suggest('colour', NAMES)).toBe('')
  expect(suggest('colour', [])).toBe('')
})
