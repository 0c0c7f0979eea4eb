import { MAX_BODY_BYTES } from '../../protocol/limits.ts'
import type { OperationId } from '../../protocol/daemon-api.ts'

/** What the API allows whoever is on this machine. */
export interface ApiLimits {
  /** Open connections; one that comes past it is closed at once. Each stream and each waiter has its own. */
  readonly connections: number
  /** A connection on which no request with all its headers has arrived is closed after it. */
  readonly headersMs: number
  /** A whole request must have arrived after it, the body included. */
  readonly requestMs: number
  /** Silence after which a connection is closed; a waiter is silent for a minute. */
  readonly idleMs: number
  readonly bodyIdleMs: number
  readonly bodyTotalMs: number
  /** Bytes of all bodies at the same time; past it `unavailable`, to be tried again. */
  readonly bodiesBytes: number
  /** A stream is silent for no longer than this: a comment goes out. */
  readonly keepAliveMs: number
  /** A stream whose reader takes nothing for so long is ended. */
  readonly stallMs: number
  /** What fails before it is answered with its status, what fails later with an event. */
  readonly firstEventMs: number
  /** What a stop waits for requests under way. */
  readonly stopMs: number
}

export const API_LIMITS: ApiLimits = {
  connections: 2_048,
  headersMs: 10_000,
  requestMs: 90_000,
  idleMs: 120_000,
  bodyIdleMs: 15_000,
  bodyTotalMs: 60_000,
  bodiesBytes: 4 * MAX_BODY_BYTES,
  keepAliveMs: 15_000,
  stallMs: 30_000,
  firstEventMs: 100,
  stopMs: 5_000,
}

const KIB = 1_024
/** Bytes of a body, where what belongs into it is far from `MAX_BODY_BYTES`. */
const BODY_BYTES: { readonly [Id in OperationId]?: number } = {
  decideApproval: 8_192 * KIB,
  createRule: 64 * KIB,
  syncNow: 32 * KIB,
}
export const maxBodyBytes = (id: OperationId): number => BODY_BYTES[id] ?? MAX_BODY_BYTES

/** How long an EventSource waits before it comes again, in milliseconds. */
export const RETRY_MS = 1_000
