import { expect, test } from 'vitest'

import { killNine } from './kill-nine.ts'

/** Few kills on every run; `npm run soak` does two hundred and takes a seed. */
test('I1, I2, I3: client, cloud or both are killed at random: equal afterwards, nothing lost, nothing twice', async () => {
  const report = await killNine({ kills: 12, seed: 1 })
  const kills = Object.values(report.kills).reduce((sum, count) => sum + count, 0)
  expect(kills).toBeGreaterThanOrEqual(12)
  expect(report.writes).toBeGreaterThan(0)
})
