import { TidemarkError } from '../../kernel/errors.ts'
import { MAX_STAGED_BYTES, STAGED_CHANGE_BYTES } from '../../protocol/limits.ts'
import type { PushRequest } from '../../protocol/push.ts'
import { checkHistory, type History } from './history.ts'

/** The last mutation of a replica that was applied; number 0 before the first. */
export interface LastMutation {
  readonly number: number
  /** Of each part's bytes, in order. */
  readonly hashes: readonly string[]
}

/** A part that waits for the others. All staged parts of a replica belong to one attempt at its next mutation. */
export interface StagedPart {
  readonly hash: string
  readonly of: number
  readonly attempt: string
  /** See `weighPart`. */
  readonly bytes: number
}

/** What a part counts for while it is staged, by the characters of its changes and their number. */
export const weighPart = (chars: number, changes: number): number => chars + changes * STAGED_CHANGE_BYTES

/**
 * What is due for a request:
 * - `replay`: it was applied; the kept answer is given again (I3).
 * - `staged`: this part is there; `parts` counts those up to it.
 * - `stage`: keep it as part `index`; with `fresh`, parts of an abandoned attempt go first.
 * - `apply`: carry the mutation out, after the parts staged where there are some.
 * - `forked`: another copy of the replica must have pushed.
 */
export type Turn =
  | { readonly kind: 'replay' }
  | { readonly kind: 'staged'; readonly parts: number }
  | { readonly kind: 'stage'; readonly index: number; readonly fresh: boolean }
  | { readonly kind: 'apply'; readonly hashes: readonly string[] }
  | { readonly kind: 'forked' }

/**
 * Judges a push by its mutation number (I3, I13). Throws `unprocessable` when a part is out of order,
 * `payload_too_large` past the staging limit. `bytes` is asked only where it matters.
 *
 * A number counts as used only once its mutation is applied: after a refusal the replica builds another
 * mutation of the same number, whose first part takes the place of what was staged.
 */
export function judgeTurn(
  last: LastMutation,
  staged: readonly StagedPart[],
  request: Pick<PushRequest, 'mutation' | 'part'>,
  hash: string,
  bytes: () => number,
): Turn {
  const { index, of } = request.part ?? { index: 0, of: 1 }
  if (index >= of) throw new TidemarkError('unprocessable', 'the index of a part is past their number')
  if (request.mutation === last.number) {
    if (last.hashes.length !== of || last.hashes[index] !== hash) return { kind: 'forked' }
    return index === of - 1 ? { kind: 'replay' } : { kind: 'staged', parts: index + 1 }
  }
  if (request.mutation !== last.number + 1) return { kind: 'forked' }
  if (of === 1) return { kind: 'apply', hashes: [hash] }
  const sameAttempt = staged[0]?.of === of && staged[0].attempt === request.part?.attempt
  if (sameAttempt && staged[index]?.hash === hash) return { kind: 'staged', parts: index + 1 }
  if (index === 0) return { kind: 'stage', index, fresh: true }
  if (!sameAttempt || staged.length !== index) {
    const details = { index, expected: sameAttempt ? staged.length : 0 }
    throw new TidemarkError('unprocessable', 'a part is out of order', { details })
  }
  const total = staged.reduce((sum, part) => sum + part.bytes, bytes())
  if (total > MAX_STAGED_BYTES) {
    throw new TidemarkError(
      'payload_too_large',
      `the parts hold more than ${MAX_STAGED_BYTES} bytes together`,
    )
  }
  if (index < of - 1) return { kind: 'stage', index, fresh: false }
  return { kind: 'apply', hashes: [...staged.map((part) => part.hash), hash] }
}

/**
 * The turn of a push that may go on. Throws `lost_history` before `replica_forked`: in a cloud that was restored
 * both are true, and only the first says why. A repeat needs neither: its effect is in this history.
 */
export function admitTurn(
  turn: Turn,
  request: PushRequest,
  last: LastMutation,
  history: History,
): AdmittedTurn {
  if (turn.kind === 'replay' || turn.kind === 'staged') return turn
  if (request.cursor !== null) checkHistory(history, request.cursor)
  if (turn.kind !== 'forked') return turn
  const details = { last: last.number, mutation: request.mutation }
  throw new TidemarkError('replica_forked', undefined, { details })
}

export type AdmittedTurn = Exclude<Turn, { readonly kind: 'forked' }>
