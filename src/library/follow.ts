import type { EngineEvent } from '../engine/engine.ts'
import type { Conflict, NamedResolver } from '../engine/resolvers.ts'
import type { Store } from '../engine/store.ts'
import type { Clock } from '../kernel/clock.ts'
import { COUNTS_PER_MS } from '../kernel/hlc.ts'
import { readInboxFromNow, toDetectedConflict, type DetectedConflict } from './detected.ts'
import { measureProgress, type SyncProgress } from './progress.ts'
import type { SyncOperation, SyncResult, TableCounts } from './result.ts'

export interface FollowOptions {
  readonly store: Store
  readonly clock: Clock
  readonly operation: SyncOperation
  /** Local rows that wait to be sent, as far as this operation sends them. */
  readonly pending: number
  readonly onProgress: (progress: SyncProgress) => void
  readonly onConflict: (conflict: DetectedConflict) => void
}

/** What an engine does, as an application is told it. */
export interface Follower {
  /** For the resolvers of the engine: notes when the local row changed, which the inbox does not keep. */
  watch(resolver: NamedResolver): NamedResolver
  /** For the events of the engine. */
  follow(event: EngineEvent): void
  /** What was done since the last time: of a failed operation, too. */
  take(): Promise<SyncResult>
  /** The operation is whole. */
  end(): void
}

export async function followOperation(options: FollowOptions): Promise<Follower> {
  const { store, clock, operation } = options
  let begun = clock.now()
  const times = new Map<string, number>()
  let tally = createTally()
  const meter = measureProgress(operation, options.pending)
  const inbox = await readInboxFromNow(store)
  let conflicts: DetectedConflict[] = []
  let reading = Promise.resolve()
  const readConflicts = async () => {
    for (const entry of await inbox.readNew()) {
      const conflict = toDetectedConflict(entry, times.get(rowId(entry)) ?? null)
      conflicts.push(conflict)
      tally.add(conflict.entityType, 'conflicts', 1)
      options.onConflict(conflict)
    }
  }
  options.onProgress(meter.first)
  return {
    watch: ({ name, resolve }) => ({
      name,
      resolve(conflict: Conflict) {
        times.set(rowId(conflict), conflict.localAt / COUNTS_PER_MS)
        return resolve(conflict)
      },
    }),
    follow(event) {
      tally.follow(event)
      const progress = meter.follow(event)
      if (progress !== null) options.onProgress(progress)
      if (event.type === 'conflicts') reading = reading.then(readConflicts)
      // Met again by who asks for the result.
      reading.catch(() => {})
    },
    async take() {
      await reading
      await readConflicts()
      const { pushed, received, refused, tables } = tally
      const now = clock.now()
      const result: SyncResult = {
        operation,
        recordsProcessed: pushed + received,
        pushed,
        received,
        refused,
        conflicts,
        tables,
        startedAt: new Date(begun),
        duration: Math.max(0, now - begun),
      }
      tally = createTally()
      conflicts = []
      times.clear()
      begun = now
      return result
    },
    end: () => options.onProgress(meter.end()),
  }
}

const rowId = ({ table, key }: { readonly table: string; readonly key: string }): string => `${table}\0${key}`

interface Tally {
  readonly pushed: number
  readonly received: number
  readonly refused: number
  readonly tables: { readonly [table: string]: TableCounts }
  add(table: string, count: keyof TableCounts, rows: number): void
  follow(event: EngineEvent): void
}

function createTally(): Tally {
  const tables = new Map<string, { -readonly [count in keyof TableCounts]: number }>()
  let refused = 0
  const add: Tally['add'] = (table, count, rows) => {
    const counts = tables.get(table) ?? { pushed: 0, received: 0, conflicts: 0 }
    counts[count] += rows
    tables.set(table, counts)
  }
  const sum = (count: keyof TableCounts) =>
    [...tables.values()].reduce((all, counts) => all + counts[count], 0)
  return {
    get pushed() {
      return sum('pushed')
    },
    get received() {
      return sum('received')
    },
    get refused() {
      return refused
    },
    get tables() {
      return Object.fromEntries([...tables].map(([name, counts]) => [name, { ...counts }]))
    },
    add,
    follow(event) {
      if (event.type === 'quarantined') refused += event.count
      if (event.type !== 'pushed' && event.type !== 'applied') return
      const count = event.type === 'pushed' ? 'pushed' : 'received'
      for (const [table, rows] of Object.entries(event.tables)) add(table, count, rows)
    },
  }
}
