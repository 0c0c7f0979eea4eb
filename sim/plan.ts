import { createChance, streamSeed, type Chance } from './chance.ts'
import { WORK, type WorkKind } from './workload.ts'

/**
 * A run is a function of its case: the world's settings and a list of actions. Each action draws from a seed of
 * its own, so that a failing case can be shrunk by leaving actions out.
 */
export interface Case {
  readonly seed: number
  readonly settings: Settings
  readonly actions: readonly Action[]
  /** What this case showed once. */
  readonly note?: string
}

export interface Action {
  /** Milliseconds after the action before it. */
  readonly gap: number
  readonly kind: ActionKind
  /** Which replica it is about. */
  readonly replica: number
  readonly seed: number
}

export interface Settings {
  readonly store: StoreKind
  readonly replicas: readonly ReplicaSettings[]
  readonly network: {
    readonly dropRequest: number
    readonly dropAnswer: number
    readonly duplicate: number
    readonly late: number
  }
  /** Rows of one push part, of a page and of a page of a hydrate: small ones make more steps. */
  readonly batchRows: number
  readonly pullLimit: number
  readonly hydratePage: number
}

export type StoreKind = 'memory' | 'sqlite'
export type ResolverName = 'newestWins' | 'localWins' | 'remoteWins' | 'manual' | 'slow'

export interface ReplicaSettings {
  readonly latencyMs: number
  readonly jitterMs: number
  /** How wrong its clock is, milliseconds. */
  readonly skewMs: number
  readonly resolver: ResolverName
  readonly listen: boolean
  readonly afterRestore: 'rejoin' | 'overwrite'
  readonly strictRules: boolean
  readonly looseSlots: boolean
  readonly extraColumns: number
  /** Milliseconds that a step of its disk may take. */
  readonly diskMs: number
}

/** What people and machines do to sync itself. */
export const CONTROL = {
  'sync-now': 6,
  settle: 3,
  'retry-quarantine': 1,
  'drop-quarantine': 0.5,
  pause: 1.5,
  resume: 3,
  join: 0.4,
  wait: 8,
} as const

/** What goes wrong without anything being lost. */
export const FAULTS = {
  crash: 6,
  restart: 4,
  'cloud-crash': 3,
  collect: 2,
  'disk-full': 2,
  'log-full': 1,
  'clock-jump': 2,
  cut: 4,
  'cut-all': 1,
  slow: 2,
  'bad-token': 1,
  deregister: 0.5,
  'away-below-floor': 1,
} as const

/** What goes wrong and takes durable state back in time, or doubles it. */
export const DISASTERS = {
  'power-loss': 3,
  'restore-file': 1,
  'restore-elsewhere': 1,
  'restore-machine': 1,
  'clone-file': 1,
  'clone-machine': 1,
  'cloud-restore': 1.5,
  'restore-while-read': 1,
  'cloud-copy': 0.7,
} as const

export type ControlKind = keyof typeof CONTROL
export type FaultKind = keyof typeof FAULTS
export type DisasterKind = keyof typeof DISASTERS
export type ActionKind = WorkKind | ControlKind | FaultKind | DisasterKind

export interface PlanOptions {
  readonly steps: number
  readonly store: StoreKind
}

export function planCase(seed: number, options: PlanOptions): Case {
  const chance = createChance(streamSeed(seed, 'plan'))
  // A few rows that everybody writes at once: only there does a push lose again and again.
  const crowd = chance.odds(0.2)
  const planned = planSettings(chance, options.store)
  const settings = crowd ? crowdOf(chance, planned) : planned
  return { seed, settings, actions: planActions(chance, settings, options.steps, crowd) }
}

function planSettings(chance: Chance, store: StoreKind): Settings {
  const noisy = chance.odds(0.7)
  const share = () => (noisy ? chance.next() * 0.12 : 0)
  const count = chance.pick([2, 2, 3, 3, 4, 5])
  const oneResolver = chance.odds(0.6)
  const replicas = Array.from({ length: count }, (): ReplicaSettings => {
    const far = chance.odds(0.2)
    return {
      latencyMs: far ? 200 : chance.between(0, 20),
      jitterMs: chance.pick([0, 3, 30, 300]),
      skewMs: chance.odds(0.6) ? 0 : chance.between(-300_000, 300_000),
      resolver: oneResolver
        ? 'newestWins'
        : chance.pick(['newestWins', 'localWins', 'remoteWins', 'manual', 'slow']),
      listen: chance.odds(0.7),
      afterRestore: chance.odds(0.8) ? 'rejoin' : 'overwrite',
      strictRules: chance.odds(0.15),
      looseSlots: chance.odds(0.15),
      extraColumns: chance.pick([0, 0, 0, 1, 2]),
      // A slow disk is where a person or a service manager stops a process in the middle of its work.
      diskMs: chance.pick([0, 1, 1, 10, 120]),
    }
  })
  return {
    store,
    replicas,
    network: { dropRequest: share(), dropAnswer: share(), duplicate: share(), late: share() / 2 },
    batchRows: chance.pick([1, 2, 5, 100]),
    pullLimit: chance.pick([1, 2, 3, 10, 1_000]),
    hydratePage: chance.pick([1, 2, 5, 1_000]),
  }
}

/**
 * In a crowd everybody is quick but one, who is so far away that it must always lose, and near enough to lose often.
 * A lost message would keep its replica out of the crowd for longer than a run.
 */
function crowdOf(chance: Chance, settings: Settings): Settings {
  const far = chance.int(settings.replicas.length)
  const farMs = chance.between(25, 60)
  const replicas = settings.replicas.map((one, at) => {
    const latencyMs = at === far ? farMs : Math.min(one.latencyMs, 5)
    return { ...one, latencyMs, jitterMs: 3, diskMs: Math.min(one.diskMs, 1) }
  })
  return {
    ...settings,
    replicas,
    network: { dropRequest: 0, dropAnswer: 0, duplicate: settings.network.duplicate, late: 0 },
    pullLimit: 1_000,
  }
}

function planActions(chance: Chance, settings: Settings, steps: number, crowd: boolean): readonly Action[] {
  // Half the runs have no disasters: only there may nothing at all be excused.
  const weights: { [kind in ActionKind]: number } = {
    ...WORK,
    ...CONTROL,
    ...someOf(chance, FAULTS, crowd ? 0.3 : chance.pick([0, 0.3, 1])),
    ...someOf(chance, DISASTERS, chance.odds(0.5) ? 0 : 0.6),
  }
  if (crowd) weights.hot = 200
  const hurry = crowd ? 0 : chance.next()
  return Array.from({ length: steps }, (_, at): Action => {
    const kind = chance.weighted(weights)
    const ms = crowd ? crowdGap(chance, at) : gap(chance, hurry)
    return { gap: ms, kind, replica: chance.int(settings.replicas.length), seed: chance.int(2 ** 31) }
  })
}

/** Each fault is possible in about half the runs, so that some runs are about few faults. */
function someOf<K extends string>(
  chance: Chance,
  weights: { readonly [kind in K]: number },
  factor: number,
): { [kind in K]: number } {
  const some = {} as { [kind in K]: number }
  for (const kind of Object.keys(weights) as K[]) some[kind] = chance.odds(0.5) ? weights[kind] * factor : 0
  return some
}

/**
 * Bursts, once all have read the space: what lost at the end of one is not written over at once, so that it shows
 * whether it is lost for good.
 */
const crowdGap = (chance: Chance, at: number): number =>
  at === 0 || chance.odds(0.015) ? chance.between(2_000, 5_000) : chance.int(24)

function gap(chance: Chance, hurry: number): number {
  const draw = chance.next()
  if (draw < 0.3 + 0.5 * hurry) return chance.int(8)
  if (draw < 0.9) return chance.int(400)
  if (draw < 0.97) return chance.int(8_000)
  return chance.int(draw < 0.995 ? 60_000 : 600_000)
}
