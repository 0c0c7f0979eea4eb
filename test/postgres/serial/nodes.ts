import type { Log } from '../../../src/cloud/log/log.ts'
import { systemClock } from '../../../src/kernel/clock.ts'
import { TidemarkError } from '../../../src/kernel/errors.ts'
import { NOW } from '../../cloud/plain-space.ts'
import type { LogNodes } from '../log-nodes.ts'
import type { Sent } from '../watched-database.ts'
import type { Chance } from './random.ts'

/** What the nodes did that a run is for. */
export interface Met {
  /** Commits that found what was read moved. */
  moved: number
  lockedFirst: number
  /** Versions that a later write of the same commit took the place of. */
  folded: number
  /** Commits of several mutations, and of rows of mutations above. */
  groups: number
  lost: number
}

/** A commit as its node sent it: which mutations, in the order in which they were decided, and by which clock. */
export interface Committed {
  readonly mutations: readonly string[]
  readonly now: number
}

export interface SerialNode {
  readonly log: Log
  /** The same for all that this node decides. */
  readonly now: number
}

export const mutationId = (replica: unknown, mutation: unknown): string =>
  `${String(replica)} ${String(mutation)}`

// Places in the values of the statement `tidemark commit`.
const WRITES = 14
const TOTAL = 25
const REPLICAS = 36
const NUMBERS = 38
const CLOCK = 42

/** Nodes that are slow now and then, lose connections before and answers after a commit, and are watched. */
export class SerialNodes {
  readonly met: Met = { moved: 0, lockedFirst: 0, folded: 0, groups: 0, lost: 0 }
  readonly list: readonly SerialNode[]
  readonly #committed = new Map<string, Committed>()
  /** Mutations of which an answer was lost. */
  readonly unheard = new Set<string>()

  constructor(nodes: LogNodes, count: number, chance: Chance) {
    this.list = Array.from({ length: count }, (_, at) => {
      // No two clocks are alike.
      const now = NOW + at * 10
      const log = nodes.node({
        clock: { ...systemClock, now: () => now },
        limits: { connections: 5 },
        watch: {
          before: (sent) => this.#before(sent, chance),
          after: (sent, rows) => this.#after(sent, rows, chance),
        },
      })
      return { log, now }
    })
  }

  /** The commit that a mutation was durable with. */
  committed(id: string): Committed | undefined {
    return this.#committed.get(id)
  }

  async #before({ name, inTransaction }: Sent, chance: Chance): Promise<void> {
    if (name === 'tidemark lock') this.met.lockedFirst++
    if (name !== 'tidemark commit') return
    if (chance(3) === 0) await new Promise((resolve) => setTimeout(resolve, chance(8)))
    if (!inTransaction && chance(50) === 0) throw new TidemarkError('unavailable', 'lost before')
  }

  #after({ name, values, inTransaction }: Sent, rows: readonly object[], chance: Chance): void {
    if (name !== 'tidemark commit') return
    const [row] = rows as { readonly head: number | null }[]
    if (row?.head == null) return void this.met.moved++
    const numbers = values[NUMBERS] as readonly number[]
    const mutations = (values[REPLICAS] as readonly string[]).map((id, at) => mutationId(id, numbers[at]))
    const committed = { mutations, now: Number(values[CLOCK]) }
    for (const id of mutations) this.#committed.set(id, committed)
    this.met.folded += Number(values[TOTAL]) - (values[WRITES] as readonly unknown[]).length
    if (mutations.length > 1) this.met.groups++
    if (inTransaction || mutations.length === 0 || chance(30) > 0) return
    this.met.lost++
    for (const id of mutations) this.unheard.add(id)
    throw new TidemarkError('unavailable', 'the answer was lost')
  }
}
