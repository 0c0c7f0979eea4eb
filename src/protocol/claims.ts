import { keyOf, type Collation } from '../kernel/keys.ts'
import type { Encoded } from '../kernel/values.ts'
import { MAX_CLAIM_CHARS } from './limits.ts'

/**
 * What a row holds in a unique index, as every replica writes it: its folded values like a key's, or their hash
 * when they are long. Null when the row holds nothing, because a value is null: nulls are distinct.
 * `hash` is SHA-256 in hex of a text as UTF-8; it is an argument because platforms differ in how they have it.
 */
export function claimOf(
  values: readonly Encoded[],
  collations: readonly Collation[],
  hash: (text: string) => string,
): string | null {
  if (values.includes(null)) return null
  const text = keyOf(values, collations)
  return text.length <= MAX_CLAIM_CHARS ? text : `sha256:${hash(text)}`
}
