import { INITIAL, transition, type MachineEvent, type Phase } from '../src/engine/machine.ts'
import { DISASTERS, FAULTS } from './plan.ts'

/** What the runs met: counts by name. Merged over seeds and workers. */
export interface Coverage {
  /** `phase × event` of the engine's machine. */
  readonly transitions: { [name: string]: number }
  /** Faults by kind, and crashes by the step they hit. */
  readonly faults: { [name: string]: number }
  readonly work: { [name: string]: number }
  /** Inbox kinds, resets and other things that the engines went through. */
  readonly outcomes: { [name: string]: number }
}

export const createCoverage = (): Coverage => ({ transitions: {}, faults: {}, work: {}, outcomes: {} })

export function count(counts: { [name: string]: number }, name: string, by = 1): void {
  counts[name] = (counts[name] ?? 0) + by
}

export function addCoverage(sum: Coverage, more: Coverage): void {
  for (const part of ['transitions', 'faults', 'work', 'outcomes'] as const) {
    for (const [name, times] of Object.entries(more[part])) count(sum[part], name, times)
  }
}

const EVENTS: { readonly [type in MachineEvent['type']]: MachineEvent } = {
  start: { type: 'start', inFlight: false },
  stop: { type: 'stop' },
  pause: { type: 'pause' },
  resume: { type: 'resume', inFlight: false },
  wake: { type: 'wake', urgent: true },
  written: { type: 'written' },
  timer: { type: 'timer' },
  uncovered: { type: 'uncovered' },
  behind: { type: 'behind' },
  page: { type: 'page', more: false },
  hydrated: { type: 'hydrated' },
  published: { type: 'published', more: false },
  moved: { type: 'moved' },
  built: { type: 'built', saved: false },
  answered: { type: 'answered' },
  acked: { type: 'acked', conflicts: 0, more: false },
  reset: { type: 'reset' },
  freed: { type: 'freed' },
  failed: { type: 'failed', code: 'network' },
}

const PHASES: { readonly [phase in Phase]: true } = {
  stopped: true,
  paused: true,
  idle: true,
  hydrating: true,
  pulling: true,
  publishing: true,
  building: true,
  sending: true,
  acking: true,
  resetting: true,
  waiting: true,
  blocked: true,
}

/** `phase × event` wherever the machine does something; the table test covers the rest. */
function pairsThatAct(): readonly string[] {
  const context = { random: { next: () => 0 }, pollMs: 1, listen: true }
  return Object.keys(PHASES).flatMap((phase) =>
    Object.values(EVENTS).flatMap((event) => {
      const from = { ...INITIAL, phase: phase as Phase }
      const { state, effects } = transition(from, event, context)
      const acts = effects.length > 0 || JSON.stringify(state) !== JSON.stringify(from)
      return acts ? [`${phase} × ${event.type}`] : []
    }),
  )
}

/** How much of what can happen did, and what never did. */
export function describeCoverage(coverage: Coverage): readonly string[] {
  const lines: string[] = []
  const list = (title: string, counts: { readonly [name: string]: number }) => {
    const names = Object.keys(counts).sort()
    lines.push(`${title} (${names.length}):`)
    lines.push(`  ${names.map((name) => `${name} ${counts[name]}`).join(' · ')}`)
  }
  const share = (title: string, all: readonly string[], counts: { readonly [name: string]: number }) => {
    const missed = all.filter((name) => (counts[name] ?? 0) === 0)
    const never = missed.length === 0 ? '' : `; never: ${missed.join(', ')}`
    lines.push(`${all.length - missed.length} of ${all.length} ${title}${never}`)
  }
  list('transitions, phase × event', coverage.transitions)
  list('faults', coverage.faults)
  list('application', coverage.work)
  list('outcomes', coverage.outcomes)
  share('pairs of phase and event that act', pairsThatAct(), coverage.transitions)
  share('kinds of fault', [...Object.keys(FAULTS), ...Object.keys(DISASTERS)], coverage.faults)
  return lines
}
