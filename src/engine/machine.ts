import { backOffMs } from '../kernel/back-off.ts'
import type { ErrorCode } from '../kernel/errors.ts'
import type { Random } from '../kernel/random.ts'

/**
 * The cycle as a pure machine: `(state, event) → state and effects`. The shell (`engine.ts`) performs effects
 * and turns their ends into events; one effect works at a time.
 *
 *             wake, timer                    page               published
 *   ┌──────┐ ───────────▶ ┌─────────┐ ───────────▶ ┌────────────┐ ─────▶ ┌──────────┐
 *   │ idle │              │ pulling │              │ publishing │        │ building │◀──┐
 *   └──────┘ ◀─────────── └─────────┘              └────────────┘        └──────────┘   │ conflicts,
 *       ▲      nothing dirty; written: straight to building     mutation saved │        │ more rows
 *       │                                                                      ▼        │
 *       │ a mutation in flight is always resolved first       ┌────────┐   ┌─────────┐  │
 *       └──────────────────────────────────────────────────── │ acking │◀──│ sending │  │
 *                                                             └────────┘   └─────────┘  │
 *                                                                  └────────────────────┘
 *   hydrating: the first read of the space, of tables new to the replica, or after an expired cursor
 *   resetting: the cloud lost history, or the identity forked; then pulling
 *   waiting:   back-off after a failure that may pass;   blocked: a reason and a probe timer (I8)
 */
export type Phase =
  | 'stopped'
  | 'paused'
  | 'idle'
  | 'hydrating'
  | 'pulling'
  | 'publishing'
  | 'building'
  | 'sending'
  | 'acking'
  | 'resetting'
  | 'waiting'
  | 'blocked'

export interface MachineState {
  readonly phase: Phase
  /** A mutation is in flight: its fate comes before everything else. */
  readonly inFlight: boolean
  /** A wake-up came while at work: another cycle follows. */
  readonly wanted: boolean
  /** Rounds of conflict answers in this cycle; from `FORCE_ROUNDS` on the cloud decides. */
  readonly rounds: number
  /** Failures in a row. */
  readonly failures: number
  /** Why it waits or is blocked. */
  readonly reason: ErrorCode | null
}

/** After this many rounds of conflicts the push is forced, so that the slowest replica makes progress. */
export const FORCE_ROUNDS = 5
/** The slow poll that stays although wake-ups are pushed: a wake-up is only a hint. Origin 000, line 110. */
export const POLL_MS = 30_000
/** How often a blocked replica tries whether the reason is gone. */
export const PROBE_MS = 60_000
export const PROBE_DISK_MS = 5_000

export type MachineEvent =
  | { readonly type: 'start'; readonly inFlight: boolean }
  | { readonly type: 'stop' }
  | { readonly type: 'pause' }
  | { readonly type: 'resume'; readonly inFlight: boolean }
  /** A hint from the cloud. `urgent`: a person asked, or the network came back. */
  | { readonly type: 'wake'; readonly urgent: boolean }
  /** A local write: where nothing is known to have come from the cloud, it is sent without asking first. */
  | { readonly type: 'written' }
  | { readonly type: 'timer' }
  /** The pull needs a hydrate first: never hydrated, or tables not covered. */
  | { readonly type: 'uncovered' }
  /** A push that did not ask the cloud first finds that it must: parked rows to try again, tables not covered. */
  | { readonly type: 'behind' }
  | { readonly type: 'page'; readonly more: boolean }
  | { readonly type: 'hydrated' }
  /** `more`: too much was staged for one step; the pull goes on from where this publish ended. */
  | { readonly type: 'published'; readonly more: boolean }
  /** Rows moved, or a mutation appeared: what was staged is merged again. */
  | { readonly type: 'moved' }
  | { readonly type: 'built'; readonly saved: boolean }
  | { readonly type: 'answered' }
  /** `again`: conflicts remain or more rows wait than one mutation took. */
  | { readonly type: 'acked'; readonly conflicts: number; readonly more: boolean }
  | { readonly type: 'reset' }
  /** A mutation was taken back after a definite refusal. */
  | { readonly type: 'freed' }
  | {
      readonly type: 'failed'
      readonly code: ErrorCode
      readonly retryAfterMs?: number | undefined
      /** Something lasting was done since the last failure. */
      readonly gotOn?: boolean
    }

export type Effect =
  /** `first`: from the cursor, with nothing staged; else the next page. */
  | { readonly type: 'pull'; readonly first: boolean }
  | { readonly type: 'hydrate'; readonly sweep: boolean }
  /** A replica that only sends takes its place in the history without reading the space. */
  | { readonly type: 'join' }
  | { readonly type: 'publish' }
  /** `alone`: no pull came before it. */
  | { readonly type: 'build'; readonly force: boolean; readonly alone?: true }
  | { readonly type: 'send' }
  | { readonly type: 'acknowledge' }
  /** Frees the mutation; a batch of several rows is halved, a single row goes to the quarantine. */
  | { readonly type: 'free'; readonly code: ErrorCode }
  | { readonly type: 'reset'; readonly why: 'forked' | 'lost_history' }
  /** The one timer; replaces an earlier one. */
  | { readonly type: 'timer'; readonly ms: number }
  /** Listens for wake-ups of the cloud, also while local changes are sent, until anything else is performed. */
  | { readonly type: 'listen' }
  /** Stops whatever is at work; its end is no event any more. */
  | { readonly type: 'cancel' }

export interface MachineContext {
  readonly random: Random
  readonly pollMs: number
  readonly listen: boolean
  /** One way only: `up` sends without pulling, `down` pulls without sending. Absent: both. */
  readonly way?: 'up' | 'down' | undefined
  /** The first pause of a back-off, in milliseconds; absent: the usual one. */
  readonly firstPauseMs?: number
}

export interface Step {
  readonly state: MachineState
  readonly effects: readonly Effect[]
  /** A cycle begins with this step. */
  readonly begins?: true
}

export const INITIAL: MachineState = {
  phase: 'stopped',
  inFlight: false,
  wanted: false,
  rounds: 0,
  failures: 0,
  reason: null,
}

/** Phases in which an effect is at work. */
export const WORKING: ReadonlySet<Phase> = new Set<Phase>([
  'hydrating',
  'pulling',
  'publishing',
  'building',
  'sending',
  'acking',
  'resetting',
])

export function transition(state: MachineState, event: MachineEvent, context: MachineContext): Step {
  switch (event.type) {
    case 'stop':
      return { state: { ...INITIAL }, effects: [{ type: 'cancel' }] }
    case 'pause':
      if (state.phase === 'stopped' || state.phase === 'paused') return stay(state)
      return {
        state: { ...state, phase: 'paused', wanted: false, reason: null },
        effects: [{ type: 'cancel' }],
      }
    case 'start':
      if (state.phase !== 'stopped') return stay(state)
      return begin({ ...INITIAL, inFlight: event.inFlight }, context)
    case 'resume':
      if (state.phase !== 'paused') return stay(state)
      return begin({ ...INITIAL, inFlight: event.inFlight }, context)
    case 'wake':
      return wake(state, event.urgent, context)
    case 'written':
      return written(state, context)
    case 'timer':
      return state.phase === 'idle' || state.phase === 'waiting' || state.phase === 'blocked'
        ? begin(state, context)
        : stay(state)
    case 'failed':
      return WORKING.has(state.phase) ? fail(state, event, context) : stay(state)
    default:
      return advance(state, event, context)
  }
}

const stay = (state: MachineState): Step => ({ state, effects: [] })

/**
 * A cycle starts: with the mutation in flight where there is one, else with a pull. After that mutation a cycle is
 * wanted still: it was of before, and tells neither what others changed since nor what was written here (I8).
 */
function begin(state: MachineState, { way }: MachineContext): Step {
  const fresh = { ...state, wanted: false, rounds: 0, reason: null }
  if (state.inFlight)
    return { state: { ...fresh, phase: 'sending', wanted: true }, effects: [{ type: 'send' }], begins: true }
  return { ...(way === 'up' ? build(fresh, 0) : pullAnew(fresh)), begins: true }
}

function wake(state: MachineState, urgent: boolean, context: MachineContext): Step {
  if (state.phase === 'idle') return begin(state, context)
  // Local writes don't cut a back-off short: the cloud would get no rest while an application writes.
  if (urgent && (state.phase === 'waiting' || state.phase === 'blocked')) return begin(state, context)
  return WORKING.has(state.phase) ? stay({ ...state, wanted: true }) : stay(state)
}

/** An idle replica listens: what the cloud has comes by itself, and a conflict is answered with the row it met. */
function written(state: MachineState, context: MachineContext): Step {
  if (state.phase !== 'idle' || state.inFlight || !context.listen) return wake(state, false, context)
  return {
    state: { ...state, phase: 'building', rounds: 0 },
    effects: [{ type: 'build', force: false, alone: true }],
  }
}

type WorkEvent = Exclude<
  MachineEvent,
  { readonly type: 'start' | 'stop' | 'pause' | 'resume' | 'wake' | 'written' | 'timer' | 'failed' }
>

/** The end of an effect, in the phase that performs it; anywhere else it is stale and changes nothing. */
function advance(state: MachineState, event: WorkEvent, context: MachineContext): Step {
  switch (`${state.phase}:${event.type}` as const) {
    case 'pulling:uncovered':
      return { state: { ...state, phase: 'hydrating' }, effects: [{ type: 'hydrate', sweep: false }] }
    case 'pulling:page':
      if (event.type === 'page' && event.more) return { state, effects: [{ type: 'pull', first: false }] }
      return { state: { ...state, phase: 'publishing' }, effects: [{ type: 'publish' }] }
    case 'building:uncovered':
      return { state: { ...state, phase: 'hydrating' }, effects: [{ type: 'join' }] }
    case 'hydrating:hydrated':
      return anew(state, context)
    case 'resetting:reset':
      return anew({ ...state, inFlight: false }, context)
    case 'publishing:moved':
      return { state, effects: [{ type: 'publish' }] }
    case 'publishing:published':
      if (event.type === 'published' && event.more) return pullAnew(state)
      return context.way === 'down' ? rest(state, context) : build(state, state.rounds)
    case 'sending:freed':
      return goOn({ ...state, inFlight: false }, state.rounds, context)
    case 'building:built':
      if (event.type === 'built' && event.saved) {
        return { state: { ...state, phase: 'sending', inFlight: true }, effects: [{ type: 'send' }] }
      }
      return rest(state, context)
    case 'building:behind':
      return begin(state, context)
    case 'sending:answered':
      return { state: { ...state, phase: 'acking' }, effects: [{ type: 'acknowledge' }] }
    case 'acking:moved':
      return { state, effects: [{ type: 'acknowledge' }] }
    case 'acking:acked':
      return event.type === 'acked' ? acked(state, event, context) : stay(state)
    default:
      return stay(state)
  }
}

function pullAnew(state: MachineState): Step {
  return { state: { ...state, phase: 'pulling' }, effects: [{ type: 'pull', first: true }] }
}

const anew = (state: MachineState, { way }: MachineContext): Step =>
  way === 'up' ? build(state, state.rounds) : pullAnew(state)

function build(state: MachineState, rounds: number): Step {
  const force = rounds >= FORCE_ROUNDS
  return { state: { ...state, phase: 'building', rounds }, effects: [{ type: 'build', force }] }
}

function acked(
  state: MachineState,
  event: { readonly conflicts: number; readonly more: boolean },
  context: MachineContext,
): Step {
  const after = { ...state, inFlight: false, failures: 0 }
  if (event.conflicts > 0) return goOn(after, state.rounds + 1, context)
  // A new cycle first: others' changes are not starved by a replica that always has more to send.
  if (state.wanted) return begin(after, context)
  return event.more || context.way === 'down' ? goOn(after, 0, context) : rest(after, context)
}

/** After a mutation the next one; a replica that only reads had one of before, and reads now. */
const goOn = (state: MachineState, rounds: number, { way }: MachineContext): Step =>
  way === 'down' ? pullAnew(state) : build(state, rounds)

/** Nothing to send: the cycle is whole. */
function rest(state: MachineState, context: MachineContext): Step {
  const clean = { ...state, failures: 0, rounds: 0, reason: null }
  if (state.wanted) return begin(clean, context)
  const timer: Effect = { type: 'timer', ms: context.pollMs }
  return {
    state: { ...clean, phase: 'idle' },
    effects: context.listen ? [timer, { type: 'listen' }] : [timer],
  }
}

/** Refusals that say the mutation itself is at fault: it was not applied and never will be as it is. */
const DEFINITE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'payload_too_large',
  'unprocessable',
  'bad_request',
])

/** Reasons that only a person, or room on a disk, can take away. */
const BLOCKING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'unauthorized',
  'token_revoked',
  'forbidden',
  'device_deregistered',
  'space_not_found',
  'not_found',
  'needs_upgrade',
  'disk_full',
  'not_connected',
  'sync_disabled',
  'not_a_database',
  'file_not_found',
  'no_access',
  'not_attached',
  'needs_merge',
])

function fail(
  state: MachineState,
  event: Extract<MachineEvent, { readonly type: 'failed' }>,
  context: MachineContext,
): Step {
  const { code } = event
  if (code === 'lost_history' && state.phase !== 'resetting') return reset(state, 'lost_history')
  if (code === 'replica_forked' && state.phase !== 'resetting') return reset(state, 'forked')
  if (code === 'cursor_expired') {
    return { state: { ...state, phase: 'hydrating' }, effects: [{ type: 'hydrate', sweep: true }] }
  }
  if (state.phase === 'sending' && DEFINITE.has(code)) return { state, effects: [{ type: 'free', code }] }
  // A long read that is cut again and again but gets on each time is no cloud that needs rest.
  const before = state.phase === 'hydrating' && event.gotOn === true ? 0 : state.failures
  const failures = before + 1
  if (BLOCKING.has(code)) {
    const ms = code === 'disk_full' ? PROBE_DISK_MS : PROBE_MS
    return { state: { ...state, phase: 'blocked', failures, reason: code }, effects: [{ type: 'timer', ms }] }
  }
  const retryAfterMs = event.retryAfterMs ?? 0
  const { firstPauseMs } = context
  const first = firstPauseMs === undefined ? {} : { firstMs: firstPauseMs }
  const ms = backOffMs(failures, context.random, { retryAfterMs, ...first })
  return { state: { ...state, phase: 'waiting', failures, reason: code }, effects: [{ type: 'timer', ms }] }
}

function reset(state: MachineState, why: 'forked' | 'lost_history'): Step {
  // A mutation in flight stays so until the reset is done: a reset that fails begins again with its refusal.
  return { state: { ...state, phase: 'resetting' }, effects: [{ type: 'reset', why }] }
}
