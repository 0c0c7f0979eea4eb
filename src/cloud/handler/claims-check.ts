import { Compile } from 'typebox/compile'

import { MAX_CLAIM_CHARS, MAX_NAME_CHARS } from '../../protocol/limits.ts'
import { Claims } from '../../protocol/records.ts'

const validator = Compile(Claims)

/**
 * Stands for claims that do not fit: no name holds NUL, so the log refuses that row alone (I9, `changeFault`). What
 * was sent instead, of whatever depth and size, reaches nobody.
 */
export const UNFIT_CLAIMS: Claims = { '\0': null }

/** True when a change has claims, and not such as the schema wants them. */
export function hasUnfitClaims(change: unknown): boolean {
  if (typeof change !== 'object' || change === null || Array.isArray(change)) return false
  if (!Object.hasOwn(change, 'claims')) return false
  return !fits((change as { readonly claims: unknown }).claims)
}

/** True only for what the schema of claims takes: the common forms of it. */
export const arePlainClaims = (claims: unknown): boolean => isWithin(claims, 1)

/** The schema counts characters where a length is of units, of which a character has two at the most. */
const fits = (claims: unknown): boolean =>
  arePlainClaims(claims) || (isWithin(claims, 2) && validator.Check(claims))

/** By hand: it is quicker for many, and the compiled schema passes over what stands under a name with a line feed. */
function isWithin(claims: unknown, times: number): boolean {
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) return false
  return Object.entries(claims as { readonly [name: string]: unknown }).every(
    ([name, value]) =>
      name.length > 0 &&
      name.length <= times * MAX_NAME_CHARS &&
      (value === null || (typeof value === 'string' && value.length <= times * MAX_CLAIM_CHARS)),
  )
}
