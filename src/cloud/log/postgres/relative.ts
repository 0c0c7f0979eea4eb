import type { PushResult } from '../../../protocol/push.ts'
import type { Change, WireRecord } from '../../../protocol/records.ts'
import { keepAnswer, repeatAnswer } from '../kept-answer.ts'
import { NO_CLAIMS, type StandingClaims } from '../standing.ts'

/**
 * Versions of a commit that is still to come. The head may rise between the view and the commit, so what was decided
 * is sent with marks in the place of versions above the view's head, and the commit puts the numbers there, under the
 * lock: `tidemark.absolute(text, own)` of its SQL. What is stored and read has none.
 *
 *   U+0001                  the record's own version
 *   U+0002 count U+0002     so many before it: of a row that was written more than once in one commit
 *
 * JSON text never holds either raw, so they are found without a parse.
 */
const OWN = '\u0001'
const EARLIER = '\u0002'

/** `version` in a text of the record with the version `own`, both as decided at `head`. */
function markVersion(version: number, own: number, head: number): string {
  if (version <= head) return String(version)
  return version === own ? OWN : `${EARLIER}${own - version}${EARLIER}`
}

/** The ages of a record, as they are pasted into its JSON; null when it has none. */
export function agesText({ version: own, since, fieldVersions }: WireRecord, head: number): string | null {
  if (since === undefined) return null
  const mark = ([version, hlc]: readonly [number, number]): string =>
    `[${markVersion(version, own, head)},${hlc}]`
  if (fieldVersions === undefined) return `"since":${mark(since)}`
  const named = Object.entries(fieldVersions).map(([field, age]) => `${JSON.stringify(field)}:${mark(age)}`)
  return `"since":${mark(since)},"fieldVersions":{${named.join(',')}}`
}

/** The claims of the record with the version `own`; null when it never had one. */
export function claimsText(claims: StandingClaims, own: number, head: number): string | null {
  if (claims === NO_CLAIMS) return null
  const held = Object.entries(claims).map(
    ([index, [value, version]]) =>
      `${JSON.stringify(index)}:[${JSON.stringify(value)},${markVersion(version, own, head)}]`,
  )
  return `{${held.join(',')}}`
}

/**
 * An answer as it is kept beside its base, the head before the commit: +n is the n-th version after the base, −v the
 * version v from before. Neither is ever 0, since versions begin at 1: so a run of the one never goes on into the
 * other, whose distance only the commit knows.
 */
export function keepRelativeAnswer(
  results: readonly PushResult[],
  changes: readonly Change[],
  head: number,
): string {
  return keepAnswer(
    results.map((result) => moveVersion(result, (version) => (version > head ? version - head : -version))),
    changes,
  )
}

/** The reverse, once the base is known. */
export function repeatRelativeAnswer(
  kept: string,
  base: number,
  read: (table: string, key: string) => WireRecord | null,
): readonly PushResult[] {
  return repeatAnswer(kept, read).map((result) =>
    moveVersion(result, (version) => (version > 0 ? base + version : -version)),
  )
}

const moveVersion = (result: PushResult, move: (version: number) => number): PushResult =>
  result.status === 'ok' ? { ...result, version: move(result.version) } : result
