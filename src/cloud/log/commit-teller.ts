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

  /**
   * `writer`: who pushed; null for nobody in particular. The head that was told last is no news; a lower one is, of a
   * database that was put back. What waits to be told together is told as its latest head: a reader who has read as
   * far as that is not woken by it.
   */
  tell(space: string, head: number, writer: string | null): void {
    const before = this.#raised.get(space)
    const waiting = before?.told === false ? before : null
    if (waiting === null && head === before?.head) return
    const raised: Raised = {
      head: Math.max(head, waiting?.head ?? 0),
      writer: waiting !== null && waiting.writer !== writer ? null : writer,
      told: false,
    }
    this.#raised.set(space, raised)
    queueMicrotask(() => {
      if (this.#raised.get(space) !== raised) return
      raised.told = true
      for (const listener of this.#listeners) listener(space, raised.head, raised.writer)
    })
  }

  close(): void {
    this.#listeners.clear()
  }
}
