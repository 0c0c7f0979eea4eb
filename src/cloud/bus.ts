import type { CommitListener } from './log/log.ts'

/**
 * Tells the nodes of one cloud of each other's commits, so that a push through one wakes the polls that wait on the
 * others. A node joins once; what must be true of every driver (suite: `testing/bus-contract.ts`):
 *
 * - A hint says that a space's head was raised to at least `head`; `writer` is the replica that wrote all that this
 *   hint tells of, null for several or none. It is never the truth: it may come late, twice, out of order or for
 *   nothing, and another program may have made it up. Who hears it reads the space.
 * - The subscribers of the node that publishes hear it before `publish` returns, once, and with nothing between them.
 * - I8: while two nodes live, each head that one publishes is told to the subscribers of the other: at once as a rule;
 *   where hints were lost (a connection broke, a node died between its commit and its hint, there were too many) a
 *   sweep tells the heads of the spaces that somebody waits for, with writer null, within `SWEEP_MS` of the time
 *   from which the node can reach the database again.
 * - What was published before a node is disposed of is sent on where that can be done soon. After it nothing is heard
 *   and `publish` does nothing.
 */
export interface Bus extends AsyncDisposable {
  /** A commit of this node raised a head. Never throws, waits for nothing. */
  publish(space: string, head: number, writer: string | null): void
  subscribe(subscriber: Subscriber): () => void
}

export interface Subscriber {
  /** Must not throw. */
  readonly hear: CommitListener
  /** The spaces that somebody waits for here, asked at each sweep. */
  watched(): Iterable<string>
}
