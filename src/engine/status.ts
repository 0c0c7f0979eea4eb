import { ERRORS, type ErrorCode } from '../kernel/errors.ts'
import type { Verdict } from './identity.ts'
import type { Phase } from './machine.ts'
import type { StoreCounts } from './store.ts'

/** What a person wants to know: one word, and why. */
export interface EngineStatus {
  readonly phase: Phase
  /** `synced` and `pending` are idle; `syncing` is at work. */
  readonly state: 'stopped' | 'paused' | 'synced' | 'pending' | 'syncing' | 'offline' | 'blocked'
  /** A sentence for every state but `synced`. */
  readonly reason: string
  readonly code: ErrorCode | null
  /** When it tries again, in milliseconds since 1970; null while at work or stopped. */
  readonly nextAt: number | null
  /** When a cycle was last whole. */
  readonly lastSyncAt: number | null
  readonly failures: number
  /** The last time it had to join the cloud anew, since it was started; null: it never had. */
  readonly lastReset: Reset | null
  readonly replica: string
  readonly space: string
  /** The version read up to; null before the first hydrate. */
  readonly version: number | null
  readonly counts: StoreCounts
}

/** Why a replica joined the cloud anew. */
export type ResetReason = Exclude<Verdict, 'same'> | 'forked' | 'lost_history' | 'rejoin' | 'overwrite'

export interface Reset {
  readonly why: ResetReason
  /** Milliseconds since 1970. */
  readonly at: number
}

const RESETS: { readonly [why in ResetReason]: string } = {
  restored: 'The file had been restored to an older state',
  copied: 'The file is a copy of another one that is under sync here',
  unknown: 'The file came from another machine, or this one had forgotten it',
  forked: 'Another copy of the file had sent changes under the same identity',
  lost_history: 'The cloud had been restored to an older state; what it had lost was offered to it again',
  rejoin: 'On request',
  overwrite: 'On request, with rows that win over those of the cloud',
}

/** A sentence about a reset. */
export const describeReset = ({ why }: Reset): string =>
  `${RESETS[why]}: it joined the cloud anew under another identity.`

const REASONS: { readonly [phase in Exclude<Phase, 'waiting' | 'blocked' | 'idle'>]: string } = {
  stopped: 'Not started.',
  paused: 'Paused on request; local changes are kept.',
  hydrating: 'Reading the space for the first time.',
  pulling: 'Asking the cloud for changes.',
  publishing: 'Applying changes of others.',
  building: 'Collecting local changes.',
  sending: 'Sending local changes.',
  acking: 'Noting what the cloud took.',
  resetting: 'Joining the cloud anew after a restore.',
}

/** The word and the sentence of a phase. */
export function describePhase(
  phase: Phase,
  reason: ErrorCode | null,
  counts: StoreCounts,
): Pick<EngineStatus, 'state' | 'reason'> {
  if (phase === 'waiting' || phase === 'blocked') {
    const row = ERRORS[reason ?? 'internal']
    return { state: phase === 'waiting' ? 'offline' : 'blocked', reason: `${row.title}. ${row.hint}` }
  }
  if (phase === 'idle') {
    const pending = Object.values(counts.pending).reduce((sum, count) => sum + count, 0)
    if (pending === 0) return { state: 'synced', reason: '' }
    return { state: 'pending', reason: `${pending} local changes wait for the next push.` }
  }
  const state = phase === 'stopped' || phase === 'paused' ? phase : 'syncing'
  return { state, reason: REASONS[phase] }
}
