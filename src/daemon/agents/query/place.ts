/** Both from 1. */
export interface SqlPlace {
  readonly line: number
  readonly column: number
}

/** Occurrences that are tried: a text of thousands of commas is not worth more. */
const MAX_TRIED = 1_000

/**
 * Where in a statement SQLite's complaint is about, which it does not say through the library. A syntax error is at the
 * end of the shortest beginning of the text with the same complaint; of a name that is not known it is the first place
 * where the name stands. Null where neither is found.
 */
export function findPlace(
  sql: string,
  message: string,
  complaintOf: (sql: string) => string | null,
): SqlPlace | null {
  if (message === 'incomplete input') return placeAt(sql, sql.trimEnd().length)
  const token = /^(?:near "(.*)": syntax error|unrecognized token: "(.*)")$/s.exec(message)
  const wrong = token?.[1] ?? token?.[2]
  if (wrong !== undefined && wrong !== '') {
    let tried = 0
    for (let at = sql.indexOf(wrong); at >= 0 && tried < MAX_TRIED; at = sql.indexOf(wrong, at + 1), tried++)
      if (complaintOf(sql.slice(0, at + wrong.length)) === message) return placeAt(sql, at)
    return null
  }
  const named =
    /^(?:(?:no such (?:column|table|function|module|collation sequence)|ambiguous column name): |wrong number of arguments to function )"?([^"]*)/s.exec(
      message,
    )?.[1]
  const name = named?.replace(/\(\)$/, '').split('.').at(-1)
  if (name === undefined || name === '') return null
  const quoted = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const at = new RegExp(`(?<![\\w$])${quoted}(?![\\w$])`, 'i').exec(sql)?.index
  return at === undefined ? null : placeAt(sql, at)
}

function placeAt(sql: string, at: number): SqlPlace {
  const before = sql.slice(0, at).split('\n')
  const column = (before.at(-1) ?? '').replace(/[\ud800-\udbff][\udc00-\udfff]/g, '_').length + 1
  return { line: before.length, column }
}
