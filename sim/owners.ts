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
  /** Lines that began as a copy of another, or of its past: with which identity and last mutation. */
  readonly #forks: {
    readonly parent: string
    readonly child: string
    readonly replica: string
    readonly mutation: number
  }[] = []
  /** Identity → lines that can have sent all that was accepted so far. */
  readonly #possible = new Map<string, Set<string>>()
  readonly #last = new Map<string, number>()
  /** Identity → the push of it that was taken last. */
  readonly #taken = new Map<string, string>()

  sent(line: string, body: string, hash: string): void {
    const { replica, mutation } = JSON.parse(body) as PushRequest
    const at = `${replica} ${mutation} ${hash}`
    const lines = this.#senders.get(at) ?? new Set()
    this.#senders.set(at, lines.add(line))
    // The very bytes that were taken last: two copies that built the same push are one writer still.
    if (this.#taken.get(replica) === at) this.#possible.get(replica)?.add(line)
  }

  /** `child` goes on from where `parent` is, or was: `mutation` is the last number that the copied file used. */
  split(
    parent: string,
    child: string,
    copied: { readonly replica: string; readonly mutation: number },
  ): void {
    this.#forks.push({ parent, child, ...copied })
    const lines = this.#possible.get(copied.replica)
    // What the parent sent after the copy was made is not the child's.
    if (lines?.has(parent) === true && (this.#last.get(copied.replica) ?? 0) <= copied.mutation)
      lines.add(child)
  }

  /** These lines, and those that began as copies of them with this mutation already in the file. */
  #withCopies(lines: ReadonlySet<string>, replica: string, mutation: number): Set<string> {
    const all = new Set(lines)
    for (const fork of this.#forks) {
      if (all.has(fork.parent) && fork.replica === replica && fork.mutation >= mutation) all.add(fork.child)
    }
    return all
  }

  accepted(cloud: CloudView): void {
    for (const [replica, { mutation, hash }] of cloud.mutations) {
      const last = this.#last.get(replica) ?? 0
      if (mutation === last) continue
      check(mutation === last + 1, 'I13', () => `mutation ${mutation} of ${replica} was taken after ${last}`)
      this.#last.set(replica, mutation)
      this.#taken.set(replica, `${replica} ${mutation} ${hash}`)
      const senders = this.#withCopies(
        this.#senders.get(`${replica} ${mutation} ${hash}`) ?? new Set(),
        replica,
        mutation,
      )
      const before = this.#possible.get(replica)
      const possible =
        before === undefined ? new Set(senders) : new Set([...before].filter((line) => senders.has(line)))
      check(
        possible.size > 0,
        'I13',
        () =>
          `${replica} has two writers: mutation ${mutation} came from ${[...senders].join(', ')}, those before from ${[...(before ?? [])].join(', ')}`,
      )
      this.#possible.set(replica, possible)
    }
  }

  /** The cloud went back: what it had accepted above is another history. */
  rewound(cloud: CloudView): void {
    this.#last.clear()
    this.#taken.clear()
    for (const [replica, { mutation }] of cloud.mutations) this.#last.set(replica, mutation)
    this.#possible.clear()
  }
}
