import type { WireRecord } from '../src/protocol/records.ts'
import type { CloudView } from './view.ts'
import { InvariantBroken } from './outcome.ts'
import { showRow } from './view.ts'

/**
 * The cloud's state at each version, learned from what it commits. A restored cloud takes the oracle back with
 * it: what was above its head is another history.
 */
export class Oracle {
  readonly #history = new Map<string, WireRecord[]>()
  #head = 0

  get head(): number {
    return this.#head
  }

  /** Learns what was committed since. A record at or below the head that is new was skipped by readers (I4). */
  learn(view: CloudView): readonly Step[] {
    const steps: Step[] = []
    for (const [id, record] of view.records) {
      const known = this.#history.get(id)
      const last = known?.at(-1)
      if (last !== undefined && record.version <= last.version) {
        if (record.version < last.version)
          throw new InvariantBroken(
            'I4',
            `${showRow(id)} went back from version ${last.version} to ${record.version}`,
          )
        continue
      }
      if (record.version <= this.#head) {
        throw new InvariantBroken(
          'I4',
          `${showRow(id)} appeared at version ${record.version} after the head was ${this.#head}`,
        )
      }
      if (known === undefined) this.#history.set(id, [record])
      else known.push(record)
      steps.push({ id, before: last ?? null, after: record })
    }
    for (const [id, known] of this.#history) {
      const last = known.at(-1)
      if (last?.deleted === true || last === undefined || view.records.has(id)) continue
      throw new InvariantBroken('I1', `${showRow(id)} disappeared from the cloud without a tombstone`)
    }
    if (view.head < this.#head)
      throw new InvariantBroken('I4', `the head went back from ${this.#head} to ${view.head}`)
    this.#head = view.head
    return steps
  }

  /** The cloud went back to an older state. */
  rewind(view: CloudView): void {
    for (const [id, known] of this.#history) {
      const kept = known.filter(({ version }) => version <= view.head)
      if (kept.length === 0) this.#history.delete(id)
      else this.#history.set(id, kept)
    }
    this.#head = view.head
  }

  /** States of a row from the newest at or below `version` on; empty when it had none by then and since. */
  since(
    id: string,
    version: number,
  ): { readonly first: WireRecord | null; readonly later: readonly WireRecord[] } {
    const known = this.#history.get(id) ?? []
    let at = known.length
    while (at > 0 && (known[at - 1] as WireRecord).version > version) at--
    return { first: known[at - 1] ?? null, later: known.slice(at) }
  }

  rows(): IterableIterator<string> {
    return this.#history.keys()
  }
}

export interface Step {
  readonly id: string
  readonly before: WireRecord | null
  readonly after: WireRecord
}
