import type { EngineEvent } from '../engine/engine.ts'
import type { SyncOperation } from './result.ts'

/** How far an operation is. */
export interface SyncProgress {
  readonly operation: SyncOperation
  readonly phase: 'connecting' | 'receiving' | 'sending' | 'done'
  /** 0 to 100, whole, never less than before; 100 only at the end. */
  readonly percentage: number
  /** A sentence for people. */
  readonly message: string
  /** Rows done, and known so far to be done: the cloud's are found on the way. */
  readonly processed: number
  readonly total: number
}

export type ProgressListener = (progress: SyncProgress) => void

/** Follows an engine's events; answers a progress where something moved. */
export interface ProgressMeter {
  readonly first: SyncProgress
  follow(event: EngineEvent): SyncProgress | null
  end(): SyncProgress
}

/** The share that is never passed before the end. */
const MOST_UNDER_WAY = 99

/** `pending`: local rows that wait to be sent, as far as this operation sends them. */
export function measureProgress(operation: SyncOperation, pending: number): ProgressMeter {
  let sent = 0
  let hydrated = 0
  let hydrating = 0
  let pulled = 0
  let applied = 0
  let percentage = 0
  let phase: SyncProgress['phase'] = 'connecting'

  const tell = (message: string): SyncProgress => {
    const toReceive = hydrating + pulled
    const received = Math.min(toReceive, hydrated + applied)
    const [processed, total] = [sent + received, Math.max(sent, pending) + toReceive]
    const share = total === 0 ? 0 : Math.floor((MOST_UNDER_WAY * processed) / total)
    percentage = Math.max(percentage, share)
    return { operation, phase, percentage, message, processed, total }
  }
  const tellReceived = () =>
    tell(
      `Received ${count(hydrated + applied)} of ${count(Math.max(hydrated + applied, hydrating + pulled))}`,
    )

  return {
    first: { operation, phase, percentage: 0, message: 'Connecting', processed: 0, total: pending },
    follow(event) {
      switch (event.type) {
        case 'pushed':
          phase = 'sending'
          sent += event.rows
          return tell(`Sent ${count(sent)} of ${count(Math.max(sent, pending))}`)
        case 'pulled':
          phase = 'receiving'
          pulled += event.records
          return tellReceived()
        case 'applied':
          if (hydrating > hydrated || pulled === 0) return null
          phase = 'receiving'
          applied = Math.min(pulled, applied + event.rows)
          return tellReceived()
        case 'progress':
          if (event.task !== 'hydrate') return null
          phase = 'receiving'
          hydrated = event.done
          hydrating = Math.max(event.done, event.total ?? 0)
          return tellReceived()
        default:
          return null
      }
    },
    end() {
      phase = 'done'
      const done = sent + hydrated + pulled
      return { operation, phase, percentage: 100, message: 'Up to date', processed: done, total: done }
    },
  }
}

const count = (rows: number): string => rows.toLocaleString('en-GB')
