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
  /** And that were made again alone, since another node had the space. */
  held: number
  lockedFirst: number
  /** Versions that a later write of the same commit took the place of. */
  folded: number
  /** Commits of several mutations, and of rows of mutations above. */
  groups: number
  /** Of several spaces. */
  together: number
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
const TOTALS = 5
const TABLES = 6
const WRITES = 20
const SPACES = 38
const REPLICAS = 39
const NUMBERS = 41
const CLOCKS = 45

/** Nodes that are slow now and then, lose connections before and answers after a commit, and are watched. */
export class SerialNodes {
  readonly met: Met = { moved: 0, held: 0, lockedFirst: 0, folded: 0, groups: 0, together: 0, lost: 0 }
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
    const column = <T>(place: number): readonly T[] => values[place] as readonly T[]
    const [row] = rows as { readonly heads: string }[]
    const heads = JSON.parse(row?.heads ?? '[]') as (number | null)[]
    const [numbers, clocks, tables] = [
      column<number>(NUMBERS),
      column<number>(CLOCKS),
      column<number>(TABLES),
    ]
    const mutations = column<string>(REPLICAS).map((id, at) => mutationId(id, numbers[at]))
    const of = <T>(list: readonly T[], space: number): readonly T[] =>
      list.filter((_, at) => column<number>(SPACES)[at] === space)
    let done = 0
    for (const [at, head] of heads.entries()) {
      if (head === -1) this.met.held++
      else if (head === null) this.met.moved++
      else {
        const own = of(mutations, at + 1)
        const committed = { mutations: own, now: Number(of(clocks, at + 1)[0]) }
        for (const id of own) this.#committed.set(id, committed)
        const writes = column<number>(WRITES).filter((table) => tables[table - 1] === at + 1)
        this.met.folded += Number(column(TOTALS)[at]) - writes.length
        if (own.length > 1) this.met.groups++
        done++
      }
    }
    if (done > 1) this.met.together++
    if (done === 0) return
    if (inTransaction || mutations.length === 0 || chance(30) > 0) return
    this.met.lost++
    for (const id of mutations) this.unheard.add(id)
    throw new TidemarkError('unavailable', 'the answer was lost')
  }
}
