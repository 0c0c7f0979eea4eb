import { ERRORS, type ErrorCode } from '../kernel/errors.ts'
import { ROUTES } from '../protocol/routes.ts'

/**
 * What the cloud tells about itself in numbers. Rooms report to `Metrics`; who reads them is a matter of the
 * implementation (`metrics/prometheus.ts`).
 *
 * I12: a label is one word of a list that stands here. No token, account, space, device, address or row value can
 * become one, and the number of series is known before the first request: a client can neither read of another one
 * nor fill the memory with names. That is why heads are told as a rate (`commits`, `changes`) and not by space.
 */
export interface Metrics {
  count<N extends CounterName>(name: N, labels: LabelsOf<(typeof COUNTERS)[N]>, by?: number): void
  /** One measurement, in the unit that the name says. */
  observe<N extends HistogramName>(name: N, labels: LabelsOf<(typeof HISTOGRAMS)[N]>, value: number): void
  /**
   * Starts a stopwatch; the returned function observes what it shows, in seconds, without the `less` seconds that are
   * named. Time is the implementation's: where nobody looks, nobody looks at a clock.
   */
  time<N extends HistogramName>(name: N, labels: LabelsOf<(typeof HISTOGRAMS)[N]>): (less?: number) => void
  /** Reads a level at each look. Several of one name and labels are added up. */
  watch<N extends GaugeName>(name: N, labels: LabelsOf<(typeof GAUGES)[N]>, read: () => number): void
}

interface Labels {
  readonly [label: string]: readonly string[]
}
export interface MetricRow {
  readonly name: string
  readonly help: string
  readonly labels: Labels
}
type LabelsOf<Row extends MetricRow> = { readonly [L in keyof Row['labels']]: Row['labels'][L][number] }

export type RouteLabel = keyof typeof ROUTES | 'none'
const route = [...(Object.keys(ROUTES) as (keyof typeof ROUTES)[]), 'none'] as readonly RouteLabel[]
export const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'other'] as const
/** `gone`: whoever asked did not wait for the answer, or the connection broke. */
const STATUSES = ['2xx', '3xx', '4xx', '5xx', 'gone'] as const
export type MethodLabel = (typeof METHODS)[number]
export type StatusLabel = (typeof STATUSES)[number]
const code = Object.keys(ERRORS) as readonly ErrorCode[]

// One line a row: they are read as tables.
// oxfmt-ignore
export const COUNTERS = {
  requests: { name: 'tidemark_requests_total', help: 'Requests that have ended', labels: { route, method: METHODS, status: STATUSES } },
  errors: { name: 'tidemark_errors_total', help: 'Errors answered, by code', labels: { code } },
  receivedBytes: { name: 'tidemark_received_bytes_total', help: 'Bytes of request bodies, decompressed', labels: { route } },
  sentBytes: { name: 'tidemark_sent_bytes_total', help: 'Bytes of answers, before compression', labels: { route } },
  commits: { name: 'tidemark_commits_total', help: 'Commits of this process that raised the head of a space', labels: {} },
  changes: { name: 'tidemark_changes_total', help: 'Changes of pushes, by what became of them', labels: { result: ['ok', 'conflict', 'taken', 'rejected'] } },
  lostRounds: { name: 'tidemark_lost_rounds_total', help: 'Commits begun anew, because another node was first', labels: {} },
  droppedConnections: { name: 'tidemark_dropped_connections_total', help: 'Connections closed at once, because there were too many', labels: {} },
  busMessages: { name: 'tidemark_bus_messages_total', help: 'Messages between the nodes of a cloud', labels: { direction: ['sent', 'received'] } },
  busReconnects: { name: 'tidemark_bus_reconnects_total', help: 'Times that the connection for messages between nodes was made anew', labels: {} },
  busSweeps: { name: 'tidemark_bus_sweeps_total', help: 'Looks at the heads of all spaces that somebody waits for', labels: {} },
} as const satisfies { readonly [name: string]: MetricRow }

/** Upper ends of the classes of a time, in seconds: from a request out of memory to a large upload. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const

// oxfmt-ignore
export const HISTOGRAMS = {
  requestSeconds: { name: 'tidemark_request_seconds', help: 'Time from a request to the end of its answer, without what a pull waited for a change', labels: { route }, buckets: SECONDS },
  waitSeconds: { name: 'tidemark_pull_wait_seconds', help: 'Time that pulls with `wait` waited for a change', labels: {}, buckets: [0.01, 0.1, 1, 5, 10, 20, 30, 40, 50, 60] },
  commitSeconds: { name: 'tidemark_commit_seconds', help: 'Time of a writing transaction, several pushes in one', labels: {}, buckets: SECONDS },
  commitJobs: { name: 'tidemark_commit_jobs', help: 'Pushes and other writes that shared a transaction', labels: {}, buckets: [1, 2, 4, 8, 16, 32, 64] },
} as const satisfies { readonly [name: string]: MetricRow & { readonly buckets: readonly number[] } }

// oxfmt-ignore
export const GAUGES = {
  requestsUnderWay: { name: 'tidemark_requests_under_way', help: 'Requests whose answer has not ended, waiting pulls included', labels: {} },
  waitingPolls: { name: 'tidemark_waiting_polls', help: 'Pulls that wait for a change', labels: {} },
  connections: { name: 'tidemark_connections', help: 'Open connections', labels: {} },
  bodyBytes: { name: 'tidemark_body_bytes', help: 'Bytes of request bodies in memory', labels: {} },
  waitingBodies: { name: 'tidemark_waiting_bodies', help: 'Large bodies that wait to be decompressed', labels: {} },
  commitQueue: { name: 'tidemark_commit_queue', help: 'Pushes and other writes that wait for a transaction', labels: {} },
  databaseConnections: { name: 'tidemark_database_connections', help: 'Connections of the pool, and requests that wait for one', labels: { state: ['total', 'idle', 'waiting'] } },
} as const satisfies { readonly [name: string]: MetricRow }

export type CounterName = keyof typeof COUNTERS
export type HistogramName = keyof typeof HISTOGRAMS
export type GaugeName = keyof typeof GAUGES

/** Where nobody looks. */
export const silentMetrics: Metrics = { count() {}, observe() {}, time: () => () => {}, watch() {} }
