import type { Shape } from '../shape/shape.ts'

/** What the triggers of one table are made from. */
export interface TriggerSource {
  readonly shape: Shape
  readonly number: number
  /** SQL for the hybrid time of now. */
  readonly clock: string
  /** Where each index stood in the schema table when the triggers were made. */
  readonly indexRows: ReadonlyMap<string, number>
  /** Unique indexes that cannot serve the search for what they displace. */
  readonly unusable: ReadonlySet<string>
}

export interface TriggerText {
  readonly name: string
  readonly sql: string
}
