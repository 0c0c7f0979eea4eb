import { sleep } from '../../../kernel/clock.ts'
import { TidemarkError, toTidemarkError } from '../../../kernel/errors.ts'
import { isOverdue, isPassing } from '../../postgres/failure.ts'
import { nextTurn } from '../next-turn.ts'
import { MOVED, pushGroup, type Outcome, type PushItem } from './push.ts'
import { roundsOn, roundsTogether, type Rounds } from './rounds.ts'
import { inThisLife, type Storage } from './space.ts'
import { readView } from './view.ts'

/** Pushes of one commit, and the weight of their changes: bounds how long all others wait, and the memory. */
const MAX_GROUP = 64
const MAX_WEIGHT = 4 * 1024 * 1024
/** Rounds lost to other nodes after which one is taken under the lock, so that nobody starves. */
const OPEN_ROUNDS = 3
/** A connection that breaks, or a lock that others hold, is tried again; a client that hears nothing would do the same. */
const TRIES = 3
const PAUSE_MS = 50

type Settle = (outcome: Exclude<Outcome, null>) => void

interface Waiting {
  readonly item: PushItem
  readonly weight: number
  readonly settle: Settle
}
/** Something that has the space of this node for itself. */
interface Alone {
  readonly run: () => Promise<void>
}

/**
 * What waits for one space is done together: one view, one commit, one wait for the disk. It also makes one contender
 * for the space's lock of each node.
 */
export class PushQueue {
  readonly #storage: Storage
  readonly #rounds: Rounds
  readonly #spaces = new Map<string, (Waiting | Alone)[]>()
  readonly #busy = new Map<string, Promise<void>>()

  constructor(storage: Storage) {
    this.#storage = storage
    this.#rounds = roundsTogether(storage.database)
    storage.metrics.watch('commitQueue', {}, () => this.length)
  }

  get length(): number {
    let waiting = 0
    for (const queue of this.#spaces.values()) waiting += queue.length
    return waiting
  }

  /** Resolves with the answer once it is durable. */
  push(id: string, item: PushItem, weight: number): Promise<Exclude<Outcome, TidemarkError | null>> {
    return new Promise((resolve, reject) => {
      const settle: Settle = (outcome) =>
        outcome instanceof TidemarkError ? reject(outcome) : resolve(outcome)
      this.#add(id, { item, weight, settle })
    })
  }

  /** Runs what waits for the space's lock: one of a node at a time, so that a space that is held takes no connections. */
  inTurn<T>(id: string, run: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#add(id, { run: () => run().then(resolve, reject) })
    })
  }

  /** Runs `attempt` until nothing has moved under it. */
  alone<T>(id: string, attempt: (rounds: Rounds) => Promise<T | typeof MOVED>): Promise<T> {
    return this.inTurn(id, () => attemptUntilDone(this.#storage, this.#rounds, id, attempt))
  }

  /** Resolves when nothing waits any more. */
  async drain(): Promise<void> {
    while (this.#busy.size > 0) await Promise.all(this.#busy.values())
  }

  #add(id: string, entry: Waiting | Alone): void {
    const queue = this.#spaces.get(id) ?? []
    this.#spaces.set(id, queue)
    queue.push(entry)
    if (!this.#busy.has(id)) this.#busy.set(id, this.#work(id, queue))
  }

  async #work(id: string, queue: (Waiting | Alone)[]): Promise<void> {
    // What one turn of the event loop brings is taken together.
    await new Promise<void>((resolve) => nextTurn(resolve))
    while (queue.length > 0) {
      const [first] = queue
      if (first !== undefined && 'run' in first) {
        queue.shift()
        await first.run()
      } else await this.#pushSome(id, queue)
    }
    this.#busy.delete(id)
    this.#spaces.delete(id)
  }

  async #pushSome(id: string, queue: (Waiting | Alone)[]): Promise<void> {
    const later = await this.#pushGroup(id, takeGroup(queue))
    queue.unshift(...later)
  }

  /** Answers those that have to wait for the next group. */
  async #pushGroup(id: string, group: readonly Waiting[]): Promise<readonly Waiting[]> {
    const { metrics } = this.#storage
    const endTime = metrics.time('commitSeconds', {})
    try {
      const outcomes = await attemptUntilDone(this.#storage, this.#rounds, id, (rounds) =>
        pushGroup(
          this.#storage,
          rounds,
          id,
          group.map(({ item }) => item),
        ),
      )
      endTime()
      metrics.observe('commitJobs', {}, group.length)
      for (const [at, { settle }] of group.entries()) {
        const outcome = outcomes[at] ?? null
        if (outcome !== null) settle(outcome)
      }
      return group.filter((_, at) => (outcomes[at] ?? null) === null)
    } catch (error) {
      // One that cannot be written must not take the others with it (I9).
      if (group.length > 1 && !(error instanceof TidemarkError && error.code === 'unavailable')) {
        for (const waiting of group) await this.#pushGroup(id, [waiting])
        return []
      }
      const failure = toTidemarkError(error)
      for (const { settle } of group) settle(failure)
      return []
    }
  }
}

/** The first in the queue that may go together: no replica twice, since each push follows its last. */
function takeGroup(queue: (Waiting | Alone)[]): readonly Waiting[] {
  const group: Waiting[] = []
  const replicas = new Set<string>()
  let weight = 0
  for (const entry of queue) {
    if ('run' in entry || replicas.has(entry.item.request.replica)) break
    weight += entry.weight
    if (group.length > 0 && (group.length >= MAX_GROUP || weight > MAX_WEIGHT)) break
    group.push(entry)
    replicas.add(entry.item.request.replica)
  }
  queue.splice(0, group.length)
  return group
}

/**
 * An attempt without a lock, some times; then under it. A commit whose answer was lost is found by its number (I3) when
 * it is made again.
 */
async function attemptUntilDone<T>(
  storage: Storage,
  open: Rounds,
  id: string,
  attempt: (rounds: Rounds) => Promise<T | typeof MOVED>,
): Promise<T> {
  const { database, clock, metrics } = storage
  let tries = 0
  for (let rounds = 0; ; rounds++) {
    try {
      const done =
        rounds < OPEN_ROUNDS
          ? await attempt(open)
          : await database.transaction(async (connection) => {
              await connection.query(LOCK, [id])
              return attempt(roundsOn(connection))
            })
      if (done !== MOVED) return done
      metrics.count('lostRounds', {})
      await inThisLife(storage, id, () => readView(database, id, [], { rows: [], claims: [] }))
    } catch (error) {
      const again =
        isPassing(error) ||
        (error instanceof TidemarkError && error.code === 'unavailable' && !isOverdue(error))
      if (!again || ++tries === TRIES) throw error
      await sleep(clock, PAUSE_MS)
    }
  }
}

const LOCK = { name: 'tidemark lock', text: 'SELECT FROM tidemark.spaces WHERE id = $1 FOR UPDATE' }
