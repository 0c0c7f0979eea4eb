import { TidemarkError, toTidemarkError } from '../kernel/errors.ts'
import { silentLogger } from '../kernel/logger.ts'
import { createBatchSize } from './batch-size.ts'
import { hydrate, joinUnread } from './hydrate.ts'
import {
  INITIAL,
  POLL_MS,
  transition,
  WORKING,
  type Effect,
  type MachineEvent,
  type MachineState,
} from './machine.ts'
import { Opening } from './opening.ts'
import type { EngineOptions } from './options.ts'
import { listenForNews, publishStaged, pullPage } from './pull.ts'
import { acknowledgeMutation, buildMutation, freeMutation, sendMutation } from './push.ts'
import { reset } from './reset.ts'
import { newestWins, resolveUntil, type ResolverSet } from './resolvers.ts'
import { clearStaging, createStaging } from './staging.ts'
import { PATIENT_FIRST_MS, type Patience } from './patience.ts'
import { describePhase, type EngineStatus, type Reset } from './status.ts'
import { gotOn, Waiters, type SyncResult } from './waiters.ts'
import { ATOMIC_ROWS, type Work, type WorkEvent } from './work.ts'

/** Own rows past which the long poll is asked anew, or its answer would bring them all back. */
const MAX_SENT_UNHEARD = 200

/** Effects beside which the long poll goes on: none of them moves what it listens from. */
const SENDING: ReadonlySet<Effect['type']> = new Set(['build', 'send', 'acknowledge', 'listen'])

export type EngineEvent =
  | WorkEvent
  | {
      readonly type: 'phase'
      readonly from: MachineState
      readonly event: MachineEvent
      readonly to: MachineState
    }
  | { readonly type: 'synced'; readonly at: number }
  | { readonly type: 'error'; readonly error: TidemarkError }

/**
 * Keeps one store and one cloud in step: the shell around the pure machine. It performs one effect at a time,
 * owns the one timer and the long poll, and survives being dropped at any await: everything that matters is in
 * the store.
 */
export class SyncEngine implements AsyncDisposable {
  readonly #options: EngineOptions
  readonly #work: Work
  readonly #listeners = new Set<(event: EngineEvent) => void>()
  readonly #waiters: Waiters
  readonly #opening: Opening
  #state: MachineState = INITIAL
  /** Counts up when the effect at work is cancelled: the end of an older one is no event any more. */
  #turn = 0
  #abort = new AbortController()
  #listening: AbortController | null = null
  #cancelTimer: (() => void) | null = null
  #unwatch: (() => void) | null = null
  #nextAt: number | null = null
  /** Something lasting was done since the last failure. */
  #gotOn = false
  #lastSyncAt: number | null = null
  #lastReset: Reset | null = null
  #cycles = 0
  /** The effect at work, for an orderly end. */
  #atWork: Promise<void> = Promise.resolve()

  constructor(options: EngineOptions) {
    this.#options = options
    this.#waiters = new Waiters(options.clock)
    this.#work = {
      store: options.store,
      provider: options.provider,
      guard: options.guard,
      clock: options.clock,
      random: options.random,
      tables: options.tables === undefined ? null : [...new Set(options.tables)].sort(),
      sendsOnly: options.way === 'up',
      joinsOthers: options.otherSpace !== 'refuse',
      resolvers: (replica) => this.#resolversOf(replica),
      logger: options.logger ?? silentLogger,
      report: (event) => this.#emit(event),
      staging: createStaging(),
      prefetched: null,
      chunk: null,
      ahead: null,
      changes: null,
      answer: null,
      batch: createBatchSize(options.batchRows, options.batchFirst),
      rowLimit: ATOMIC_ROWS,
      sent: 0,
      more: false,
      moves: 0,
      forcedRounds: 0,
      lastError: null,
    }
    this.#opening = new Opening(this.#work, options.afterRestore)
  }

  /** Checks the identity and begins. Rejects when the store cannot be read; a cloud out of reach is no error. */
  async start(): Promise<void> {
    if (this.#state.phase !== 'stopped') return
    const opened = await this.#opening.read()
    this.#opening.confirm(opened)
    this.#begin(opened.inFlight)
  }

  /**
   * Starts a stopped engine and resolves with the end of its first whole cycle; else as `syncNow`, which is what an
   * engine that runs already does. Where the store cannot be read, or `signal` comes first, nothing was started.
   */
  async runOnce(
    options: { readonly signal?: AbortSignal; readonly patience?: Patience } = {},
  ): Promise<SyncResult> {
    if (this.#state.phase !== 'stopped') return this.syncNow(options)
    const opened = await this.#opening.read(options.signal)
    this.#opening.confirm(opened, options.signal)
    // Another call has started it meanwhile: its cycle may have begun before what this caller wrote.
    if (this.phase !== 'stopped') return this.syncNow(options)
    // Before the cycle begins: it may be at its end, or have failed, before anybody could ask for its end.
    const whole = this.#waiters.add(this.#cycles + 1, options)
    this.#begin(opened.inFlight)
    return whole
  }

  /** For the effect that begins now: when it is cancelled, nobody waits for a person who is to decide. */
  #resolversOf(replica: string): ResolverSet {
    const { resolver = newestWins(replica), resolvers = {} } = this.#options
    const { signal } = this.#abort
    const tables = Object.entries(resolvers).map(([table, one]) => [table, resolveUntil(one, signal)])
    return { default: resolveUntil(resolver, signal), tables: Object.fromEntries(tables) }
  }

  #begin(inFlight: boolean): void {
    this.#unwatch ??= this.#work.store.watch(() => this.#dispatch({ type: 'written' }))
    this.#dispatch({ type: 'start', inFlight })
  }

  /**
   * One whole cycle that begins now, local changes and cloud's both: resolves when nothing is left to do,
   * rejects with the reason when it fails, or when the cycle fails that is under way now. The engine itself goes
   * on trying either way; with `patience` the caller waits for that, for as long as it says.
   */
  syncNow(
    options: { readonly signal?: AbortSignal; readonly patience?: Patience } = {},
  ): Promise<SyncResult> {
    if (this.#state.phase === 'stopped' || this.#state.phase === 'paused') {
      return Promise.reject(new TidemarkError('sync_disabled', 'the engine is stopped or paused'))
    }
    const whole = this.#waiters.add(this.#cycles + 1, options)
    this.#dispatch({ type: 'wake', urgent: true })
    return whole
  }

  /** Something changed, here or in the cloud; `urgent` cuts a back-off short (the network is back). */
  wake(urgent = false): void {
    this.#dispatch({ type: 'wake', urgent })
  }

  pause(): void {
    this.#dispatch({ type: 'pause' })
    this.#waiters.rejectAll(new TidemarkError('aborted', 'sync was paused'))
  }

  async resume(): Promise<void> {
    if (this.#state.phase !== 'paused') return
    await this.#atWork
    const { inFlight } = await this.#work.store.state()
    this.#dispatch({ type: 'resume', inFlight: inFlight !== null })
  }

  get phase(): MachineState['phase'] {
    return this.#state.phase
  }

  /** True when something will happen by itself: an effect at work, a timer, or nothing wanted (I8). */
  get isAlive(): boolean {
    return (
      this.#state.phase === 'stopped' ||
      this.#state.phase === 'paused' ||
      WORKING.has(this.#state.phase) ||
      this.#cancelTimer !== null
    )
  }

  async status(): Promise<EngineStatus> {
    const [state, counts] = await Promise.all([this.#work.store.state(), this.#work.store.counts()])
    return {
      phase: this.#state.phase,
      ...describePhase(this.#state.phase, this.#state.reason, counts),
      code: this.#state.reason,
      nextAt: this.#nextAt,
      lastSyncAt: this.#lastSyncAt,
      failures: this.#state.failures,
      lastReset: this.#lastReset,
      replica: state.replica,
      space: state.space,
      version: state.cursor?.version ?? null,
      counts,
    }
  }

  /** Listens to everything that happens; the returned function ends it. */
  on(listener: (event: EngineEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Ends: cancels what waits, lets a transaction at work finish. The store stays open. */
  stop(): Promise<void> {
    return this.#stop({ close: false })
  }

  async #stop(end: { readonly close: boolean }): Promise<void> {
    this.#opening.end(end)
    this.#unwatch?.()
    this.#unwatch = null
    this.#dispatch({ type: 'stop' })
    this.#waiters.rejectAll(new TidemarkError('aborted', 'the engine was stopped'))
    await this.#opening.rest()
    await this.#atWork
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop({ close: true })
  }

  #dispatch(event: MachineEvent): void {
    const from = this.#state
    const { pollMs, listen, random, tables, way } = this.#options
    const step = transition(from, event, {
      random,
      pollMs: pollMs ?? POLL_MS,
      // A long poll is about everything there is.
      listen: (listen ?? true) && tables === undefined && way === undefined,
      way,
      ...(this.#waiters.patient ? { firstPauseMs: PATIENT_FIRST_MS } : {}),
    })
    this.#state = step.state
    if (step.begins === true) this.#cycles++
    if (step.effects.length > 0) this.#clearTimer()
    for (const effect of step.effects) this.#perform(effect)
    this.#emit({ type: 'phase', from, event, to: step.state })
    this.#settleWaiters(event)
  }

  #perform(effect: Effect): void {
    if (!SENDING.has(effect.type)) this.#stopListening()
    switch (effect.type) {
      case 'cancel':
        this.#turn++
        this.#abort.abort(new TidemarkError('aborted'))
        this.#abort = new AbortController()
        // A cancelled publish may still be at work: it keeps its records, or it would move the cursor past them (I4).
        this.#work.staging = createStaging()
        this.#work.changes = null
        this.#work.ahead = null
        this.#work.answer = null
        return
      case 'timer':
        return this.#setTimer(effect.ms)
      case 'listen':
        return this.#listen()
      default:
        this.#run(effect)
    }
  }

  #run(effect: Exclude<Effect, { readonly type: 'cancel' | 'timer' | 'listen' }>): void {
    const turn = this.#turn
    const { signal } = this.#abort
    const before = this.#atWork
    const work = async (): Promise<void> => {
      // A cancelled effect may still be inside a transaction: the next one waits for its end.
      await before
      if (turn !== this.#turn) return
      let event: MachineEvent
      try {
        event = await this.#effect(effect, signal)
      } catch (thrown) {
        // What was taken from under a cancelled effect is no failure of the engine's.
        if (turn !== this.#turn) return
        event = this.#failure(thrown)
      }
      if (turn === this.#turn) this.#dispatch(event)
    }
    this.#atWork = work()
  }

  #effect(
    effect: Exclude<Effect, { readonly type: 'cancel' | 'timer' | 'listen' }>,
    signal: AbortSignal,
  ): Promise<MachineEvent> {
    const work = this.#work
    // Whatever else is done may change rows without a mark: only what was read after it may be sent.
    if (!SENDING.has(effect.type)) work.ahead = null
    switch (effect.type) {
      case 'pull':
        if (effect.first) clearStaging(work.staging)
        return pullPage(work, signal)
      case 'hydrate':
        return hydrate(work, effect.sweep, signal)
      case 'join':
        return joinUnread(work, signal)
      case 'publish':
        return publishStaged(work)
      case 'build':
        return buildMutation(work, { force: effect.force, alone: effect.alone === true }, signal)
      case 'send':
        return sendMutation(work, signal)
      case 'acknowledge':
        return acknowledgeMutation(work)
      case 'free':
        return freeMutation(work, effect.code)
      case 'reset':
        return reset(work, effect.why)
    }
  }

  #failure(thrown: unknown): MachineEvent {
    const error = toTidemarkError(thrown)
    this.#work.lastError = error
    this.#emit({ type: 'error', error })
    const got = this.#gotOn
    this.#gotOn = false
    return { type: 'failed', code: error.code, retryAfterMs: error.retryAfterMs, gotOn: got }
  }

  #listen(): void {
    if (this.#listening !== null && this.#work.sent <= MAX_SENT_UNHEARD) return
    this.#stopListening()
    const listening = new AbortController()
    this.#listening = listening
    const wait = async (): Promise<void> => {
      try {
        await listenForNews(this.#work, listening.signal)
      } catch {
        // The cycle that follows meets the same error and deals with it.
      }
      if (this.#listening !== listening) return
      this.#listening = null
      this.#dispatch({ type: 'wake', urgent: false })
    }
    void wait()
  }

  #stopListening(): void {
    const listening = this.#listening
    this.#listening = null
    listening?.abort(new TidemarkError('aborted'))
  }

  #setTimer(ms: number): void {
    this.#clearTimer()
    this.#nextAt = this.#options.clock.now() + ms
    this.#cancelTimer = this.#options.clock.after(ms, () => {
      this.#clearTimer()
      this.#dispatch({ type: 'timer' })
    })
  }

  #clearTimer(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#nextAt = null
  }

  #emit(event: EngineEvent): void {
    if (event.type === 'identity') this.#lastReset = { why: event.why, at: this.#options.clock.now() }
    if (gotOn(event)) this.#gotOn = true
    this.#waiters.count(event)
    for (const listener of this.#listeners) {
      try {
        listener(event)
      } catch (thrown) {
        this.#work.logger.warn('a listener threw', {
          name: thrown instanceof Error ? thrown.name : 'unknown',
        })
      }
    }
  }

  #settleWaiters(event: MachineEvent): void {
    const { phase, reason } = this.#state
    if (phase === 'idle' && event.type !== 'wake' && event.type !== 'timer') {
      this.#lastSyncAt = this.#options.clock.now()
      this.#emit({ type: 'synced', at: this.#lastSyncAt })
    }
    if (phase === 'idle') this.#waiters.resolve(this.#cycles)
    else if (phase === 'waiting' || phase === 'blocked') {
      // Those who wait for the next cycle too: it begins after the back-off, and a person would wait for nothing.
      const error = this.#work.lastError ?? new TidemarkError(reason ?? 'internal')
      if (phase === 'blocked' || this.#nextAt === null) this.#waiters.rejectAll(error)
      else if (event.type === 'failed') this.#waiters.fail(error, this.#nextAt)
    }
  }
}
