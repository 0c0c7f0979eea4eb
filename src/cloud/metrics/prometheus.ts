import { Counter, Gauge, Histogram, Registry } from 'prom-client'

import { COUNTERS, GAUGES, HISTOGRAMS, type MetricRow, type Metrics } from '../metrics.ts'
import { addProcessMetrics } from './process.ts'

export interface PrometheusMetrics extends Metrics, Disposable {
  readonly contentType: string
  /** Everything, in the text format of Prometheus. */
  text(): Promise<string>
}

/** Metrics in a registry of their own: two clouds in one process do not add up, and nothing of the host's is told. */
export function createPrometheusMetrics(): PrometheusMetrics {
  const registry = new Registry()
  const about = ({ name, help, labels }: MetricRow) => ({
    name,
    help,
    labelNames: Object.keys(labels),
    registers: [registry],
  })
  const counters = mapRows(COUNTERS, (row) => new Counter(about(row)))
  const histograms = mapRows(HISTOGRAMS, (row) => new Histogram({ ...about(row), buckets: [...row.buckets] }))
  const levels = mapRows(GAUGES, (row) => createLevel(about(row)))
  const endProcess = addProcessMetrics(registry)

  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    count: (name, labels, by = 1) => counters[name].inc(labels as Words, by),
    observe: (name, labels, value) => histograms[name].observe(labels as Words, value),
    time(name, labels) {
      const [seconds, nanoseconds] = process.hrtime()
      return (less = 0) => {
        const [s, ns] = process.hrtime([seconds, nanoseconds])
        histograms[name].observe(labels as Words, Math.max(0, s + ns / 1e9 - less))
      }
    },
    watch: (name, labels, read) => levels[name].push({ labels: labels as Words, read }),
    [Symbol.dispose]() {
      endProcess()
      registry.clear()
    },
  }
}

/** The labels of any one row: the port holds them to its lists. */
type Words = { readonly [label: string]: string }
type Watched = { readonly labels: Words; readonly read: () => number }[]

/** A gauge that is filled in when somebody looks. */
function createLevel(about: ConstructorParameters<typeof Gauge>[0]): Watched {
  const watched: Watched = []
  const gauge: Gauge = new Gauge({
    ...about,
    collect() {
      gauge.reset()
      for (const { labels, read } of watched) gauge.inc(labels, read())
    },
  })
  return watched
}

function mapRows<Rows extends object, Made>(
  rows: Rows,
  make: (row: Rows[keyof Rows]) => Made,
): { readonly [N in keyof Rows]: Made } {
  const made: Partial<{ [N in keyof Rows]: Made }> = {}
  for (const name of Object.keys(rows) as (keyof Rows)[]) made[name] = make(rows[name])
  return made as { [N in keyof Rows]: Made }
}
