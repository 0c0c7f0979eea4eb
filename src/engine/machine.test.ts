import { describe, expect, it } from 'vitest'

import type { ErrorCode } from '../kernel/errors.ts'
import { seededRandom } from '../kernel/random.ts'
import {
  FORCE_ROUNDS,
  INITIAL,
  PROBE_DISK_MS,
  PROBE_MS,
  transition,
  WORKING,
  type MachineEvent,
  type MachineState,
  type Phase,
} from './machine.ts'

const context = { random: seededRandom(1), pollMs: 30_000, listen: true }

/** Every event there is, by a name for the table. */
const EVENTS = {
  start: { type: 'start', inFlight: false },
  startInFlight: { type: 'start', inFlight: true },
  stop: { type: 'stop' },
  pause: { type: 'pause' },
  resume: { type: 'resume', inFlight: false },
  wake: { type: 'wake', urgent: false },
  wakeUrgent: { type: 'wake', urgent: true },
  written: { type: 'written' },
  timer: { type: 'timer' },
  uncovered: { type: 'uncovered' },
  behind: { type: 'behind' },
  pageMore: { type: 'page', more: true },
  page: { type: 'page', more: false },
  hydrated: { type: 'hydrated' },
  published: { type: 'published', more: false },
  publishedMore: { type: 'published', more: true },
  moved: { type: 'moved' },
  builtNone: { type: 'built', saved: false },
  built: { type: 'built', saved: true },
  answered: { type: 'answered' },
  acked: { type: 'acked', conflicts: 0, more: false },
  ackedMore: { type: 'acked', conflicts: 0, more: true },
  ackedConflicts: { type: 'acked', conflicts: 2, more: false },
  reset: { type: 'reset' },
  freed: { type: 'freed' },
  network: { type: 'failed', code: 'network' },
  unauthorized: { type: 'failed', code: 'unauthorized' },
  diskFull: { type: 'failed', code: 'disk_full' },
  lostHistory: { type: 'failed', code: 'lost_history' },
  forked: { type: 'failed', code: 'replica_forked' },
  expired: { type: 'failed', code: 'cursor_expired' },
  tooLarge: { type: 'failed', code: 'payload_too_large' },
} as const satisfies { readonly [name: string]: MachineEvent }

type EventName = keyof typeof EVENTS

/**
 * The whole table: for every phase and every event, the next phase and the effects. `-` is: nothing happens.
 * The type makes it complete: a new phase or event does not compile without its cells.
 */
const work = {
  stop: 'stopped cancel',
  pause: 'paused cancel',
  wake: 'SAME',
  wakeUrgent: 'SAME',
  written: 'SAME',
} as const
const failing = {
  network: 'waiting timer',
  unauthorized: 'blocked timer',
  diskFull: 'blocked timer',
  lostHistory: 'resetting reset',
  forked: 'resetting reset',
  expired: 'hydrating hydrate',
  tooLarge: 'waiting timer',
} as const
const quiet = {
  start: '-',
  startInFlight: '-',
  stop: '-',
  pause: '-',
  resume: '-',
  wake: '-',
  wakeUrgent: '-',
  written: '-',
  timer: '-',
  uncovered: '-',
  behind: '-',
  pageMore: '-',
  page: '-',
  hydrated: '-',
  published: '-',
  publishedMore: '-',
  moved: '-',
  builtNone: '-',
  built: '-',
  answered: '-',
  acked: '-',
  ackedMore: '-',
  ackedConflicts: '-',
  reset: '-',
  freed: '-',
  network: '-',
  unauthorized: '-',
  diskFull: '-',
  lostHistory: '-',
  forked: '-',
  expired: '-',
  tooLarge: '-',
} as const satisfies { readonly [event in EventName]: string }

const TABLE: { readonly [phase in Phase]: { readonly [event in EventName]: string } } = {
  stopped: { ...quiet, start: 'pulling pull', startInFlight: 'sending send', stop: 'stopped cancel' },
  paused: { ...quiet, stop: 'stopped cancel', resume: 'pulling pull' },
  idle: {
    ...quiet,
    stop: 'stopped cancel',
    pause: 'paused cancel',
    wake: 'pulling pull',
    wakeUrgent: 'pulling pull',
    written: 'building build',
    timer: 'pulling pull',
  },
  waiting: {
    ...quiet,
    stop: 'stopped cancel',
    pause: 'paused cancel',
    wakeUrgent: 'pulling pull',
    timer: 'pulling pull',
  },
  blocked: {
    ...quiet,
    stop: 'stopped cancel',
    pause: 'paused cancel',
    wakeUrgent: 'pulling pull',
    timer: 'pulling pull',
  },
  pulling: {
    ...quiet,
    ...work,
    ...failing,
    uncovered: 'hydrating hydrate',
    pageMore: 'pulling pull',
    page: 'publishing publish',
  },
  hydrating: { ...quiet, ...work, ...failing, hydrated: 'pulling pull' },
  publishing: {
    ...quiet,
    ...work,
    ...failing,
    published: 'building build',
    publishedMore: 'pulling pull',
    moved: 'publishing publish',
  },
  building: {
    ...quiet,
    ...work,
    ...failing,
    behind: 'pulling pull',
    uncovered: 'hydrating join',
    built: 'sending send',
    builtNone: 'idle timer listen',
  },
  sending: {
    ...quiet,
    ...work,
    ...failing,
    answered: 'acking acknowledge',
    freed: 'building build',
    tooLarge: 'sending free',
  },
  acking: {
    ...quiet,
    ...work,
    ...failing,
    moved: 'acking acknowledge',
    acked: 'idle timer listen',
    ackedMore: 'building build',
    ackedConflicts: 'building build',
  },
  resetting: {
    ...quiet,
    ...work,
    ...failing,
    reset: 'pulling pull',
    lostHistory: 'waiting timer',
    forked: 'waiting timer',
  },
}

const at = (phase: Phase, more: Partial<MachineState> = {}): MachineState => ({ ...INITIAL, phase, ...more })

describe('the cycle', () => {
  for (const [phase, row] of Object.entries(TABLE) as [Phase, (typeof TABLE)[Phase]][]) {
    it(`answers every event in ${phase}`, () => {
      for (const [name, expected] of Object.entries(row) as [EventName, string][]) {
        const step = transition(at(phase), EVENTS[name], context)
        const seen = [step.state.phase, ...step.effects.map(({ type }) => type)].join(' ')
        const wanted = expected === '-' || expected === 'SAME' ? phase : expected
        expect(`${name}: ${seen}`).toBe(`${name}: ${wanted}`)
      }
    })
  }

  it('resolves a mutation in flight before it pulls', () => {
    for (const phase of ['idle', 'waiting', 'blocked'] as const) {
      const step = transition(at(phase, { inFlight: true }), EVENTS.timer, context)
      expect(step.effects).toEqual([{ type: 'send' }])
      // It is of before: a whole cycle comes after it (I8).
      const after = transition({ ...step.state, phase: 'acking' }, EVENTS.acked, context)
      expect([after.begins, after.effects]).toEqual([true, [{ type: 'pull', first: true }]])
    }
    expect(transition(at('stopped'), EVENTS.startInFlight, context).state.inFlight).toBe(true)
  })

  it('one way only: sends without pulling, or pulls without sending, a mutation in flight excepted', () => {
    const effects = (way: 'up' | 'down', state: MachineState, name: EventName) =>
      transition(state, EVENTS[name], { ...context, way, listen: false }).effects.map(({ type }) => type)
    expect(effects('up', at('idle'), 'timer')).toEqual(['build'])
    expect(effects('up', at('building'), 'uncovered')).toEqual(['join'])
    expect(effects('up', at('hydrating'), 'hydrated')).toEqual(['build'])
    expect(effects('up', at('resetting'), 'reset')).toEqual(['build'])
    expect(effects('up', at('acking'), 'ackedConflicts')).toEqual(['build'])
    expect(effects('up', at('acking'), 'acked')).toEqual(['timer'])
    expect(effects('down', at('idle'), 'timer')).toEqual(['pull'])
    expect(effects('down', at('publishing'), 'published')).toEqual(['timer'])
    expect(effects('down', at('publishing'), 'publishedMore')).toEqual(['pull'])
    expect(effects('down', at('idle', { inFlight: true }), 'timer')).toEqual(['send'])
    expect(effects('down', at('sending', { inFlight: true }), 'freed')).toEqual(['pull'])
    for (const name of ['acked', 'ackedMore', 'ackedConflicts'] as const)
      expect(effects('down', at('acking'), name)).toEqual(['pull'])
  })

  it('sends a local write without a pull where it listens, and nowhere else', () => {
    expect(transition(at('idle'), EVENTS.written, context).effects).toEqual([
      { type: 'build', force: false, alone: true },
    ])
    const deaf = transition(at('idle'), EVENTS.written, { ...context, listen: false })
    expect(deaf.effects).toEqual([{ type: 'pull', first: true }])
    const inFlight = transition(at('idle', { inFlight: true }), EVENTS.written, context)
    expect(inFlight.effects).toEqual([{ type: 'send' }])
    expect(transition(at('sending'), EVENTS.written, context).state.wanted).toBe(true)
    expect(transition(at('building'), EVENTS.behind, context).begins).toBe(true)
  })

  it('keeps a mutation in flight through a failure whose outcome is unknown', () => {
    const sending = at('sending', { inFlight: true })
    expect(transition(sending, EVENTS.network, context).state.inFlight).toBe(true)
    expect(transition(sending, EVENTS.forked, context).state.inFlight).toBe(true)
    expect(transition(at('resetting', { inFlight: true }), EVENTS.reset, context).state.inFlight).toBe(false)
    expect(transition(sending, EVENTS.freed, context).state.inFlight).toBe(false)
  })

  it('I8: a wake-up while at work is another cycle after it', () => {
    for (const phase of WORKING) {
      expect(transition(at(phase), EVENTS.wake, context).state.wanted).toBe(true)
    }
    const rested = transition(at('building', { wanted: true }), EVENTS.builtNone, context)
    expect(rested.begins).toBe(true)
    expect(rested.state.wanted).toBe(false)
    expect(transition(at('acking', { wanted: true }), EVENTS.ackedMore, context).effects).toEqual([
      { type: 'pull', first: true },
    ])
  })

  it('I8: every state that waits has a timer', () => {
    const codes: readonly ErrorCode[] = [
      'network',
      'internal',
      'rate_limited',
      'unauthorized',
      'disk_full',
      'database_locked',
      'invariant',
    ]
    for (const phase of WORKING) {
      for (const code of codes) {
        const { effects } = transition(at(phase), { type: 'failed', code }, context)
        expect(effects.map(({ type }) => type)).toEqual(['timer'])
      }
    }
  })

  it('takes the pages of one pull without beginning again, whatever wakes it meanwhile', () => {
    const step = transition(at('pulling', { wanted: true }), EVENTS.pageMore, context)
    expect(step.effects).toEqual([{ type: 'pull', first: false }])
    expect(step.begins).toBeUndefined()
  })

  it('forces a push after so many rounds of conflicts, and only then', () => {
    let state = at('acking')
    for (let round = 1; round <= FORCE_ROUNDS; round++) {
      const step = transition({ ...state, phase: 'acking' }, EVENTS.ackedConflicts, context)
      expect(step.effects).toEqual([{ type: 'build', force: round >= FORCE_ROUNDS }])
      state = step.state
    }
    expect(transition({ ...state, phase: 'acking' }, EVENTS.acked, context).state.rounds).toBe(0)
  })

  it('waits longer with every failure, at most five minutes, and as long as the cloud asks', () => {
    const still = { ...context, random: { next: () => 0 } }
    const waits: number[] = []
    let state = at('pulling')
    for (let failure = 0; failure < 8; failure++) {
      const step = transition({ ...state, phase: 'pulling' }, EVENTS.network, still)
      state = step.state
      const [effect] = step.effects
      waits.push(effect?.type === 'timer' ? effect.ms : -1)
    }
    expect(waits).toEqual([15_000, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000, 300_000])
    const asked = transition(
      at('pulling'),
      { type: 'failed', code: 'rate_limited', retryAfterMs: 900_000 },
      still,
    )
    expect(asked.effects).toEqual([{ type: 'timer', ms: 900_000 }])
  })

  it('begins its pauses shorter while somebody waits, and anew when a long read got on', () => {
    const watched = { ...context, random: { next: () => 0 }, firstPauseMs: 1_000 }
    const waits: number[] = []
    let state = at('hydrating')
    for (const gotOn of [false, false, true, false]) {
      const step = transition(
        { ...state, phase: 'hydrating' },
        { type: 'failed', code: 'network', gotOn },
        watched,
      )
      state = step.state
      const [effect] = step.effects
      waits.push(effect?.type === 'timer' ? effect.ms : -1)
    }
    expect(waits).toEqual([1_000, 2_000, 1_000, 2_000])
  })

  it('probes a blocked state, a full disk more often', () => {
    expect(transition(at('sending'), EVENTS.unauthorized, context).effects).toEqual([
      { type: 'timer', ms: PROBE_MS },
    ])
    expect(transition(at('sending'), EVENTS.diskFull, context).effects).toEqual([
      { type: 'timer', ms: PROBE_DISK_MS },
    ])
  })
})
