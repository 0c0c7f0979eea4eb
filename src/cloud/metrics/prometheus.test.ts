import { expect, test } from 'vitest'

import { COUNTERS, GAUGES, HISTOGRAMS, silentMetrics } from '../metrics.ts'
import { createPrometheusMetrics } from './prometheus.ts'

const NAME = /^[a-z][a-z0-9_]*$/

test('what is reported is told in the text format, and each cloud tells its own', async () => {
  using ours = createPrometheusMetrics()
  using others = createPrometheusMetrics()
  ours.count('requests', { route: 'push', method: 'POST', status: '2xx' })
  ours.count('requests', { route: 'push', method: 'POST', status: '2xx' }, 2)
  ours.count('commits', {})
  ours.observe('requestSeconds', { route: 'pull' }, 0.02)
  ours.observe('requestSeconds', { route: 'pull' }, 0.2)
  const text = await ours.text()
  expect(ours.contentType).toMatch(/^text\/plain; version=0\.0\.4/)
  expect(text).toContain('tidemark_requests_total{route="push",method="POST",status="2xx"} 3\n')
  expect(text).toContain('tidemark_commits_total 1\n')
  expect(text).toContain('tidemark_request_seconds_bucket{le="0.025",route="pull"} 1\n')
  expect(text).toContain('tidemark_request_seconds_bucket{le="+Inf",route="pull"} 2\n')
  expect(text).toContain('tidemark_request_seconds_sum{route="pull"} 0.22\n')
  expect(await others.text()).not.toMatch(/^tidemark_requests_total\{/m)
})

test('a level is read at each look, and several of one name are added up', async () => {
  using metrics = createPrometheusMetrics()
  let idle = 1
  metrics.watch('databaseConnections', { state: 'idle' }, () => idle)
  metrics.watch('databaseConnections', { state: 'idle' }, () => 10)
  metrics.watch('databaseConnections', { state: 'total' }, () => 20)
  expect(await metrics.text()).toContain('tidemark_database_connections{state="idle"} 11\n')
  idle = 0
  const text = await metrics.text()
  expect(text).toContain('tidemark_database_connections{state="idle"} 10\n')
  expect(text).toContain('tidemark_database_connections{state="total"} 20\n')
})

test('the process is told under the names that dashboards know', async () => {
  using metrics = createPrometheusMetrics()
  await metrics.text()
  const text = await metrics.text()
  const values = new Map(
    text
      .split('\n')
      .filter((line) => !line.startsWith('#') && line !== '')
      .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
  expect(values.get('process_resident_memory_bytes')).toBeGreaterThan(1_000_000)
  expect(values.get('process_cpu_seconds_total')).toBeGreaterThan(0)
  expect(values.get('process_start_time_seconds')).toBeGreaterThan(1_700_000_000)
  expect(values.get('nodejs_heap_size_used_bytes')).toBeGreaterThan(1_000_000)
  for (const at of ['p50', 'p99', 'max'])
    expect(values.get(`nodejs_eventloop_lag_seconds{at="${at}"}`)).toBeGreaterThanOrEqual(0)
  // Never "not a number", which a look before anything was measured would give.
  expect([...values.values()].every(Number.isFinite)).toBe(true)
})

test('I12: every label has a short list of words, so that no name of a user can be one', () => {
  const rows = [...Object.values(COUNTERS), ...Object.values(HISTOGRAMS), ...Object.values(GAUGES)]
  expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length)
  for (const { name, help, labels } of rows) {
    expect([name, NAME.test(name), help.length > 10]).toEqual([name, true, true])
    const series = Object.values(labels).reduce((product, words) => product * words.length, 1)
    expect([name, series <= 600]).toEqual([name, true])
  }
  for (const { name } of Object.values(COUNTERS)) expect(name).toMatch(/_total$/)
})

test('where nobody looks, a report costs nothing and says nothing', () => {
  silentMetrics.count('commits', {})
  silentMetrics.observe('commitJobs', {}, 1)
  silentMetrics.watch('connections', {}, () => {
    throw new Error('read')
  })
})
