import type { Subscriber } from '../bus.ts'
import type { CommitListener } from '../log/log.ts'

/** Who listens on one node. */
export interface Subscribers {
  readonly tell: CommitListener
  /** The spaces that any of them waits for. */
  watched(): string[]
  add(subscriber: Subscriber): () => void
}

export function createSubscribers(): Subscribers {
  const all = new Set<Subscriber>()
  return {
    tell(space, head, writer) {
      for (const subscriber of all) subscriber.hear(space, head, writer)
    },
    watched: () => [...new Set([...all].flatMap((subscriber) => [...subscriber.watched()]))],
    add(subscriber) {
      // The same one may listen twice: each has a place of its own.
      const own: Subscriber = {
        hear: (space, head, writer) => subscriber.hear(space, head, writer),
        watched: () => subscriber.watched(),
      }
      all.add(own)
      return () => void all.delete(own)
    },
  }
}
