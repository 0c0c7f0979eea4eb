import type { Coverage } from './coverage.ts'

/** What a run showed. */
export interface Outcome {
  readonly seed: number
  /** Actions performed and events run. */
  readonly steps: number
  readonly events: number
  /** Of the whole trace: the same seed gives the same. */
  readonly hash: string
  readonly violation: Violation | null
  readonly coverage: Coverage
  /** The newest lines, when they were asked for. */
  readonly trace: readonly string[]
}

export interface Violation {
  /** `I1` … `I13`, or `run` for a fault of the simulation's own expectations. */
  readonly invariant: string
  readonly message: string
  /** The action after which it showed. */
  readonly step: number
}

/** Thrown by a check; ends the run. */
export class InvariantBroken extends Error {
  readonly invariant: string

  constructor(invariant: string, message: string) {
    super(message)
    this.invariant = invariant
  }
}

export function check(holds: boolean, invariant: string, message: () => string): void {
  if (!holds) throw new InvariantBroken(invariant, message())
}
