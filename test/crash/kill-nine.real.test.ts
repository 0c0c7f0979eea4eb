import { expect, it } from 'vitest'

import { killNine } from './kill-nine.ts'

/** A first taste; `npm run soak` kills 200 times. */
const KILLS = Number(process.env['TIDEMARK_KILLS'] ?? 15)

it('I1, I3: nothing is lost or doubled by SIGKILL of clients, of the cloud, and of both', async () => {
  const report = await killNine({ kills: KILLS, seed: 7 })
  expect(Object.values(report.kills).reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(KILLS)
  expect(report.writes).toBeGreaterThan(0)
  console.log(JSON.stringify(report))
})
