import { expect, test } from 'vitest'

import { TidemarkError } from '../../../kernel/errors.ts'
import { ALONE, orAlone } from './rounds.ts'

const state = (sqlstate: string): TidemarkError =>
  new TidemarkError('unavailable', undefined, { details: { sqlstate } })
/** What may be the failure of one of those that were asked for together. */
const OF_ONE: readonly TidemarkError[] = [
  new TidemarkError('internal'),
  new TidemarkError('payload_too_large'),
  new TidemarkError('disk_full'),
  state('57014'),
  state('55P03'),
  state('40P01'),
]
/** And of the database, or the way to it: asked again by each, they would all wait for it once more. */
const OF_ALL: readonly TidemarkError[] = [
  new TidemarkError('unavailable'),
  new TidemarkError('unavailable', undefined, { details: { overdue: true } }),
  state('57P01'),
]
const fail = (error: TidemarkError) => async (): Promise<readonly string[]> => {
  throw error
}

test('I9: what fails for several is asked for alone, unless it is the failure of all', async () => {
  for (const error of OF_ONE) expect(await orAlone([1, 2], fail(error))).toEqual([ALONE, ALONE])
  for (const error of OF_ALL) await expect(orAlone([1, 2], fail(error))).rejects.toBe(error)
})

test('what fails for one is told as it is', async () => {
  for (const error of [...OF_ONE, ...OF_ALL]) await expect(orAlone([1], fail(error))).rejects.toBe(error)
})
