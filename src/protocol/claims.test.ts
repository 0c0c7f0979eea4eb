import { expect, it } from 'vitest'

import { claimOf } from './claims.ts'
import { MAX_CLAIM_CHARS } from './limits.ts'

const hash = (text: string): string => `h${text.length}`

it('I2: a claim is one text for all values that the index takes for the same', () => {
  expect(claimOf([5], ['BINARY'], hash)).toBe('[5]')
  expect(claimOf([{ $real: '5' }], ['BINARY'], hash)).toBe('[5]')
  expect(claimOf(['A@x', 'b '], ['NOCASE', 'RTRIM'], hash)).toBe('["a@x","b"]')
  expect(claimOf(['5'], ['BINARY'], hash)).not.toBe(claimOf([5], ['BINARY'], hash))
})

it('a NULL claims nothing, a long value its hash', () => {
  expect(claimOf([1, null], ['BINARY', 'BINARY'], hash)).toBeNull()
  const long = claimOf(['x'.repeat(MAX_CLAIM_CHARS)], ['BINARY'], hash)
  expect(long).toBe(`sha256:h${MAX_CLAIM_CHARS + 4}`)
})
