/** What stands in place of a secret. */
const HIDDEN = '(secret)'
/** Tokens of a cloud, headers with one, and addresses with a password. */
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/\btm_[\w-]{8,}/g, HIDDEN],
  [/\b(bearer|basic) [\w.~+/=-]{8,}/gi, `$1 ${HIDDEN}`],
  [/(\w+:\/\/[^\s/:@"]*):[^\s/@"]*@/g, `$1:${HIDDEN}@`],
]
/** A shorter secret would make a log unreadable, and protects nothing. */
const MIN_CHARS = 8

/**
 * D10: takes out of a line whatever is a secret, or looks like one. Nothing of ours writes any into a message: this is
 * for what others wrote, such as the cause of a failure.
 */
export function scrub(text: string, secrets: readonly string[]): string {
  let clean = text
  for (const secret of secrets) if (secret.length >= MIN_CHARS) clean = clean.replaceAll(secret, HIDDEN)
  for (const [pattern, hidden] of PATTERNS) clean = clean.replace(pattern, hidden)
  return clean
}
