import type { Hlc } from '../../kernel/hlc.ts'
import type { Fields } from '../../kernel/values.ts'
import type { WireRecord } from '../../protocol/records.ts'

/** What a replica and the cloud last agreed a row to be, and what keeps the row from it. */
export interface RowState {
  /** The version agreed on; of an offered row the version that both histories have in common. */
  readonly version: number
  readonly agreed: 'none' | 'live' | 'deleted'
  /**
   * The agreed values themselves, columns that the table lacks included. Unless agreed live, only such columns, of a
   * row that is to be sent whole.
   */
  readonly image: Fields
  /** Time and writer of the agreed record. */
  readonly hlc: Hlc
  readonly by: string
  /** References in it were written by this replica: they follow a parent that is re-keyed. */
  readonly own: boolean
  /** The version it had in a lost history: the row is offered again. */
  readonly was: number | null
  /** The mark's time, taken off while an inbox entry or the quarantine holds the row. */
  readonly heldAt: Hlc | null
  /**
   * The newest version that it met while it was held, without agreeing on it; 0 when there is none. Until it is
   * settled with the cloud such a row counts as changed, even where it equals its image, which is not the cloud's.
   */
  readonly met: number
  readonly parked: Parked | null
}

/** A record of the cloud that cannot stand in the table now. */
export interface Parked {
  readonly record: WireRecord
  readonly reason: string
  /** The version it had in a lost history: it is offered again although it does not stand. */
  readonly was: number | null
  /** It is of a lost history and is not offered, because a local row stands at its key. */
  readonly lost: boolean
}

/** A row that the cloud never heard of. */
export const UNKNOWN: RowState = {
  version: 0,
  agreed: 'none',
  image: {},
  hlc: 0,
  by: '',
  own: false,
  was: null,
  heldAt: null,
  met: 0,
  parked: null,
}

/** True when the state says no more than its absence. */
export function saysNothing(state: RowState): boolean {
  const { agreed, heldAt, image, met, parked, was } = state
  const isUnknown = agreed === 'none' && heldAt === null && met === 0 && parked === null && was === null
  return isUnknown && Object.keys(image).length === 0
}
