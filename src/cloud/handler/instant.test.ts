import { expect, test } from 'vitest'

import { readInstant } from './instant.ts'

const AT = Date.UTC(2026, 0, 29, 14, 30)

test.each([
  ['2026-01-29T14:30:00Z', AT],
  ['2026-01-29T15:30:00+01:00', AT],
  ['2026-01-29T14:30:00.250Z', AT + 250],
  ['2026-01-29 14:30:00', AT],
  ['2026-01-29 14:30', AT],
  ['2026-01-29T14:30:00', AT],
  ['2026-01-29', Date.UTC(2026, 0, 29)],
  [AT, AT],
  [AT / 1_000, AT],
  [0, 0],
])('the time %s is read as UTC', (value, ms) => {
  expect(readInstant(value)).toBe(ms)
})

test.each([
  '',
  'yesterday',
  '1960-01-01T00:00:00Z',
  '+275760-01-01T00:00:00Z',
  -1,
  Number.NaN,
  Infinity,
  null,
  true,
  {},
  5n,
])('what is no time since 1970 is none: %s', (value) => {
  expect(readInstant(value)).toBe(null)
})
