import { TidemarkError } from '../../kernel/errors.ts'
import { MAX_CLAIM_CHARS, MAX_NAME_CHARS } from '../../protocol/limits.ts'
import type { Change } from '../../protocol/records.ts'

/**
 * What the compiled schema of claims passes over: names with a line feed, and whatever stands under them. All
 * else about a change that is wrong in itself is the log's to answer, for that row alone (I9).
 * Throws `bad_request`.
 */
export function checkClaims(changes: readonly Change[]): void {
  for (const [index, { claims }] of changes.entries()) {
    if (claims === undefined) continue
    for (const [name, value] of Object.entries<unknown>(claims)) {
      const fits =
        name.length > 0 &&
        name.length <= 2 * MAX_NAME_CHARS &&
        (value === null || (typeof value === 'string' && value.length <= 2 * MAX_CLAIM_CHARS))
      if (fits) continue
      const details = { at: `/changes/${index}/claims`, rule: 'a claim is a name and a text or null' }
      throw new TidemarkError(
        'bad_request',
        `The request does not fit its schema at ${details.at}: ${details.rule}`,
        { details },
      )
    }
  }
}
