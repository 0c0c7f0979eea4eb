import type { PushRequest } from '../src/protocol/push.ts'
import { check } from './outcome.ts'
import type { CloudView } from './view.ts'

/**
 * I13: who writes under an identity. Every line of a file's history has a name; going back in time or being
 * copied begins another line. What one identity got accepted must all have come from a single line.
 */
export class Owners {
  /** Identity, number and bytes of a push → the lines that sent it. */
  readonly #senders = new Map<string, Set<string>>()
  /** Lines that began as a copy of another, or of its past. */
  readonly #parents = new Map<string, string>()
  /** Identity → lines that can have sent all that was accepted so far. */
  readonly #possible = new Map<string, Set<string>>()
  readonly #last = new Map<string, number>()

  sent(line: string, body: string, hash: string): void {
    const { replica, mutation } = JSON.parse(body) as PushRequest
    const at = `${replica} ${mutation} ${hash}`
    const lines = this.#senders.get(at) ?? new Set()
    this.#senders.set(at, lines.add(line))
  }

  /** `child` goes on from where `parent` is, or was. */
  split(parent: string, child: string): void {
    this.#parents.set(child, parent)
    for (const lines of this.#possible.values()) if (lines.has(parent)) lines.add(child)
  }

  accepted(cloud: CloudView): void {
    for (const [replica, { mutation, hash }] of cloud.mutations) {
      const last = this.#last.get(replica) ?? 0
      if (mutation === last) continue
      check(mutation === last + 1, 'I13', () => `mutation ${mutation} of ${replica} was taken after ${last}`)
      this.#last.set(replica, mutation)
      const senders = this.#senders.get(`${replica} ${mutation} ${hash}`) ?? new Set()
      const before = this.#possible.get(replica)
      const possible = before === undefined ? new Set(senders) : new Set([...before].filter((line) => senders.has(line)))
      check(possible.size > 0, 'I13', () => `${replica} has two writers: mutation ${mutation} came from ${[...senders].join(', ')}, those before from ${[...(before ?? [])].join(', ')}`)
      this.#possible.set(replica, possible)
    }
  }

  /** The cloud went back: what it had accepted above is another history. */
  rewound(cloud: CloudView): void {
    this.#last.clear()
    for (const [replica, { mutation }] of cloud.mutations) this.#last.set(replica, mutation)
    this.#possible.clear()
  }
}
