import type { Reader } from './history.ts'

/** An acknowledgement that is not yet in the file. */
export interface Ack extends Reader {
  readonly acked: number
}

/** How far the time a replica was last seen may be behind in the file. */
const SEEN_SLACK_MS = 3_600_000
/** Acknowledgements that may wait to be written. */
const MAX_WAITING = 10_000

/**
 * What pulls acknowledge, kept until there is a reason to write: a pull that finds nothing must not cost a write
 * to the disk. What is lost with the process only holds tombstones longer than need be.
 */
export class Acks {
  readonly #spaces = new Map<string, Map<string, Ack>>()
  #count = 0

  /** Whether this one may wait; it is kept if so. */
  keep(space: string, replica: string, ack: Ack, inFile: Reader | null): boolean {
    if (inFile === null || inFile.acked === null || inFile.acked > ack.acked) return false
    if (ack.seen - inFile.seen > SEEN_SLACK_MS || this.#count >= MAX_WAITING) return false
    let replicas = this.#spaces.get(space)
    if (replicas === undefined) this.#spaces.set(space, (replicas = new Map()))
    if (!replicas.has(replica)) this.#count++
    replicas.set(replica, ack)
    return true
  }

  find(space: string, replica: string): Ack | null {
    return this.#spaces.get(space)?.get(replica) ?? null
  }

  drop(space: string, replica: string): void {
    if (this.#spaces.get(space)?.delete(replica) === true) this.#count--
  }

  /** Forgets those that are in the file now and were not replaced since they were listed. */
  settle(space: string, written: readonly (readonly [replica: string, ack: Ack])[]): void {
    for (const [replica, ack] of written) if (this.find(space, replica) === ack) this.drop(space, replica)
  }

  list(space: string): readonly (readonly [replica: string, ack: Ack])[] {
    return [...(this.#spaces.get(space) ?? [])]
  }

  spaces(): readonly string[] {
    return [...this.#spaces.keys()]
  }
}
