/**
 * Work that one node of a cloud does at a time. Who has not got the turn does not wait: another node is at work.
 *
 * A turn is a courtesy between nodes and no lock of the data: who loses it in the middle (its connection broke) is
 * told by the signal, but may go on for a moment beside the next one. The work must be right all the same.
 */
export interface Exclusive {
  /**
   * Runs `work` unless work of this name goes on somewhere, and tells whether it did. Rejects with what `work` rejects
   * with, and with `unavailable`.
   */
  run(name: string, work: (lost: AbortSignal) => Promise<void>): Promise<boolean>
}

/** Where one process has the storage for itself: every turn is its own. */
export const alone: Exclusive = {
  async run(_name, work) {
    await work(new AbortController().signal)
    return true
  },
}
