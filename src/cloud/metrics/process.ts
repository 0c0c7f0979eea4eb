import { readdirSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

import { Counter, Gauge, type Registry } from 'prom-client'

/** How often the event loop's delay is looked at, in milliseconds. */
const LOOP_RESOLUTION_MS = 20
const NS = 1e9
const OPEN_FILES = '/proc/self/fd'

/**
 * The process under the names that dashboards know. (Not prom-client's own collection: it can never be stopped, and a
 * cloud may be started and stopped inside a program that lives on.) Answers what ends it.
 */
export function addProcessMetrics(registry: Registry): () => void {
  const delay = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS })
  delay.enable()
  const registers = [registry]
  const level = (name: string, help: string, read: () => number): Gauge => {
    const gauge: Gauge = new Gauge({ name, help, registers, collect: () => gauge.set(read()) })
    return gauge
  }

  level('process_resident_memory_bytes', 'Memory of the process', () => process.memoryUsage.rss())
  level('nodejs_heap_size_used_bytes', 'Used heap of the process', () => process.memoryUsage().heapUsed)
  level(
    'process_start_time_seconds',
    'When the process started, seconds since 1970',
    () => performance.timeOrigin / 1_000,
  )
  const files = countOpenFiles()
  if (files !== null) level('process_open_fds', 'Open files and sockets', () => countOpenFiles() ?? 0)
  const cpu: Counter = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'CPU time of the process, user and system',
    registers,
    collect() {
      const { user, system } = process.cpuUsage()
      cpu.reset()
      cpu.inc((user + system) / 1e6)
    },
  })

  const lag = new Gauge({
    name: 'nodejs_eventloop_lag_seconds',
    help: 'How late the event loop was since the last look',
    labelNames: ['at'],
    registers,
    collect() {
      const tell = (at: string, ns: number) =>
        lag.set({ at }, Math.max(0, ns / NS - LOOP_RESOLUTION_MS / 1_000))
      tell('p50', delay.percentile(50))
      tell('p99', delay.percentile(99))
      tell('max', delay.max)
      delay.reset()
    },
  })
  return () => delay.disable()
}

/** Null where the system does not tell. */
function countOpenFiles(): number | null {
  try {
    return readdirSync(OPEN_FILES).length
  } catch {
    return null
  }
}
