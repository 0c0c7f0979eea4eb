import { TidemarkError } from '../../kernel/errors.ts'

/** A place in a list: behind the row with this time and id. The id is bytes, for a text may be no UTF-8. */
export interface Place {
  readonly at: bigint
  readonly id: Uint8Array
}

const MAX_ID_BYTES = 1_024

/** The text by which a caller goes on. `list` is in it: it leads nowhere in another one. */
export const writeCursor = (list: string, { at, id }: Place): string =>
  Buffer.concat([Buffer.from(`${list}:${at}:`), id]).toString('base64url')

/** Throws `bad_request` for a text that is no cursor of this list. */
export function readCursor(list: string, cursor: string): Place {
  const bytes = Buffer.from(cursor, 'base64url')
  const head = /^([a-z_]+):(-?\d{1,19}):/.exec(bytes.toString('latin1'))
  const at = BigInt(head?.[2] ?? 0)
  const id = bytes.subarray(head?.[0].length)
  const isWhole = id.length > 0 && id.length <= MAX_ID_BYTES && bytes.toString('base64url') === cursor
  if (head?.[1] !== list || !isWhole || BigInt.asIntN(64, at) !== at) {
    throw new TidemarkError('bad_request', 'the cursor is none of this list', {
      details: { field: 'cursor' },
    })
  }
  return { at, id }
}
