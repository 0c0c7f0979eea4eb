import { expect, test } from 'vitest'

import { pushBody, put as row } from '../../../../test/cloud/requests.ts'
import { ask, makeTestToken } from '../../../../test/cloud/test-cloud.ts'
import { openTestDatabase } from '../../../../test/postgres/database.ts'
import { openLogNodes } from '../../../../test/postgres/log-nodes.ts'
import { Gate } from '../../../../test/postgres/watched-database.ts'
import { silentLogger } from '../../../kernel/logger.ts'
import { put, Reader } from '../../../testing/log-contract/harness.ts'
import { startCloud } from '../../index.ts'
import { createPrometheusMetrics } from '../../metrics/prometheus.ts'

test('a node tells its commits, what waits for them, and the rounds that another node won', async () => {
  await using nodes = await openLogNodes()
  using metrics = createPrometheusMetrics()
  const space = await nodes.space()
  const gate = new Gate('tidemark commit')
  const [mine, other] = [nodes.node({ watch: gate, metrics }), nodes.node()]
  const late = new Reader(mine, 'late', space).write(put('1', 0, {}))
  await gate.reached
  const queued = new Reader(mine, 'queued', space).write(put('2', 0, {}))
  const before = await metrics.text()
  await new Reader(other, 'early', space).write(put('1', 0, { a: 1 }))
  gate.open()
  // The first finds another row than it has read, and is told so.
  await Promise.allSettled([late, queued])
  expect(before).toContain('tidemark_commit_queue 1\n')
  const text = await metrics.text()
  expect(text).toContain('tidemark_commit_queue 0\n')
  expect(text).toContain('tidemark_lost_rounds_total 1\n')
  expect(text).toContain('tidemark_commit_jobs_count 2\n')
  expect(text).toContain('tidemark_commit_seconds_count 2\n')
})

test('a cloud in a database tells its pool, and nothing of where that is', async () => {
  await using database = await openTestDatabase()
  const cloud = await startCloud({
    database: database.url,
    port: 0,
    logger: silentLogger,
    limits: { loopDelayMs: 0 },
    metrics: { host: '127.0.0.1', port: 0 },
  })
  const { token } = await makeTestToken(cloud.directory)
  const headers = { authorization: `Bearer ${token}` }
  const pushed = await ask(cloud.url, 'POST', '/sync/push', { body: pushBody(1, [row(1)]), headers })
  const text = await (await fetch(cloud.metricsUrl ?? '')).text()
  await cloud.close()
  expect(pushed.status).toBe(200)
  expect(text).toMatch(/tidemark_database_connections\{state="total"\} [1-9]/)
  expect(text).toMatch(/tidemark_database_connections\{state="waiting"\} 0\n/)
  expect(text).toContain('tidemark_commit_jobs_count 1\n')
  expect(text).not.toContain(new URL(database.url).pathname.slice(1))
})
