import type { Bus, Subscriber } from '../bus.ts'
import { createSubscribers, type Subscribers } from './subscribers.ts'

/** A bus of nodes in one process, or of one node alone: hints are heard at once, and none is lost. */
export class MemoryBus {
  readonly #members = new Set<Subscribers>()

  join(): Bus {
    const members = this.#members
    const own = createSubscribers()
    members.add(own)
    return {
      publish(space, head, writer) {
        if (!members.has(own)) return
        own.tell(space, head, writer)
        for (const member of members) if (member !== own) member.tell(space, head, writer)
      },
      subscribe: (subscriber: Subscriber) => own.add(subscriber),
      async [Symbol.asyncDispose]() {
        members.delete(own)
      },
    }
  }
}
