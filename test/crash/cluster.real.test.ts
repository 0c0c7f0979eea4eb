import { expect, it } from 'vitest'

import { describeOwnPostgres } from '../postgres/own.ts'
import { killCluster } from './cluster.ts'

/** A first taste; `npm run soak -- postgres` kills 100 times. */
const KILLS = Number(process.env['TIDEMARK_KILLS'] ?? 15)

describeOwnPostgres('a cloud on PostgreSQL', () => {
  it('I1, I3: nothing is lost or doubled by SIGKILL of clients, of nodes, of PostgreSQL, and of all', async () => {
    const report = await killCluster({ kills: KILLS, seed: 3 })
    expect(Object.values(report.kills).reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(KILLS)
    expect(report.writes).toBeGreaterThan(0)
    console.log(JSON.stringify(report))
  })
})
