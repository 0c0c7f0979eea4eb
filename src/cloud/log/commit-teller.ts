import type { CommitListener } from './log.ts'

/** The newest head of a space of which listeners were told, or are about to be. */
interface Raised {
  readonly head: number
  readonly writer: string | null
  told: boolean
}

/** Tells listeners of raised heads, once for all the pushes of one commit. */
export class CommitTeller {
  readonly #listeners = new Set<CommitListener>()
  readonly #raised = new Map<string, Raised>()

  add(listener: CommitListener): () => void {
    const own: CommitListener = (space, head, writer) => listener(space, head, writer)
    this.#listeners.add(own)
    return () => this.#listeners.delete(own)
  }

  /** `writer`: who pushed; null for nobody in particular. The head that was told last is no news; a lower one is, of a database that was put back. */
  tell(space: string, head: number, writer: string | null): void {
    const before = this.#raised.get(space)
    if (head === before?.head) return
    const raised: Raised = {
      head,
      writer: before?.told === false && before.writer !== writer ? null : writer,
      told: false,
    }
    this.#raised.set(space, raised)
    queueMicrotask(() => {
      if (this.#raised.get(space) !== raised) return
      raised.told = true
      for (const listener of this.#listeners) listener(space, head, raised.writer)
    })
  }

  close(): void {
    this.#listeners.clear()
  }
}
